"""Parameters and predictions that the data leave open: the directions, and what would fix them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from hessium._display import Displayable
from hessium._typing import AnyArray
from hessium.curvature.jacobian_columns import dense_columns
from hessium.posterior import _tables
from hessium.posterior.combinations import Combination
from hessium.posterior.entries import entries_of, labels_of
from hessium.posterior.factor import Functionals
from hessium.posterior.identifiability import identifiability
from hessium.posterior.shares import shares
from hessium.posterior.state import State
from hessium.problem.other_inputs import OnInputs

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 20  # answers with their directions; the others are only counted
_FEW = 50  # parameters that are named entry by entry
_PARTNERS = 4  # parameters named in one direction
_VISIBLE = 1e-6  # of the largest entry of a direction


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAnswer:
    """One undetermined parameter or output.

    Attributes:
        label: its name and index.
        answer: "undetermined" or "not resolved".
        moves: names and entries of the direction of unit length that moves it and leaves the data
            as they are, largest first; squares of lengths by parameter tensor in large models.
        advice: what would determine it.
        fix: the part of the advice on fixing a parameter, or "".
        through: named combinations on which alone the outputs at the data depend, such as "b c";
            named in models of at most 50 parameters.

    Example:
        >>> answers = hs.GaussNewtonPosterior(risk, noise=0.1).undetermined().answers
        >>> isinstance(answers, tuple)
        True
    """

    label: str
    answer: str
    moves: tuple[tuple[str, float], ...]
    advice: str
    fix: str = ""
    through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Undetermined(Displayable):
    """What the data leave open.

    Attributes:
        what: "parameters" or "predictions".
        total: number of entries asked for.
        open: number of undetermined entries.
        unresolved: number of entries that rounding cannot tell.
        answers: the first 20 of both kinds.

    Example:
        >>> post = hs.GaussNewtonPosterior(risk, noise=0.1)
        >>> found = post.undetermined()
        >>> found.open >= 1  # 13 parameters, 12 samples
        True
    """

    what: str
    total: int
    open: int
    unresolved: int
    answers: tuple[OpenAnswer, ...]

    def _columns(self) -> _tables.Columns:
        return {
            self.what[:-1]: [one.label for one in self.answers],
            "answer": [one.answer for one in self.answers],
            "direction": [_words(one.moves) for one in self.answers],
            "advice": [one.advice for one in self.answers],
        }

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each answer."""
        return _tables.frame(self._columns())

    def _repr_html_(self) -> str:
        """The sentence and the table."""
        return _tables.html(repr(self), self._columns())

    def __repr__(self) -> str:
        if not self.open + self.unresolved:
            return f"Undetermined(none of {self.total} {self.what}: the data determine all)"
        words = f"{self.open} of {self.total} {self.what} undetermined"
        if self.unresolved:
            words += f", {self.unresolved} not resolved"
        first = self.answers[0]
        along = f" along {_words(first.moves)}" if first.moves else ""
        return f"Undetermined({words}; {first.label} moves{along}: {first.advice})"


def undetermined_parameters(state: State, names: list[str] | None) -> Undetermined:
    """The entries of some parameters that the data alone leave open."""
    state = state.data_alone
    g = state.factor.parameters(names, joint=False)
    found, shown = _which(state, g)
    entries, labels = entries_of(state.factor.risk, names), labels_of(state.factor.risk, names)
    units = torch.zeros(state.dim, len(shown), dtype=torch.float64, device=state.factor.risk.device)
    for column, at in enumerate(shown):
        units[int(entries[at]), column] = 1.0
    return _result(state, "parameters", g, found, shown, [labels[at] for at in shown], units)


def undetermined_outputs(state: State, inputs: Any) -> Undetermined:
    """The outputs at some inputs that the data alone leave open."""
    state = state.data_alone
    g, shape = state.factor.outputs(inputs, joint=False)
    found, shown = _which(state, g)
    labels = [
        "output[" + ", ".join(str(int(i)) for i in np.unravel_index(at, tuple(shape) or (1,))) + "]"
        for at in shown
    ]
    gradients = torch.zeros(state.dim, 0, dtype=torch.float64, device=state.factor.risk.device)
    if shown:
        there = OnInputs(state.factor.risk, [inputs])
        gradients = dense_columns(there, state.factor.max_bytes)[0][shown].mT
    return _result(state, "predictions", g, found, shown, labels, gradients)


