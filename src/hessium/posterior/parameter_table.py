"""Parameters with value, standard deviation and answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hessium._display import Displayable
from hessium._typing import FloatArray
from hessium.posterior import _tables
from hessium.posterior.entries import entries_of, labels_of
from hessium.posterior.state import State

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class ParameterTable(Displayable):
    """Entries of parameters in the order of the risk.

    Attributes:
        sentence: the posterior in words.
        labels: name and index of each entry, (entries,).
        value: at the parameters of the risk, (entries,).
        std: standard deviation of data and prior, (entries,); without a prior infinite where
            undetermined.
        answer: of the data alone: "determined", "undetermined" or "not resolved", (entries,).

    Example:
        >>> post = hs.GaussNewtonPosterior(risk, noise=0.1, prior_precision=1.0)
        >>> len(post.parameters(["2.weight"]).labels)
        4
    """

    sentence: str
    labels: tuple[str, ...]
    value: FloatArray
    std: FloatArray
    answer: tuple[str, ...]

    def _columns(self) -> _tables.Columns:
        return {
            "parameter": self.labels,
            "value": self.value.tolist(),
            "std": self.std.tolist(),
            "answer": self.answer,
        }

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each entry."""
        return _tables.frame(self._columns())

    def _repr_html_(self) -> str:
        """The sentence and the table."""
        return _tables.html(self.sentence, self._columns())

    def __repr__(self) -> str:
        open_ = sum(one != "determined" for one in self.answer)
        return f"ParameterTable({len(self.labels)} entries, {open_} not determined)"


def parameter_table(state: State, sentence: str, names: list[str] | None) -> ParameterTable:
    """The table of some parameters, all by default."""
    risk = state.factor.risk
    g = state.factor.parameters(names, joint=False)
    alone = state.data_alone
    own = g if alone is state else alone.factor.parameters(names, joint=False)
    return ParameterTable(
        sentence=sentence,
        labels=tuple(labels_of(risk, names)),
        value=risk.theta.cpu().numpy()[entries_of(risk, names)],
        std=np.sqrt(state.variances(g)),
        answer=tuple(alone.statuses(own).tolist()),
    )
