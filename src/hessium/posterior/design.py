r"""Where to measure next: information of candidates, and greedy designs by exact updates.

The joint covariance of the outputs of all candidates is $F + N/\alpha$ in the limit $\alpha \to 0$
(`State.covariance`; N = 0 with a prior). One more measurement with noise $\sigma$ of an output with
the column $F_i + N_i/\alpha$ subtracts a matrix of rank one. Where $N_{ii} > 0$ it determines a new
direction, and the limit of the update is

$$N \leftarrow N - \frac{N_i N_i^T}{a}, \quad
  F \leftarrow F - \frac{F_i N_i^T + N_i F_i^T}{a} + f \frac{N_i N_i^T}{a^2}, \qquad
  a = N_{ii},\ f = F_{ii} + \sigma^2.$$

New directions come before finite gains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch

from hessium._arguments import count, reals
from hessium._display import Displayable
from hessium._typing import AnyArray, FloatArray, IntArray
from hessium.errors import InputError
from hessium.posterior import _tables
from hessium.posterior.state import State
from hessium.problem.containers import tensors

if TYPE_CHECKING:
    import pandas as pd

Criterion = Literal["D", "A"]
_OPEN = 1e-9  # of the largest entry: the rest of N after updates is zero below


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gains:
    """Of one measurement at each candidate.

    Attributes:
        new_directions: directions that it would determine, (samples,).
        nats: information; infinite with a new direction, (samples,).
        finite: the finite part of it, (samples,).
    """

    new_directions: IntArray
    nats: FloatArray
    finite: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Design(Displayable):
    """Measurements chosen one after the other.

    Attributes:
        criterion: "D" or "A".
        indices: of the candidates, in the order of choice, (k,).
        gains: information of each given those before it, in nats, (k,); infinite where it
            determines a new direction.
        costs: of each, (k,).
        mean_std: root of the mean variance of the predictions at the targets before the first and
            after every measurement, (k + 1,).
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
    mean_std: FloatArray
    num_candidates: int

    def _columns(self) -> _tables.Columns:
        return {
            "candidate": self.indices.tolist(),
            "gain": self.gains.tolist(),
            "cost": self.costs.tolist(),
            "mean_std": self.mean_std[1:].tolist(),
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
            f"{self.num_candidates}, gain {total:.4g} nats, mean standard deviation "
            f"{self.mean_std[0]:.4g} before and {self.mean_std[-1]:.4g} after)"
        )


def gains(state: State, candidates: Any) -> Gains:
    """Information of one measurement at each candidate."""
    _require_noise(state)
    joint = _Joint.of(state, [candidates])
    new, nats = joint.gains()
    return Gains(new_directions=new, nats=np.where(new > 0, np.inf, nats), finite=nats)


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
    _require_noise(state)
    if criterion not in get_args(Criterion):
        msg = f"criterion: {criterion!r}; 'D' or 'A' is required"
        raise InputError(msg)
    batches = [candidates] if targets is None else [candidates, targets]
    joint = _Joint.of(state, batches)
    samples = joint.samples
    count("k", k)
    if k > samples and not repeat:
        msg = f"k: {k}; at most the {samples} candidates, or repeat=True"
        raise InputError(msg)
    prices = np.ones(samples) if costs is None else reals("costs", costs)
    if prices.shape != (samples,) or not bool((prices > 0).all() and np.isfinite(prices).all()):
        msg = f"costs: shape {prices.shape}; a positive finite number for each of {samples}"
        raise InputError(msg)
    chosen: list[int] = []
    found: list[float] = []
    spread = [joint.mean_std()]
    for _ in range(k):
        new, nats = joint.gains()
        score = nats if criterion == "D" else joint.reductions()
        keys = np.where(new > 0, new, 0) / prices
        closed = np.array(chosen, dtype=int) if not repeat else np.array([], dtype=int)
        keys[closed], score = -1.0, score / prices
        best = int(np.flatnonzero(keys == keys.max())[score[keys == keys.max()].argmax()])
        chosen.append(best)
        found.append(np.inf if new[best] else float(nats[best]))
        joint.measure(best)
        spread.append(joint.mean_std())
    indices = np.array(chosen, dtype=np.int64)
    return Design(
        criterion=criterion,
        indices=indices,
        gains=np.array(found),
        costs=prices[indices],
        mean_std=np.array(spread),
        num_candidates=samples,
    )


