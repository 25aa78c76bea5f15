"""Tests of the assumptions of random matrix theory for a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessium import _arguments
from hessium._display import Displayable
from hessium._random import Rng, generator
from hessium.compare._spectrum import nonzero
from hessium.compare.checks import (
    Check,
    fit_checks,
    fitted,
    free_checks,
    normal_checks,
    shape_check,
    variance_check,
)
from hessium.compare.curvature import Curvature, as_curvature
from hessium.compare.fit import Fit
from hessium.compare.freeness import Freeness, freeness
from hessium.errors import InputError
from hessium.problem import EmpiricalRisk
from hessium.progress import Progress, silent
from hessium.spectra import Measure
from hessium.theory import Law, MarchenkoPastur, Semicircle, hessian_law
from hessium.theory.hessians.energies import ACTIVATIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A property of the spectrum of H, predicted by models of the Hessian and measured.

    Attributes:
        quantity: "index", "lower edge", "upper edge", "mean" or "variance".
        measured: value for H.
        linear: value for Wishart + Wigner at this energy, ratio and scale (eq. 16).
        relu: value for Wishart + product Wishart (eq. 29).

    Example:
        >>> one = hs.compare.Prediction(quantity="index", measured=0.1, linear=0.12, relu=0.11)
        >>> one.quantity
        'index'
    """

    quantity: str
    measured: float
    linear: float
    relu: float


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Assumptions(Displayable):
    r"""The table of checks, and the results behind it.

    Attributes:
        checks: one for each assumption.
        predictions: predictions of the published models and measured values.
        energy: $\frac12 \overline{e^2}$ over samples and outputs, $e = (N/D)\,\partial\ell$ with N
            rows of outputs: the value of the risk over outputs per sample where it is
            $(2N)^{-1}\sum e^2$.
        ratio: parameters over samples times outputs, of which a softmax removes one per sample.
        scale: mean of the spectrum of H0, the sigma of the models.
        gauss_newton, residual, hessian: the three spectra.
        wishart: fit of Marchenko-Pastur to the non-zero spectrum of H0, None if it fails.
        wigner: fit of a semicircle to that of H1, None if it fails or H1 is zero.
        free: freeness of H0 and H1, None if H1 is zero.
        alpha: false-alarm rate of each check with a p-value.

    Example:
        >>> found = hs.compare.assumptions(risk, rotations=99)
        >>> len(found.checks) > 0, round(found.ratio, 4)
        (True, 1.0833)
    """

    checks: tuple[Check, ...]
    predictions: tuple[Prediction, ...]
    energy: float
    ratio: float
    scale: float
    gauss_newton: Measure
    residual: Measure
    hessian: Measure
    wishart: Fit | None
    wigner: Fit | None
    free: Freeness | None
    alpha: float

    def __repr__(self) -> str:
        held = sum(check.holds for check in self.checks)
        failed = [check.assumption for check in self.checks if not check.holds]
        return (
            f"Assumptions({held} of {len(self.checks)} not rejected at ratio {self.ratio:.4g}, "
            f"energy {self.energy:.4g}; rejected: {'; '.join(failed) or 'none'})"
        )

    def __str__(self) -> str:
        """The table as text."""
        lines = [f"ratio {self.ratio:.5g}, energy {self.energy:.5g}, scale {self.scale:.5g}"]
        for one in self.checks:
            chance = "" if one.p_value is None else f", p {one.p_value:.2g}"
            lines.append(
                f"[{one.verdict}] {one.assumption}: {one.statistic} {one.value:.4g}, if true "
                f"[{one.low:.4g}, {one.high:.4g}] ({one.coverage}){chance}"
            )
        lines.extend(
            f"{row.quantity}: measured {row.measured:.4g}; Wishart + Wigner {row.linear:.4g}; "
            f"ReLU model {row.relu:.4g}"
            for row in self.predictions
        )
        return "\n".join(lines)


