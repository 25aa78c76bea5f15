r"""A test of one noise for all outputs, before one is estimated from all residuals together.

With residuals $r = C \varepsilon$, $C = I - H$ for the hat matrix H, the share of an output g in
the sum of squares, $\sum_{i \in g} r_i^2 / \sum_i r_i^2$, has for equal normal noise the mean
$m = \mathrm{tr}\,E_g C/\mathrm{tr}\,C$ and the variance

$$\frac{2 \,\mathrm{tr}[(E_g - m) C (E_g - m) C]}{\mathrm{tr}^2 C + 2\,\mathrm{tr}\,C^2},$$

where $E_g$ selects the output; without a prior both are exact. The law is taken as the beta law
with these moments, exact where all outputs have the same design: then this is the F test of
one variance against the others. Where the model is linear in its parameters, a warning is false in
0.1 % of the experiments (Bonferroni's correction for several outputs); simulated with random
designs 0.07 to 0.12 %.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from scipy.special import betainc, betaincc

from hessium._typing import BoolArray, FloatArray
from hessium.curvature.jacobian_columns import dense_columns
from hessium.errors import SelfCheckWarning
from hessium.posterior.factor import Factor
from hessium.posterior.state import State
from hessium.problem.other_inputs import OnInputs

FALSE_ALARM = 1e-3
"""Probability of a warning where all outputs have one noise."""

_FITTED = 1e-6  # outputs with a smaller share of the residual variance are not tested
_SHOWN = 6  # outputs that the message lists


def warn_of_unequal_noise(state: State) -> None:
    """Warn if residuals of the outputs differ by more than chance.

    Cost: none for one output; else the rows of the whitened Jacobian once more, one gradient for
    each output of a sample.
    """
    residuals = state.factor.data.residuals_by_output()
    if residuals is None or residuals.shape[1] < 2:
        return
    weights = state.factor.data.weights_by_output()
    squares, seen = residuals.square().cpu().numpy(), weights.cpu().numpy() > 0
    if seen.any(axis=0).sum() < 2:
        return
    U = left_vectors(state.factor)
    if state.prior_precision > 0:
        s = state.factor.singular_values
        share = s**2 / (s**2 + state.prior_precision * state.noise**2)
    else:
        share = np.where(np.arange(U.shape[1]) < state.rank.value, 1.0, 0.0)
    p, estimates = unequal(squares, seen, U * np.sqrt(share))
    if p.min() >= FALSE_ALARM:
        return
    worst = int(p.argmin())
    # in the units of the outputs: a weight w makes the residual sqrt(w) times as large
    scales = np.sqrt(np.maximum(weights.cpu().numpy().max(axis=0), 1e-300))
    found = np.where(seen.any(axis=0), estimates / scales, np.nan)
    listed = ", ".join(f"{one:.3g}" for one in found[:_SHOWN])
    others = float(np.sqrt(np.nanmean(np.delete((found * scales) ** 2, worst))))
    msg = (
        f"noise: None; residuals of output {worst} are {estimates[worst] / others:.3g} times as "
        f"large as those of the others (p = {p[worst]:.1g}), and one noise for all makes intervals "
        "too wide for some and too narrow for others; give noise= one standard deviation for each "
        f"output (the residuals tell about [{listed}{', ...' if len(found) > _SHOWN else ''}])"
    )
    warnings.warn(msg, SelfCheckWarning, stacklevel=3)


def unequal(
    squares: FloatArray, seen: BoolArray, factor: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Two-sided p-values of each output, corrected for their number, and its standard deviation.

    NaN is the standard deviation of an output whose residuals the fit makes zero.

    Args:
        squares: of the residuals, (samples, outputs).
        seen: which of them are measurements, (samples, outputs).
        factor: W of the hat matrix $W W^T$, rows by sample, then output, (samples x outputs, r).
    """
    samples, outputs = squares.shape
    W = factor.reshape(samples, outputs, -1)
    leverage = np.square(W).sum(axis=2)
    whole = factor.T @ factor
    free = np.where(seen, 1.0 - leverage, 0.0).sum(axis=0)  # tr_g C
    counted = seen.sum(axis=0)
    # |C_g.|^2 and |C_gg|^2, Frobenius norms of blocks of C = I - H
    rows = counted - 2 * leverage.sum(axis=0)
    own = rows.copy()
    for g in range(outputs):
        mine = W[:, g]
        inner = mine.T @ mine if samples > mine.shape[1] else mine @ mine.T
        rows[g] += np.sum((mine @ whole) * mine)
        own[g] += np.square(inner).sum()
    total, all_squares = free.sum(), rows.sum()
    sums = np.where(seen, squares, 0.0).sum(axis=0)
    p = np.ones(outputs)
    left = free > _FITTED * total
    sums[~left] = 0.0  # outputs that are fitted exactly tell nothing
    tested = np.flatnonzero(left & (free < (1 - _FITTED) * total))
    for g in tested.tolist():
        m = free[g] / total
        cross = rows[g] - own[g]
        rest = all_squares - 2 * rows[g] + own[g]
        spread = own[g] * (1 - m) ** 2 + m**2 * rest - 2 * m * (1 - m) * cross
        variance = 2 * spread / (total**2 + 2 * all_squares)
        size = m * (1 - m) / variance - 1
        a, b, at = m * size, (1 - m) * size, sums[g] / sums.sum()
        p[g] = 2 * min(betainc(a, b, at), betaincc(a, b, at))
    # of two outputs one share tells the other
    tests = 1 if len(tested) == 2 else max(len(tested), 1)
    return np.minimum(p * tests, 1.0), np.sqrt(sums / np.where(left, free, math.nan))


def left_vectors(factor: Factor) -> FloatArray:
    """U, (rows, r). Cost: none, or the rows of the Jacobian once more."""
    if factor.left is not None:
        return np.asarray(factor.left.cpu().numpy())
    assert factor.right is not None
    s = torch.from_numpy(factor.singular_values).to(factor.right)
    turned = factor.right / torch.where(s > 0, s, math.inf)
    parts = []
    for number, (inputs, _) in enumerate(factor.risk.batches()):
        J = dense_columns(OnInputs(factor.risk, [inputs]), factor.max_bytes)[0]
        parts.append((factor.data.whiten(J, number) / factor.scale) @ turned)
    return np.asarray(torch.cat(parts).cpu().numpy())
