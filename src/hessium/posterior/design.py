r"""Where to measure next: information of candidates, and greedy designs by exact updates.

Outputs are measured in units of their noise: a candidate has the weight that the loss gives to a
measurement of its outputs, and one of weight zero is not measured. The joint covariance of all
candidates is $F + N/\alpha$ in the limit $\alpha \to 0$ (`State.covariance`; N = 0 with a prior).
One more measurement of an output with the column $F_i + N_i/\alpha$ subtracts a matrix of rank one.
Where $N_{ii} > 0$ it determines a new direction, and the limit of the update is

$$N \leftarrow N - \frac{N_i N_i^T}{a}, \quad
  F \leftarrow F - \frac{F_i N_i^T + N_i F_i^T}{a} + f \frac{N_i N_i^T}{a^2}, \qquad
  a = N_{ii},\ f = F_{ii} + 1.$$

A gain has a part in $\log(1/\alpha)$ or $1/\alpha$ and a finite one, and the first comes first: new
directions before finite information (D), the open part at the targets,
$\mathrm{tr}\,N_{TT}$, before the finite part of their variance (A).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from hessium._arguments import count, reals
from hessium._display import Displayable
from hessium._typing import BoolArray, FloatArray, IntArray
from hessium.errors import ConvergenceWarning, InputError
from hessium.posterior import _tables
from hessium.posterior.candidates import in_noises, joined, num_samples
from hessium.posterior.factor import Functionals
from hessium.posterior.state import State

if TYPE_CHECKING:
    import pandas as pd

Criterion = Literal["D", "A"]
_OPEN = 1e-9  # relative to the first N: smaller entries after updates count as zero
_SHARPEST = 1e-14  # smallest relative error of a part outside
_ERRORS = 5.0  # of these: less is zero; answers are undetermined from ten on
_TIE = 1e-9  # relative: parts in 1/alpha that are equal


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Design(Displayable):
    """Measurements chosen one after the other.

    Attributes:
        criterion: "D" or "A".
        indices: of the candidates, in the order of choice, (k,).
        gains: information of each given those before it, in nats, (k,); infinite where it
            determines a new direction.
        costs: of each, (k,).
        rms_std: root mean square of the standard deviations of the predictions at the targets, each
            over the noise of a measurement of its output, before the first and after every
            measurement, (k + 1,). Outputs without weight in the loss do not count.
        num_candidates: samples offered.

    Example:
        >>> post = hs.GaussNewtonPosterior(risk, noise=0.1, prior_precision=1.0)
        >>> post.design(torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None], 2).indices.shape
        (2,)
    """

    criterion: Criterion
    indices: IntArray
    gains: FloatArray
    costs: FloatArray
    rms_std: FloatArray
    num_candidates: int

    def _columns(self) -> _tables.Columns:
        return {
            "candidate": self.indices.tolist(),
            "gain": self.gains.tolist(),
            "cost": self.costs.tolist(),
            "rms_std": self.rms_std[1:].tolist(),
        }

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each measurement."""
        return _tables.frame(self._columns())

    def _repr_html_(self) -> str:
        """The sentence and the table."""
        return _tables.html(repr(self), self._columns())

    def __repr__(self) -> str:
        total = float(self.gains.sum())
        return (
            f"Design({self.criterion}-optimal, greedy: candidates {self.indices.tolist()} of "
            f"{self.num_candidates}, gain {total:.4g} nats, root mean square standard deviation "
            f"{self.rms_std[0]:.4g} noises before and {self.rms_std[-1]:.4g} after)"
        )


def gains(state: State, candidates: Any) -> FloatArray:
    """Information of one measurement at each candidate, infinite with a new direction."""
    require_noise(state)
    gain = _Joint(state, candidates).assess(at_targets=False)
    return np.where(gain.new > 0, np.inf, gain.nats)


