"""Which parameters the data determine, and which combinations of the others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from hessium._display import Displayable
from hessium._typing import AnyArray, FloatArray, IntArray
from hessium.posterior import _tables
from hessium.posterior.combinations import Combination, named_combinations
from hessium.posterior.entries import entries_of, labels_of, names_of
from hessium.posterior.lines import FAILURES
from hessium.posterior.state import State

if TYPE_CHECKING:
    import pandas as pd

_MOST = 30  # open entries whose combinations are looked for
_COUNTED = 2000  # entries among which open directions are counted: a dense matrix of that size
_ZERO = 1e-12  # eigenvalues of the open part (of a projection) below are zero
_NOT_ZERO = 1e-8  # above they are not


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterAnswer:
    """The answer for one named parameter.

    Attributes:
        name: of the parameter.
        answer: "determined", "not determined" (all its entries are undetermined), "partly
            determined" (a tensor of which some are), or "not resolved" (rounding cannot tell).
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
        combinations: what is determined of the undetermined parameters together; looked for among
            at most 30 undetermined entries.
        open_directions: number of directions of these parameters that stay open; None where it is
            not known: if rounding cannot tell, or for more than 2,000 entries.
        sought: whether combinations were looked for.

    The name of a product or a sum is checked by moves along which it is constant: the outputs at
    the data, with their weights, do not change. A "local" combination has no such name and is
    determined to first order only.

    Example:
        >>> post = hs.GaussNewtonPosterior(risk, noise=0.1, prior_precision=1.0)
        >>> len(post.identifiable(["2.bias"]).answers)
        1
    """

    answers: tuple[ParameterAnswer, ...]
    combinations: tuple[Combination, ...]
    open_directions: int | None
    sought: bool = True

    def __getitem__(self, name: str) -> ParameterAnswer:
        for one in self.answers:
            if one.name == name:
                return one
        raise KeyError(name)

    def _columns(self) -> _tables.Columns:
        both = [
            *((a.name, a.answer, a.value, a.std) for a in self.answers),
            *((c.text, _said(c), c.value, c.std) for c in self.combinations),
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
        words += [f"{c.text} {_said(c)} ({c.value:.4g} +- {c.std:.2g})" for c in self.combinations]
        if not self.sought:
            words.append(
                f"combinations are looked for among at most {_MOST} undetermined entries that "
                "rounding can tell"
            )
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
    open_directions: int | None = 0
    sought = True
    if (statuses == "not resolved").any() or (open_at.size and len(entries) > _COUNTED):
        open_directions, sought = None, not open_at.size
    elif open_at.size:
        part = _Open(state, names, open_at)
        open_directions, sought = part.directions, len(open_at) <= _MOST
        if sought and open_directions is not None:
            combinations = part.combinations()
    return Identifiability(
        answers=tuple(answers),
        combinations=tuple(combinations),
        open_directions=open_directions,
        sought=sought,
    )


def _said(combination: Combination) -> str:
    return "determined" + (" to first order" if combination.kind == "local" else "")


def _summary(statuses: AnyArray) -> str:
    kinds = set(statuses.tolist())
    if "not resolved" in kinds:
        return "not resolved"
    if kinds == {"determined"}:
        return "determined"
    return "not determined" if kinds == {"undetermined"} else "partly determined"


class _Open:
    """Undetermined entries, in units in which columns of the Jacobian have length one.

    Args:
        state: without a prior.
        names: of parameters, all by default.
        at: which of their entries, in an order that stays.
    """

    def __init__(self, state: State, names: list[str] | None, at: IntArray) -> None:
        risk = state.factor.risk
        self._state, self._entries = state, entries_of(risk, names)[at]
        finite, rest = state.covariance(state.factor.parameters(names, joint=True))
        self._finite, part = (matrix[np.ix_(at, at)] for matrix in (finite, rest))
        self._where = torch.as_tensor(self._entries, device=risk.device)
        self._scale = state.factor.scale[self._where].cpu().numpy()
        labels = labels_of(risk, names)
        self._labels = [labels[i] for i in at]
        # a projection
        values, self._vectors = np.linalg.eigh(part * self._scale[:, None] * self._scale)
        self._closed, is_open = values <= _ZERO, values >= _NOT_ZERO
        known = bool((self._closed | is_open).all())
        self.directions = int(is_open.sum()) if known else None
        # an eigenvalue 1 of a projection: the undetermined direction lies within these parameters
        self._within = bool((values[is_open] > 1 - 1e-6).all())

    def combinations(self, others: int = 0) -> list[Combination]:
        """Named as products or sums, or local ones, without the first `others` entries."""
        if not others and not self._within and (found := self._beside()):
            return found
        basis = self._vectors[:, self._closed]
        if self.directions is None or not basis.shape[1] or (others and not self._within):
            return []
        risk, scale = self._state.factor.risk, self._scale
        theta = risk.theta
        own = theta[self._where].cpu().numpy()
        start = _outputs(self._state, theta)

        def moved_outputs(values: FloatArray) -> float:
            there = theta.clone()
            there[self._where] = torch.from_numpy(values).to(theta)
            try:
                size = float(np.linalg.norm(_outputs(self._state, there) - start))
            except FAILURES:
                return math.inf
            return size if math.isfinite(size) else math.inf

        # what a move of a determined combination does to the outputs is the unit of a change
        length = 0.3 * (float(np.abs(own * scale).max()) or 1.0)
        unit = max(moved_outputs(own + length * column / scale) for column in basis.T) or 1.0
        checked = self._within and math.isfinite(unit)
        return named_combinations(
            self._labels, own, basis, scale, self._finite,
            (lambda values: moved_outputs(values) / unit) if checked else None, others,
        )  # fmt: skip

    def _beside(self) -> list[Combination]:
        """Of these entries, where undetermined directions move other parameters as well."""
        risk = self._state.factor.risk
        if risk.dim > _COUNTED:
            return []
        statuses = self._state.statuses(self._state.factor.parameters(None, joint=False))
        at = np.flatnonzero(statuses == "undetermined")
        if len(at) > _MOST or (statuses == "not resolved").any():
            return []
        asked = np.isin(at, self._entries)
        if asked.all():  # only rounding moves the others
            return []
        order = np.concatenate([at[~asked], at[asked]])
        return _Open(self._state, None, order).combinations(int((~asked).sum()))


def _outputs(state: State, theta: torch.Tensor) -> FloatArray:
    """Outputs of all samples at some parameters, each with its weight at those of the risk."""
    risk = state.factor.risk.at(theta)
    leaves = risk.leaves()
    parts = [risk.outputs(leaves, inputs).detach().reshape(-1) for inputs, _ in risk.batches()]
    whitened = state.factor.data.whiten(torch.cat(parts).double()[:, None])[:, 0]
    return np.asarray(whitened.cpu().numpy(), dtype=np.float64)
