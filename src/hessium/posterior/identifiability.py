"""Which parameters the data determine, and which combinations of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from hessium._display import Displayable
from hessium._typing import AnyArray, FloatArray, IntArray
from hessium.posterior import _tables
from hessium.posterior.combinations import Combination, named_combinations
from hessium.posterior.entries import entries_of, labels_of, names_of
from hessium.posterior.state import State

if TYPE_CHECKING:
    import pandas as pd

_MOST = 30  # open entries whose combinations are looked for
_ZERO = 1e-12  # eigenvalues of the open part (of a projection) below are zero
_NOT_ZERO = 1e-8  # above they are not


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterAnswer:
    """The answer for one named parameter.

    Attributes:
        name: of the parameter.
        answer: "determined", "not determined", "partly determined" (a tensor of which some entries
            are), or "not resolved" (rounding cannot tell).
        value: at the parameters of the risk; the mean of the entries of a tensor.
        std: standard deviation; the largest of a tensor; infinite where not determined.

    Example:
        >>> post = hs.GaussNewtonPosterior(risk, noise=0.1, prior_precision=1.0)
        >>> (one,) = post.identifiable(["2.bias"]).answers
        >>> one.name, one.std > 0
        ('2.bias', True)
    """

    name: str
    answer: str
    value: float
    std: float


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Identifiability(Displayable):
    """What the data alone, without the prior, say of some parameters.

    All other free parameters of the risk are nuisance parameters.

    Attributes:
        answers: one for each parameter, in the order of the risk.
        combinations: what is determined of the undetermined parameters together.
        open_directions: number of directions of these parameters that stay open.

    Example:
        >>> post = hs.GaussNewtonPosterior(risk, noise=0.1, prior_precision=1.0)
        >>> len(post.identifiable(["2.bias"]).answers)
        1
    """

    answers: tuple[ParameterAnswer, ...]
    combinations: tuple[Combination, ...]
    open_directions: int

    def __getitem__(self, name: str) -> ParameterAnswer:
        for one in self.answers:
            if one.name == name:
                return one
        raise KeyError(name)

    def _columns(self) -> _tables.Columns:
        both = [
            *((a.name, a.answer, a.value, a.std) for a in self.answers),
            *((c.text, "determined", c.value, c.std) for c in self.combinations),
        ]
        names = ("parameter", "answer", "value", "std")
        return {name: [row[i] for row in both] for i, name in enumerate(names)}

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each parameter and each combination."""
        return _tables.frame(self._columns())

    def _repr_html_(self) -> str:
        """The sentence and the table."""
        return _tables.html(repr(self), self._columns())

    def __repr__(self) -> str:
        words = [
            f"{a.name} {a.answer}"
            + (f" ({a.value:.4g} +- {a.std:.2g})" if np.isfinite(a.std) else "")
            for a in self.answers[:8]
        ]
        if len(self.answers) > 8:
            words.append(f"and {len(self.answers) - 8} more")
        words += [f"{c.text} determined ({c.value:.4g} +- {c.std:.2g})" for c in self.combinations]
        return f"Identifiability({'; '.join(words)})"


def identifiability(state: State, names: list[str]) -> Identifiability:
    """Answers for some parameters from the data alone."""
    state = state.data_alone
    risk = state.factor.risk
    g = state.factor.parameters(names, joint=False)
    statuses, variances = state.statuses(g), state.variances(g)
    entries = entries_of(risk, names)
    theta = risk.theta.cpu().numpy()
    position = {int(entry): at for at, entry in enumerate(entries)}
    answers = []
    for name in names_of(risk, names):
        whole = risk.layout.slice(name)
        at = [position[entry] for entry in range(whole.start, whole.stop)]
        answers.append(
            ParameterAnswer(
                name=name,
                answer=_summary(statuses[at]),
                value=float(theta[whole].mean()),
                std=float(np.sqrt(variances[at].max())),
            )
        )
    open_at = np.flatnonzero(statuses == "undetermined")
    combinations: list[Combination] = []
    open_directions = len(open_at)
    if 0 < len(open_at) <= _MOST and not (statuses == "not resolved").any():
        combinations, open_directions = _combinations(state, names, entries, open_at)
    return Identifiability(
        answers=tuple(answers), combinations=tuple(combinations), open_directions=open_directions
    )


def _summary(statuses: AnyArray) -> str:
    kinds = set(statuses.tolist())
    if "not resolved" in kinds:
        return "not resolved"
    if kinds == {"determined"}:
        return "determined"
    return "not determined" if kinds == {"undetermined"} else "partly determined"


def _combinations(
    state: State, names: list[str], entries: IntArray,
    open_at: IntArray,
) -> tuple[list[Combination], int]:  # fmt: skip
    risk = state.factor.risk
    finite, open_part = state.covariance(state.factor.parameters(names, joint=True))
    F, N = (matrix[np.ix_(open_at, open_at)] for matrix in (finite, open_part))
    where = torch.as_tensor(entries[open_at], device=risk.device)
    scale = state.factor.scale[where].cpu().numpy()
    # a projection, in units in which columns of the Jacobian have length one
    values, vectors = np.linalg.eigh(N * scale[:, None] * scale)
    closed, is_open = values <= _ZERO, values >= _NOT_ZERO
    if not (closed | is_open).all():
        return [], int((~closed).sum())
    basis = vectors[:, closed]
    if not basis.shape[1]:
        return [], int(is_open.sum())
    labels = [labels_of(risk, names)[at] for at in open_at]
    theta = risk.theta
    # an eigenvalue 1 of a projection: the undetermined direction lies within these parameters
    within = bool((values[is_open] > 1 - 1e-6).all())
    own = theta[where].cpu().numpy()
    start = _outputs(state, theta)

    def moved_outputs(values: FloatArray) -> float:
        there = theta.clone()
        there[where] = torch.from_numpy(values).to(theta)
        return float(np.linalg.norm(_outputs(state, there) - start))

    # what a move of a determined combination does to the outputs is the unit of a change
    length = 0.3 * (float(np.abs(own * scale).max()) or 1.0)
    unit = max(moved_outputs(own + length * column / scale) for column in basis.T) or 1.0
    found = named_combinations(
        labels,
        own,
        basis,
        scale,
        F,
        (lambda values: moved_outputs(values) / unit) if within else None,
    )
    return found, int(is_open.sum())


def _outputs(state: State, theta: torch.Tensor) -> FloatArray:
    """Outputs of all samples at some parameters."""
    risk = state.factor.risk.at(theta)
    leaves = risk.leaves()
    parts = [risk.outputs(leaves, inputs).detach().reshape(-1) for inputs, _ in risk.batches()]
    return np.asarray(torch.cat(parts).cpu().numpy(), dtype=np.float64)