def assumptions(
    risk: EmpiricalRisk | Curvature,
    *,
    alpha: float = 0.01,
    draws: int = 19,
    rotations: int = 99,
    tol: float = 1e-10,
    rng: Rng = None,
    max_bytes: int = 2**33,
    progress: Progress = silent,
) -> Assumptions:
    r"""Test every assumption behind the random-matrix picture of a Hessian on one network.

    Pennington and Bahri (ICML 2017) model H0 as Wishart of ratio parameters / (samples x outputs),
    H1 for Wigner of variance twice the energy, both free of each other, residuals and weights for
    normal. Each assumption is tested separately, with a null distribution for matrices of the same
    size, and the resulting predictions are compared with the spectrum of H.

    The energy is that of Pennington and Bahri (2017), loss per output of $(2N)^{-1}\sum e^2$; other
    losses enter through their output gradient in the same normalisation. Exact zeros of H0 and H1
    (`tol`) are removed before shapes are tested, except the atom implied by a ratio above one.

    Args:
        risk: a risk or its `Curvature`.
        alpha: false-alarm rate of each check with a p-value on its own, at least
            1/(rotations + 1). Checks without one are decided by their range, see `Check`.
        draws: random matrices for the ranges of the Kolmogorov distances.
        rotations: Haar rotations for freeness.
        tol: relative size of zero.
        rng: seed of both.
        max_bytes: memory limit for dense matrices.
        progress: called with steps done and steps in all.

    Raises:
        InputError: for a closure or a model that returns its loss, a bad argument, or if the dense
            matrices do not fit.

    Cost: dense H0 and H1, and one eigendecomposition for each draw and rotation.

    Example:
        >>> found = hs.compare.assumptions(risk, rotations=99)
        >>> len(found.checks) > 0
        True
    """
    curvature = as_curvature(risk, "assumptions", max_bytes)
    risk = curvature.risk
    rotations, draws = _arguments.count("rotations", rotations), _arguments.count("draws", draws, 2)
    alpha, tol = _arguments.fraction("alpha", alpha), _arguments.nonnegative("tol", tol)
    if not 1 / (rotations + 1) <= alpha:
        msg = f"alpha: {alpha}; a number from 1/(rotations + 1) = {1 / (rotations + 1):g} to 1"
        raise InputError(msg + " is required")
    source = generator(rng)
    parts = curvature.gauss_newton, curvature.residual
    h0, h1, h = (one.spectrum for one in (*parts, curvature.hessian))
    if not h0.nodes.any():
        msg = f"risk: H0 of {risk!r} is zero; outputs that depend on the parameters are required"
        raise InputError(msg)
    errors = curvature.data.errors
    energy = float((errors**2).mean() / 2)
    ratio, scale = risk.dim / curvature.outputs_seen, h0.mean()
    has_residual = bool(np.abs(h1.nodes).max() > tol * np.abs(h0.nodes).max())
    bulk0 = h0 if ratio > 1 else nonzero(h0, tol)
    wishart, wigner = fitted(bulk0, "marchenko-pastur"), None
    law0 = MarchenkoPastur(ratio=ratio, scale=bulk0.mean())
    checks = [
        shape_check("H0 is Wishart of the network's ratio", bulk0, law0, draws, source),
        *fit_checks("H0 is Wishart of some ratio and scale", wishart, alpha),
    ]
    progress(1, 4, "steps")
    free = None
    if has_residual:
        bulk1 = nonzero(h1, tol)
        wigner = fitted(bulk1, "semicircle")
        law1 = Semicircle(variance=bulk1.moment(2))
        checks.append(shape_check("H1 is Wigner of its own variance", bulk1, law1, draws, source))
        checks += fit_checks("H1 is Wigner of some variance", wigner, alpha)
        checks.append(variance_check(h1, energy))
        progress(2, 4, "steps")
        first, second = (part.matrix for part in parts)
        free = freeness(first, second, rotations=rotations, rng=source, max_bytes=max_bytes)
        checks += free_checks(free, alpha)
    progress(3, 4, "steps")
    checks += normal_checks(risk, errors, alpha)
    progress(4, 4, "steps")
    return Assumptions(
        checks=tuple(checks),
        predictions=_predictions(h, energy, ratio, scale),
        energy=energy,
        ratio=ratio,
        scale=scale,
        gauss_newton=h0,
        residual=h1,
        hessian=h,
        wishart=wishart,
        wigner=wigner,
        free=free,
        alpha=alpha,
    )


def _predictions(h: Measure, energy: float, ratio: float, scale: float) -> tuple[Prediction, ...]:
    laws = [hessian_law(energy, ratio, activation, scale) for activation in ACTIVATIONS]
    tiny = 1e-10 * float(np.abs(h.nodes).max())
    measured = {
        "index": float(h.weights[h.nodes < -tiny].sum()),
        "lower edge": float(h.nodes[0]),
        "upper edge": float(h.nodes[-1]),
        "mean": h.mean(),
        "variance": h.var(),
    }

    def of(law: Law) -> dict[str, float]:
        low, high = law.support()
        index = float(law.cdf(0.0)) - law.atoms.get(0.0, 0.0)
        return {
            "index": index,
            "lower edge": low,
            "upper edge": high,
            "mean": law.mean(),
            "variance": law.var(),
        }

    linear, relu = (of(law) for law in laws)
    return tuple(
        Prediction(quantity=name, measured=value, linear=linear[name], relu=relu[name])
        for name, value in measured.items()
    )