def design(
    state: State,
    candidates: Any,
    k: int,
    *,
    criterion: Criterion,
    costs: Any,
    targets: Any,
    repeat: bool,
) -> Design:
    """Greedy choice of k candidates."""
    require_noise(state)
    if criterion not in get_args(Criterion):
        msg = f"criterion: {criterion!r}; 'D' or 'A' is required"
        raise InputError(msg)
    joint = _Joint(state, candidates, targets)
    samples = joint.samples
    count("k", k)
    if k > samples and not repeat:
        msg = f"k: {k}; at most the {samples} candidates, or repeat=True"
        raise InputError(msg)
    prices = np.ones(samples) if costs is None else reals("costs", costs)
    if prices.shape != (samples,) or not bool((prices > 0).all() and np.isfinite(prices).all()):
        size = f"shape {prices.shape}"
        range_ = f"values from {prices.min(initial=np.inf):g} to {prices.max(initial=-np.inf):g}"
        msg = (
            f"costs: {range_ if prices.shape == (samples,) else size}; a positive finite number "
            f"for each of {samples} candidates is required"
        )
        raise InputError(msg)
    chosen: list[int] = []
    found: list[float] = []
    spread = [joint.rms_std()]
    for _ in range(k):
        gain = joint.assess(at_targets=criterion == "A")
        free = np.ones(samples, dtype=bool)
        free[[] if repeat else chosen] = False
        best = int(
            np.flatnonzero(free)[_scores(gain.of(free), criterion, prices[free], joint).argmax()]
        )
        chosen.append(best)
        found.append(np.inf if gain.new[best] else float(gain.nats[best]))
        joint.measure(best)
        spread.append(joint.rms_std())
    indices = np.array(chosen, dtype=np.int64)
    return Design(
        criterion=criterion,
        indices=indices,
        gains=np.array(found),
        costs=prices[indices],
        rms_std=np.array(spread),
        num_candidates=samples,
    )


class _Joint:
    """Joint covariance of candidates (and targets behind them) in units of the noise."""

    def __init__(self, state: State, candidates: Any, targets: Any = None) -> None:
        g, self.outputs = in_noises(state, joined(candidates, targets))
        self.finite, self.open_part = state.covariance(g)
        whole = len(g.squares) // self.outputs
        self.samples = whole if targets is None else num_samples(candidates)
        # an undetermined measurement is judged by its own part outside, not by that of the others
        error = _SHARPEST * np.sqrt(g.squares)
        if state.prior_precision == 0:
            _warn_of_unresolved(state, g)
            error = np.maximum(error, state.factor.outside_error(g.along, state.rank.upper))
        self._floor = np.maximum(_OPEN * np.diagonal(self.open_part), (_ERRORS * error) ** 2)
        first = 0 if targets is None else self.samples * self.outputs
        self._targets = first + np.flatnonzero(g.squares[first:] > 0)
        self._open_at_start = self._open_trace()

    def assess(self, *, at_targets: bool) -> Gain:
        """What each candidate would tell, its outputs one after the other."""
        index = np.arange(self.samples * self.outputs).reshape(self.samples, self.outputs)
        F = self.finite[index[:, :, None], index[:, None, :]].copy()
        N = self.open_part[index[:, :, None], index[:, None, :]].copy()
        to = self._targets if at_targets else self._targets[:0]
        Ft, Nt = self.finite[to][:, index], self.open_part[to][:, index]
        found = Gain(*(np.zeros(self.samples) for _ in range(4)))
        for c in range(self.outputs):
            a, f = N[:, c, c], np.maximum(F[:, c, c], 0.0) + 1.0
            is_new = a > self._floor[index[:, c]]
            safe = np.where(is_new, a, 1.0)
            found.new += is_new
            # a new direction: the finite part of log(1 + f + a / alpha) is log a
            found.nats += 0.5 * np.log(np.where(is_new, a, f))
            u, v = Ft[:, :, c], Nt[:, :, c]
            uu, uv, vv = (u * u).sum(axis=0), (u * v).sum(axis=0), (v * v).sum(axis=0)
            found.open_drop += np.where(is_new, vv / safe, 0.0)
            found.finite_drop += np.where(is_new, 2 * uv / safe - f * vv / safe**2, uu / f)
            later = slice(c + 1, None)
            Fc, Nc = F[:, c, later], N[:, c, later]
            u, v, new = u[:, :, None], v[:, :, None], is_new[:, None]
            s = safe[:, None]
            fresh = (u * Nc + v * Fc) / s - f[:, None] * v * Nc / s**2
            Ft[:, :, later] -= np.where(new, fresh, u * Fc / f[:, None])
            Nt[:, :, later] -= np.where(new, v * Nc / s, 0.0)
            F, N = _updated(F, N, F[:, :, c], N[:, :, c], a, f, is_new)
        return found

    def opens(self, drop: FloatArray) -> bool:
        """Whether a candidate lowers the open part at the targets by more than rounding."""
        return bool(drop.max() > _OPEN * self._open_at_start)

    def measure(self, sample: int) -> None:
        """Condition on the outputs of one candidate."""
        for c in range(self.outputs):
            i = sample * self.outputs + c
            a, f = self.open_part[i, i], max(self.finite[i, i], 0.0) + 1.0
            F, N = _updated(
                self.finite[None], self.open_part[None], self.finite[None, :, i],
                self.open_part[None, :, i], np.array([a]), np.array([f]),
                np.array([a > self._floor[i]]),
            )  # fmt: skip
            self.finite, self.open_part = F[0], N[0]

    def rms_std(self) -> float:
        """Root of the mean variance at the targets, in units of the noise."""
        at = self._targets
        if bool((np.diagonal(self.open_part)[at] > self._floor[at]).any()):
            return float("inf")
        variances = np.maximum(np.diagonal(self.finite)[at], 0.0)
        return float(np.sqrt(variances.mean())) if len(at) else 0.0

    def _open_trace(self) -> float:
        return float(np.diagonal(self.open_part)[self._targets].sum())


