"""Core of a Gauss-Newton posterior: its singular values, noise, rank and evidence."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np
import scipy.stats
import torch
from torch import Tensor

from hessium._arguments import fraction, memory, nonnegative, positive
from hessium._arithmetic import full_precision
from hessium._typing import FloatArray
from hessium.curvature.jacobian import check_jacobian
from hessium.curvature.requirements import require_outputs
from hessium.errors import ConvergenceWarning, InputError
from hessium.estimate import SpectralSum
from hessium.posterior.equal_noise import warn_of_unequal_noise
from hessium.posterior.factor import Factor
from hessium.posterior.factors import Factors
from hessium.posterior.fit import PriorMean, best_prior_precision, noise_of, prior_mean_of
from hessium.posterior.measurements import Measurements
from hessium.posterior.noises import (
    KnownNoises,
    Noise,
    NoiseArgument,
    measured,
    noise_argument,
    noise_words,
)
from hessium.posterior.state import BY_GRAM, State
from hessium.problem import EmpiricalRisk
from hessium.spectra import Count

P = TypeVar("P", bound="PosteriorCore")

_FAR = 0.1  # standard deviations from the minimum that the sentence mentions
_ROUNDED = 8.0  # eps of the outputs: residuals of this size are rounding
_NATS = 0.1  # of an evidence that rounding may change without a warning


class PosteriorCore(ABC):
    """What a posterior is before it answers questions; arguments as in `GaussNewtonPosterior`."""

    @full_precision()
    def __init__(
        self,
        risk: EmpiricalRisk,
        noise: NoiseArgument = None,
        prior_precision: float | int = 0.0,
        *,
        prior_mean: PriorMean = 0.0,
        tol: float | None = None,
        max_bytes: int = 2**30,
        check: bool = True,
    ) -> None:
        require_outputs(risk, "posterior")
        precision = nonnegative("prior_precision", prior_precision)
        max_bytes = memory("max_bytes", max_bytes)
        tol = None if tol is None else fraction("tol", tol)
        given = noise_argument(noise, risk)
        fine = risk if risk.dtype == torch.float64 else risk.in_dtype(torch.float64)
        if check:  # where everything is computed
            check_jacobian(fine, "GaussNewtonPosterior")
        fine, data, scale = measured(fine, given)
        mean = prior_mean_of(prior_mean, fine)
        self._prepare(risk, Factors(fine, data, max_bytes), scale, precision, mean, tol)
        if data.quadratic and given is None:
            warn_of_unequal_noise(self._state)

    def _prepare(
        self,
        risk: EmpiricalRisk,
        factors: Factors,
        noise: float | None,
        prior_precision: float,
        prior_mean: Tensor,
        tol: float | None,
        freedom: float | None = None,
    ) -> None:
        """As `__init__`; with `freedom` the noise is an estimate with these degrees of freedom."""
        self.risk = risk
        self._factors, self._prior_mean, self._tol = factors, prior_mean, tol
        data = factors.data
        self._given = noise if freedom is None else None
        freedom = math.inf if freedom is None else freedom
        if not data.quadratic:
            noise = 1.0
        elif noise is None:
            unit = State(factors=factors, noise=1.0, prior_precision=prior_precision, tol=tol)
            noise, freedom = noise_of(
                data.residual_sum, data.count, unit.factor.singular_values, prior_precision,
                0 if prior_precision else unit.rank.value,
                (_ROUNDED * torch.finfo(self.risk.dtype).eps) ** 2 * data.size,
            )  # fmt: skip
            if not prior_precision:
                _warn_of_rank(unit.rank, data)
        self._freedom = freedom
        self._state = State(factors=factors, noise=noise, prior_precision=prior_precision, tol=tol)
        _ = self._state.factor  # what cannot be factorised is refused at once
        if tol is not None:
            _ = self._state.rank  # and so is a bad tol

    def with_prior(self: P, prior_precision: float | int, *, noise: float | int | None = None) -> P:
        """The same data with another prior precision (and noise), without new derivatives.

        Raises:
            InputError: for a noise, if one was given for each output or each term.
        """
        if noise is not None and isinstance(self._factors.risk, KnownNoises):
            msg = f"noise: {noise!r}; this posterior has several noises: make a new one with others"
            raise InputError(msg)
        other = object.__new__(type(self))
        other._prepare(
            self.risk, self._factors,
            self._given if noise is None else positive("noise", noise),
            nonnegative("prior_precision", prior_precision), self._prior_mean, self._tol,
        )  # fmt: skip
        return other

    @property
    def _factor(self) -> Factor:
        return self._state.factor

    @property
    def noise(self) -> Noise | None:
        r"""$\sigma$, given or estimated; None if the loss is not a squared error.

        An array or a dict if it was given for each output or each term.
        """
        if isinstance(self._factors.risk, KnownNoises):
            return self._factors.risk.noise
        return self._state.noise if self._factor.data.quadratic else None

    @property
    def noise_degrees_of_freedom(self) -> float:
        """Measurements less effective dimension; infinite if the noise is given."""
        return self._freedom

    @property
    def prior_precision(self) -> float:
        r"""$\alpha$."""
        return self._state.prior_precision

    @property
    def num_measurements(self) -> int:
        """Outputs of all samples with a positive weight."""
        return self._factor.data.count

    @property
    def method(self) -> str:
        """How the singular values of the Jacobian were found."""
        return self._factor.route

    @property
    def rank(self) -> Count:
        """Directions of parameter space that the data determine, with the bracket of rounding."""
        return self._state.rank

    @property
    def effective_dimension(self) -> SpectralSum:
        r"""$\sum_i \lambda_i/(\lambda_i + \alpha)$ over the eigenvalues of $J^T J/\sigma^2$.

        Its bracket is that of rounding. Without a prior it is the rank.
        """
        state, s = self._state, self._factor.singular_values
        value = state.effective_dimension()
        if state.prior_precision == 0:
            lower, upper = float(state.rank.lower), float(state.rank.upper)
        elif self._factor.left is None:
            error = self._factor.rounding
            lower = state.effective_dimension(np.maximum(s - error, 0.0))
            upper = state.effective_dimension(s + error)
        else:
            error = self._factor.rounding * float(s[0])
            lower = state.effective_dimension(np.sqrt(np.maximum(s**2 - error, 0.0)))
            beyond = min(self.risk.num_outputs, self.risk.dim) - s.size
            missing = error / (error + state.prior_precision * state.noise**2)
            upper = state.effective_dimension(np.sqrt(s**2 + error)) + beyond * missing
        return SpectralSum(
            value=value, lower=min(lower, value), upper=max(upper, value), stderr=0.0,
            num_matvecs=s.size, steps=0, brackets=np.array([[lower, upper]]), smallest=0.0,
            method="exact",
        )  # fmt: skip

    @property
    def singular_values(self) -> FloatArray:
        """Of the Jacobian in units of the noise, descending; those below rounding are left out.

        In the units of the parameters, on which they depend; `rank` does not.
        """
        return self._factors.plain.singular_values / self._state.noise

    def coverage_factor(self, confidence: float = 0.95) -> float:
        """Standard deviations of an interval: Student's t if the noise is estimated, else normal.

        The interval of a parameter is its value plus and minus this factor times its standard
        deviation.

        Raises:
            InputError: if not 0 < confidence < 1.
        """
        level = 0.5 + fraction("confidence", confidence) / 2
        if math.isinf(self._freedom):
            return float(scipy.stats.norm.ppf(level))
        return float(scipy.stats.t.ppf(level, self._freedom))

    @cached_property
    def distance_from_minimum(self) -> float:
        r"""Standard deviations from the parameters to the minimum of the quadratic model.

        $\sqrt{g^T Q^{-1} g}$, g the gradient of the negative log-posterior and Q the precision,
        without a prior in the determined directions only. If it is not small, the risk
        is not at its minimum, and the intervals have another centre. Cost: one gradient.
        """
        state, factor = self._state, self._factor
        risk, alpha = factor.risk, state.prior_precision
        slope = risk.gradient() * risk.denominator
        slope = slope / (factor.data.largest_weight * state.noise**2)
        if alpha > 0:
            slope = slope + alpha * (risk.theta - self._prior_mean)
        along = factor.from_functionals(slope)
        kept = state.rank.lower if alpha == 0 else along.size
        found = float((along[:kept] ** 2 / (state.precisions[:kept] + alpha)).sum())
        if alpha > 0:
            found += float((slope - factor.to_functionals(along)).square().sum()) / alpha
        return math.sqrt(found)

    @property
    def log_evidence(self) -> float:
        r"""Laplace's approximation of the log evidence, with the prior $\mathcal N(\mu, I/\alpha)$.

        $\log p(D|\theta) - \frac12 (\sum_i \log(1 + \lambda_i/\alpha) + \alpha|\theta - \mu|^2)$.

        It holds at the maximum of the posterior with this prior. Elsewhere the evidence of the
        linear model is larger by half the square of `distance_from_minimum` (Antoran et al. 2022,
        "Adapting the linearised Laplace model evidence"), and a warning says so.

        Raises:
            InputError: without a prior, which has no evidence.
        """
        missing = self.distance_from_minimum**2 / 2 if self.prior_precision else 0.0
        if missing > _NATS:
            _warn_of_distance("log_evidence", self.distance_from_minimum)
        return self._log_evidence()

    def _log_evidence(self) -> float:
        alpha = self.prior_precision
        if alpha == 0:
            msg = "prior_precision: 0; an evidence needs a proper prior, prior_precision > 0"
            raise InputError(msg)
        data, noise = self._factor.data, self._state.noise
        likelihood = -data.total
        if data.quadratic:
            likelihood = -0.5 * data.residual_sum / noise**2 + 0.5 * data.log_weights
            likelihood -= data.count * math.log(noise * math.sqrt(2 * math.pi))
        spread = float(np.log1p(self._state.precisions / alpha).sum())
        dropped = min(self.risk.num_outputs, self.risk.dim) - self._state.precisions.size
        missing = dropped * math.log1p(self._state.hidden_precision / alpha) / 2
        if missing > _NATS:
            msg = f"log_evidence: up to {missing:.2g} nats too large, since {BY_GRAM}"
            warnings.warn(msg, ConvergenceWarning, stacklevel=2)
        return likelihood - 0.5 * (spread + alpha * self._squared_distance)

    def with_largest_evidence(self: P) -> P:
        """The posterior whose prior precision maximises `log_evidence` at these parameters.

        The noise stays that of this posterior, with its degrees of freedom. The parameters do not
        move: a warning says how far they are from the maximum of the new posterior, and then train
        again with this prior.

        Raises:
            InputError: if the parameters are at the prior mean.
        """
        # in the units of the parameters, as the prior is
        precisions = self.singular_values**2
        alpha = best_prior_precision(
            lambda a: float((precisions / (precisions + a)).sum()), self._squared_distance
        )
        other = object.__new__(type(self))
        noise = self._state.noise if self._factor.data.quadratic else None
        other._prepare(
            self.risk, self._factors, noise, alpha, self._prior_mean, self._tol,
            self._freedom if self._given is None else None,
        )  # fmt: skip
        if other.distance_from_minimum**2 / 2 > _NATS:
            _warn_of_distance("with_largest_evidence", other.distance_from_minimum)
        return other

    @property
    def _squared_distance(self) -> float:
        return float((self._factor.risk.theta - self._prior_mean).square().sum())

    @abstractmethod
    def parameter_std(self, names: Sequence[str] | None = None) -> FloatArray:
        """Standard deviations of parameters."""

    def __repr__(self) -> str:
        state = self._state
        words = [
            f"{self.num_measurements} measurements"
            if self._factor.data.quadratic or self.risk.num_samples is None
            else f"{self.risk.num_samples} samples",
            f"{self.risk.dim} parameters",
            f"{self.rank.bracket} directions determined by the data",
            f"effective dimension {state.effective_dimension():.4g}",
        ]
        if self.noise is not None:
            how = (
                "given" if math.isinf(self._freedom) else f"estimated, {self._freedom:.4g} degrees"
            )
            words.append(f"noise {noise_words(self.noise)} ({how})")
        words.append(f"prior precision {state.prior_precision:g}")
        if self.distance_from_minimum > _FAR:
            words.append(f"minimum {self.distance_from_minimum:.2g} standard deviations away")
        return f"GaussNewtonPosterior({', '.join(words)})"


def _warn_of_distance(what: str, distance: float) -> None:
    msg = (
        f"{what}: the parameters are {distance:.3g} standard deviations from the maximum of the "
        f"posterior, where the linear model has an evidence {distance**2 / 2:.3g} nats larger; "
        "train with this prior and call it again"
    )
    warnings.warn(msg, ConvergenceWarning, stacklevel=3)


def _warn_of_rank(rank: Count, data: Measurements) -> None:
    """An estimated noise depends on the rank."""
    if rank.lower == rank.upper:
        return
    left = [max(data.count - r, 0) for r in (rank.lower, rank.upper)]
    ends = [math.sqrt(data.residual_sum / n) if n else math.inf for n in left]
    msg = (
        f"noise: None; the rank is between {rank.lower} and {rank.upper} in rounding, so the noise "
        f"is between {ends[0]:.3g} ({left[0]} degrees of freedom) and {ends[1]:.3g} ({left[1]}); "
        "give noise=, tol= or a prior_precision"
    )
    warnings.warn(msg, ConvergenceWarning, stacklevel=4)