class _Joint:
    """Joint covariance of candidates (and targets behind them), updated by measurements."""

    def __init__(
        self, finite: FloatArray, open_part: FloatArray, shape: tuple[int, int], noise: float
    ) -> None:
        self.finite, self.open_part = finite, open_part
        self.samples, self.outputs = shape
        self._variance = noise**2
        self._floor = _OPEN * float(np.diagonal(open_part).max(initial=0.0))
        targets = slice(self.samples * self.outputs, None)
        self._targets = targets if len(finite) > self.samples * self.outputs else slice(None)

    @classmethod
    def of(cls, state: State, batches: list[Any]) -> _Joint:
        g, shape = state.factor.outputs(_joined(batches), joint=True)
        if not shape:
            shape = torch.Size([1])
        each = shape[1:].numel()
        whole = shape[0] if len(batches) == 1 else _samples(batches[0])
        return cls(*state.covariance(g), (whole, each), state.noise)

    def gains(self) -> tuple[IntArray, FloatArray]:
        """New directions and finite information of every candidate, outputs one after the other."""
        index = np.arange(self.samples * self.outputs).reshape(self.samples, self.outputs)
        F = self.finite[index[:, :, None], index[:, None, :]].copy()
        N = self.open_part[index[:, :, None], index[:, None, :]].copy()
        new, nats = np.zeros(self.samples, dtype=np.int64), np.zeros(self.samples)
        for c in range(self.outputs):
            a, f = N[:, c, c], np.maximum(F[:, c, c], 0.0) + self._variance
            is_new = a > self._floor
            new += is_new
            # a new direction: the finite part of log(1 + (f + a / alpha) / sigma^2) is log a
            ratio = np.where(is_new, a, f) / self._variance
            nats += 0.5 * np.log(np.maximum(ratio, 1e-300))
            F, N = _updated(F, N, F[:, :, c], N[:, :, c], a, f, is_new)
        return new, nats

    def reductions(self) -> FloatArray:
        """Decrease of the summed variance at the targets by each candidate.

        Of the part over alpha where there is one, else of the finite one.
        """
        total = np.zeros(self.samples)
        undetermined = bool((np.diagonal(self.open_part) > self._floor).any())
        for sample in range(self.samples):
            trial = (
                _Joint(
                    self.finite, self.open_part, (self.samples, self.outputs), self._variance**0.5
                )
                if self.outputs > 1
                else None
            )
            if trial is None:
                total[sample] = self._reduction(sample, undetermined)
                continue
            trial._floor = self._floor
            trial.measure(sample)
            before, after = (
                np.diagonal(m)[self._targets].sum()
                for m in (
                    (self.open_part, trial.open_part)
                    if undetermined
                    else (self.finite, trial.finite)
                )
            )
            total[sample] = before - after
        return total

    def _reduction(self, i: int, undetermined: bool) -> float:
        """Of one output, without the update."""
        if undetermined:
            column, a = self.open_part[self._targets, i], self.open_part[i, i]
            return float(column @ column / a) if a > self._floor else 0.0
        column = self.finite[self._targets, i]
        return float(column @ column / (max(self.finite[i, i], 0.0) + self._variance))

    def measure(self, sample: int) -> None:
        """Condition on the outputs of one candidate."""
        for c in range(self.outputs):
            i = sample * self.outputs + c
            a, f = self.open_part[i, i], max(self.finite[i, i], 0.0) + self._variance
            F, N = _updated(
                self.finite[None], self.open_part[None], self.finite[None, :, i],
                self.open_part[None, :, i], np.array([a]), np.array([f]),
                np.array([a > self._floor]),
            )  # fmt: skip
            self.finite, self.open_part = F[0], N[0]

    def mean_std(self) -> float:
        """Root of the mean variance at the targets."""
        if bool((np.diagonal(self.open_part)[self._targets] > self._floor).any()):
            return float("inf")
        return float(np.sqrt(np.maximum(np.diagonal(self.finite)[self._targets], 0.0).mean()))


def _updated(
    F: FloatArray, N: FloatArray, Fi: FloatArray, Ni: FloatArray, a: FloatArray, f: FloatArray,
    is_new: AnyArray,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """The pair after one measurement of each of a stack of problems."""
    safe = np.where(is_new, a, 1.0)[:, None, None]
    FF, NN = Fi[:, :, None] * Fi[:, None, :], Ni[:, :, None] * Ni[:, None, :]
    FN = Fi[:, :, None] * Ni[:, None, :]
    limit = F - (FN + FN.transpose(0, 2, 1)) / safe + f[:, None, None] * NN / safe**2
    new = is_new[:, None, None]
    return np.where(new, limit, F - FF / f[:, None, None]), np.where(new, N - NN / safe, N)


def _require_noise(state: State) -> None:
    if not state.factor.data.quadratic:
        msg = (
            f"risk: {state.factor.risk.loss!r} is not a squared error; the information of a "
            "measurement is defined for squared errors here"
        )
        raise InputError(msg)


def _samples(inputs: Any) -> int:
    return int(tensors(inputs)[0].shape[0])


def _joined(batches: list[Any]) -> Any:
    """Candidates and targets as one batch.

    Raises:
        InputError: if they are not tensors of one shape.
    """
    if len(batches) == 1:
        return batches[0]
    same = all(isinstance(b, torch.Tensor) for b in batches)
    if not same or batches[0].shape[1:] != batches[1].shape[1:]:
        msg = "targets: inputs as one tensor, with samples of the shape of the candidates, required"
        raise InputError(msg)
    return torch.cat(batches)