@dataclass(slots=True)
class Gain:
    """Of one measurement at each candidate, (samples,).

    Attributes:
        new: directions that it would determine.
        nats: the finite part of the information.
        open_drop: decrease of the summed variance at the targets, its part over alpha.
        finite_drop: the finite part of that decrease.
    """

    new: FloatArray
    nats: FloatArray
    open_drop: FloatArray
    finite_drop: FloatArray

    def of(self, which: BoolArray) -> Gain:
        """Of some candidates."""
        return Gain(
            self.new[which], self.nats[which], self.open_drop[which], self.finite_drop[which]
        )


def _scores(gain: Gain, criterion: Criterion, prices: FloatArray, joint: _Joint) -> FloatArray:
    """The scores of the candidates that are first in the order of the limit; others are -inf."""
    if criterion == "D":
        leading, score = gain.new / prices, gain.nats / prices
    else:
        leading = gain.open_drop / prices if joint.opens(gain.open_drop) else 0.0 * prices
        score = gain.finite_drop / prices
    return np.where(leading >= leading.max() * (1 - _TIE), score, -np.inf)


def _updated(
    F: FloatArray, N: FloatArray, Fi: FloatArray, Ni: FloatArray, a: FloatArray, f: FloatArray,
    is_new: BoolArray,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """The pair after one measurement of each of a stack of problems."""
    safe = np.where(is_new, a, 1.0)[:, None, None]
    FF, NN = Fi[:, :, None] * Fi[:, None, :], Ni[:, :, None] * Ni[:, None, :]
    FN = Fi[:, :, None] * Ni[:, None, :]
    limit = F - (FN + FN.transpose(0, 2, 1)) / safe + f[:, None, None] * NN / safe**2
    new = is_new[:, None, None]
    return np.where(new, limit, F - FF / f[:, None, None]), np.where(new, N - NN / safe, N)


def _warn_of_unresolved(state: State, g: Functionals) -> None:
    """Warn if rounding cannot tell whether candidates would determine new directions."""
    unresolved = int((state.statuses(g) == "not resolved").sum())
    if unresolved:
        msg = (
            f"candidates: rounding cannot tell whether {unresolved} of {len(g.squares)} outputs "
            "would determine a new direction, so their gains are lower bounds; give "
            "prior_precision, or tol for the threshold of undetermined directions"
        )
        warnings.warn(msg, ConvergenceWarning, stacklevel=5)


def require_noise(state: State) -> None:
    """Check that measurements have a noise.

    Raises:
        InputError: if the loss is not a squared error.
    """
    if not state.factor.data.quadratic:
        msg = (
            f"risk: {state.factor.risk.loss!r} is not a squared error; the information of a "
            "measurement is defined for squared errors here"
        )
        raise InputError(msg)
