"""Questions to a posterior about measurements that have not been made yet."""

from __future__ import annotations

from abc import ABC
from typing import Any

import numpy as np

from hessium._arithmetic import full_precision
from hessium._typing import FloatArray, IntArray
from hessium.posterior.candidates import measured_in, noise_variances
from hessium.posterior.core import PosteriorCore
from hessium.posterior.design import Criterion, Design, design, gains, require_noise


class MeasurementChoice(PosteriorCore, ABC):
    """A posterior that says what a measurement would tell, and which to make next."""

    @full_precision()
    def measurement_std(self, inputs: Any, *, term: str | None = None) -> FloatArray:
        r"""Standard deviations of new measurements: of the predictions, and of their noise.

        $\sqrt{v + \sigma^2}$ with the variance v of `prediction_std` and the noise $\sigma$ of a
        measurement of this output, as in `information_gain`.

        Args:
            inputs: one batch of inputs, without targets.
            term: as in `information_gain`.

        Returns:
            In the shape of the outputs; infinite where the data leave an output open, or the loss
            gives it no weight.

        Raises:
            InputError: if the loss is not a squared error, or several terms could measure there.

        Cost: that of `prediction_std`.
        """
        require_noise(self._state)
        there = measured_in(self.risk, inputs, term)
        g, shape = self._state.factor.outputs(there, joint=False)
        found = self._state.variances(g).reshape(tuple(shape))
        each = shape[1:].numel() if shape else 1
        noises = noise_variances(self._state, there, each).reshape(tuple(shape[1:]))
        return np.sqrt(found + noises)

    @full_precision()
    def information_gain(self, candidates: Any, *, term: str | None = None) -> FloatArray:
        r"""Information about the parameters from one measurement at each candidate, in nats.

        $\frac12\log(1 + v/\sigma^2)$ for one output with the variance v and the noise $\sigma$;
        $\frac12\log\det(I + R^{-1} V)$ for several outputs measured together, R the covariance of
        their noise. Infinite where the measurement would determine a new direction; a lower bound,
        with a warning, where rounding cannot tell. Candidates that are inputs of the data give the
        gain of a repetition.

        An output has the noise of its measurements in the data (`noise=`, and the weights of the
        loss); where weights differ from sample to sample, that of the largest weight. An output to
        which the loss gives no weight is not measured.

        Args:
            candidates: one batch of inputs, without targets.
            term: of an `hs.SumRisk`, the one whose outputs are measured there. By default that of
                `risk.inputs_of(term, inputs)`, or else the only term without `forward=`.

        Returns:
            Shape (samples,).

        Raises:
            InputError: if the loss is not a squared error, or several terms could measure there.

        Cost: the Jacobian at the candidates, and a matrix of all their outputs.
        """
        return gains(self._state, measured_in(self.risk, candidates, term))

    def next_measurements(
        self,
        candidates: Any,
        k: int,
        *,
        criterion: Criterion = "D",
        costs: Any = None,
        targets: Any = None,
        repeat: bool = False,
        term: str | None = None,
    ) -> IntArray:
        """Indices of the k candidates to measure next, the best first; see `design`."""
        return self.design(
            candidates, k, criterion=criterion, costs=costs, targets=targets, repeat=repeat,
            term=term,
        ).indices  # fmt: skip

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
        term: str | None = None,
    ) -> Design:
        r"""The k next measurements, one after the other, each with what it gains.

        Greedy: every choice accounts for those before it by an exact update of the joint covariance
        of all candidates, so that two close candidates are not both chosen. Greedy choices of the
        D-criterion gain at least $1 - 1/e$ of the best set of k candidates where all cost the same
        and gains are finite (Nemhauser et al. 1978). With unequal costs the bound does not
        hold: the best gain per cost may be a small gain.

        Without a prior, D takes first what determines most new directions; A first lowers what the
        data leave open at the targets, as the limit of a vanishing prior does, then the finite part
        of their variance. Noise of an output as in `information_gain`.

        Args:
            candidates: one batch of inputs, without targets.
            k: number of measurements.
            criterion: "D", largest information gain; "A", smallest mean variance of the predictions
                at `targets`, each divided by the squared noise of its output.
            costs: of a measurement at each candidate, (samples,); gains are divided by them.
            targets: inputs whose predictions shall be good, for "A"; the candidates by default.
            repeat: whether a candidate may be chosen more than once.
            term: as in `information_gain`; targets are of the same term.

        Raises:
            InputError: for a bad argument, a loss that is not a squared error, or several terms
                that could measure at the candidates.

        Cost: the Jacobian at m candidates and t targets with c outputs each, a matrix of all
        (m + t) c outputs, and for each of k measurements about $c^3 (m + t)^2$ operations.
        """
        return design(
            self._state, measured_in(self.risk, candidates, term), k, criterion=criterion,
            costs=costs, targets=targets, repeat=repeat,
        )  # fmt: skip
