"""Questions to a posterior about measurements that have not been made yet."""

from __future__ import annotations

from abc import ABC
from typing import Any

from hessium._arithmetic import full_precision
from hessium._typing import FloatArray, IntArray
from hessium.posterior.core import PosteriorCore
from hessium.posterior.design import Criterion, Design, design, gains


class MeasurementChoice(PosteriorCore, ABC):
    """A posterior that says what a measurement would tell, and which to make next."""

    @full_precision()
    def information_gain(self, candidates: Any) -> FloatArray:
        r"""Information about the parameters from one measurement at each candidate, in nats.

        $\frac12\log(1 + v/\sigma^2)$ for one output with the variance v; $\frac12\log\det(I +
        V/\sigma^2)$ for several outputs measured together. Infinite where the measurement would
        determine a new direction. Candidates that are inputs of the data give the gain of a
        repetition.

        Args:
            candidates: one batch of inputs, without targets.

        Returns:
            Shape (samples,).

        Raises:
            InputError: if the loss is not a squared error.
        """
        return gains(self._state, candidates).nats

    def next_measurements(
        self,
        candidates: Any,
        k: int,
        *,
        criterion: Criterion = "D",
        costs: Any = None,
        targets: Any = None,
        repeat: bool = False,
    ) -> IntArray:
        """Indices of the k candidates to measure next, the best first; see `design`."""
        return self.design(
            candidates, k, criterion=criterion, costs=costs, targets=targets, repeat=repeat
        ).indices

    @full_precision()
    def design(
        self,
        candidates: Any,
        k: int,
        *,
        criterion: Criterion = "D",
        costs: Any = None,
        targets: Any = None,
        repeat: bool = False,
    ) -> Design:
        r"""The k next measurements, one after the other, each with what it gains.

        Greedy: every choice accounts for those before it by an exact update of the joint covariance
        of all candidates, so that two close candidates are not both chosen. Greedy choices of the
        D-criterion gain at least $1 - 1/e$ of the best set (Nemhauser et al. 1978).

        Args:
            candidates: one batch of inputs, without targets.
            k: number of measurements.
            criterion: "D", largest information gain; "A", smallest mean variance of the predictions
                at `targets`.
            costs: of a measurement at each candidate, (samples,); gains are divided by them.
            targets: inputs whose predictions shall be good, for "A"; the candidates by default.
            repeat: whether a candidate may be chosen more than once.

        Raises:
            InputError: for a bad argument, or a loss that is not a squared error.
        """
        return design(
            self._state, candidates, k, criterion=criterion, costs=costs, targets=targets,
            repeat=repeat,
        )  # fmt: skip