def _which(state: State, g: Functionals) -> tuple[AnyArray, list[int]]:
    answers = state.statuses(g)
    return answers, [int(at) for at in np.flatnonzero(answers != "determined")[:_SHOWN]]


def _result(
    state: State,
    what: str,
    g: Functionals,
    answers: AnyArray,
    shown: list[int],
    labels: list[str],
    vectors: Tensor,
) -> Undetermined:
    found = []
    if shown:
        kept = g.along[shown].copy()
        kept[:, state.rank.value :] = 0.0
        outside = state.factor.moves_of(vectors) - state.factor.to_parameters(kept.T)
        small = what == "parameters" and state.dim <= _FEW
        named = identifiability(state, list(state.factor.risk.names)).combinations if small else ()
        for label, at, direction in zip(labels, shown, outside.unbind(1), strict=True):
            moves = _moves(state, direction)
            through = [c for c in named if label in c.parameters and c.kind != "local"]
            partners = _connected(label, named) if through else [name for name, _ in moves]
            fix = _fix(label if small else None, partners) if state.dim <= _FEW else ""
            found.append(
                OpenAnswer(
                    label=label,
                    answer=str(answers[at]),
                    moves=moves,
                    advice=_advice(str(answers[at]), fix, through, state.dim - state.rank.value),
                    fix=fix,
                    through=tuple(c.text for c in through),
                )
            )
    return Undetermined(
        what=what,
        total=len(answers),
        open=int((answers == "undetermined").sum()),
        unresolved=int((answers == "not resolved").sum()),
        answers=tuple(found),
    )


def _moves(state: State, direction: Tensor) -> tuple[tuple[str, float], ...]:
    """The entries of a direction of unit length, or its shares by parameter, largest first.

    What is large, and the shares, are in units in which columns of the Jacobian have length one.
    """
    risk = state.factor.risk
    length = float(direction.norm())
    if length == 0:
        return ()
    if risk.dim <= _FEW:
        unit = (direction / length).cpu().numpy()
        labels = labels_of(risk, None)
        sizes = state.factor.in_units(direction).abs().cpu().numpy()
        order = np.argsort(-sizes, kind="stable")[:_PARTNERS]
        largest = float(sizes.max())
        return tuple((labels[i], float(unit[i])) for i in order if sizes[i] > _VISIBLE * largest)
    table = shares(
        state.factor.in_units(direction)[:, None],
        risk.layout.named_shapes,
        np.array([length]),
        "length",
    )
    return tuple((name, share) for name, share in table.largest(0, _PARTNERS) if share > _VISIBLE)


def _connected(label: str, named: Sequence[Combination]) -> list[str]:
    """Parameters that combinations tie to one, any of which determines it."""
    found, size = {label: None}, 0
    while len(found) > size:
        size = len(found)
        for one in named:
            if found.keys() & set(one.parameters):
                found |= dict.fromkeys(one.parameters)
    return list(found)


def _fix(own: str | None, partners: list[str]) -> str:
    """Which parameter to fix. Weights of a large network have no known values."""
    others = [name for name in partners if name != own][:_PARTNERS]
    every = ([own] if own else []) + others
    if not every:
        return ""
    return f"fix {every[0] if len(every) == 1 else 'one of ' + ', '.join(every)} at a known value"


def _advice(answer: str, fix: str, through: list[Combination], directions: int) -> str:
    if answer == "not resolved":
        return (
            "rounding cannot tell whether the data determine it: give prior_precision, or tol "
            "for the threshold below which a direction counts as undetermined"
        )
    first = f"{fix}, " if fix else ""
    # an infinite gain at some place may be that of another direction
    other = f" (not at every such place: {directions} directions are open)" * (directions > 1)
    if through:
        texts = ", ".join(one.text for one in through)
        return (
            f"{first}or give a prior_precision; the outputs at the data depend on it through "
            f"{texts} only, so no measurement there separates them; one elsewhere can, "
            f"where information_gain is infinite{other}"
        )
    return f"{first}measure where information_gain is infinite{other}, or give a prior_precision"


def _words(moves: tuple[tuple[str, float], ...]) -> str:
    return ", ".join(f"{value:+.2g} {name}" for name, value in moves)
