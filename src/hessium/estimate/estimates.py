"""Monte Carlo estimates of a number or a vector, with standard errors and intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.special
from torch import Tensor

from hessium._arguments import fraction
from hessium._display import Displayable
from hessium._typing import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Estimate(Displayable):
    """An estimate of a number from random probes; `float` gives its value.

    Attributes:
        value: the estimate, unbiased.
        stderr: its standard error; 0 if exact.
        num_matvecs: number of products spent.
        method: name of the method used.
        samples: one estimate for each probe, shape (k,); `value` is their mean. Those of the
            methods "xtrace" and "exchangeable" are dependent: `stderr` accounts for that,
            `samples.std() / k**0.5` does not.
    """

    value: float
    stderr: float
    num_matvecs: int
    method: str
    samples: FloatArray

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Student's interval that contains the true value with probability `confidence`.

        Raises:
            InputError: if not 0 < confidence < 1.
        """
        width = student(confidence, self.samples.size) * self.stderr
        return self.value - width, self.value + width

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        return (
            f"Estimate({self.value:.6g} +- {self.stderr:.2g}, {self.method}, "
            f"{self.num_matvecs} products)"
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class NormEstimate(Displayable):
    r"""An estimate of a norm, the root of an estimated square; `float` gives its value.

    Attributes:
        square: $\|A\|_F^2$, whose estimate is unbiased.
    """

    square: Estimate

    @property
    def value(self) -> float:
        """The root of the estimate of the square."""
        return max(self.square.value, 0.0) ** 0.5

    @property
    def stderr(self) -> float:
        """Standard error, to first order."""
        return self.square.stderr / (2 * self.value) if self.value else 0.0

    @property
    def num_matvecs(self) -> int:
        """Number of products spent."""
        return self.square.num_matvecs

    @property
    def method(self) -> str:
        """Name of the method used."""
        return self.square.method

    @property
    def samples(self) -> FloatArray:
        """One estimate of the square for each probe."""
        return self.square.samples

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The roots of the interval of the square. Errors as in `Estimate.interval`."""
        lower, upper = self.square.interval(confidence)
        return max(lower, 0.0) ** 0.5, max(upper, 0.0) ** 0.5

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        return (
            f"NormEstimate({self.value:.6g} +- {self.stderr:.2g}, {self.method}, "
            f"{self.num_matvecs} products)"
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class DiagonalEstimate(Displayable):
    """An estimate of the diagonal of an operator from random probes.

    Attributes:
        value: the unbiased estimates, shape (n,), in the operator's dtype and on its device.
        stderr: standard error of each, shape (n,); 0 where it is exact.
        num_matvecs: products with the operator that it cost.
        method: how it was found.
        probes: number of samples behind each entry.
    """

    value: Tensor
    stderr: Tensor
    num_matvecs: int
    method: str
    probes: int

    def interval(self, confidence: float = 0.95) -> tuple[Tensor, Tensor]:
        """Student's interval for each entry separately, two tensors (n,).

        Raises:
            InputError: if not 0 < confidence < 1.
        """
        width = student(confidence, self.probes) * self.stderr
        return self.value - width, self.value + width

    def __repr__(self) -> str:
        typical = float(self.stderr.square().mean().sqrt())
        return (
            f"DiagonalEstimate({self.value.shape[0]} entries, standard error {typical:.2g} (rms), "
            f"{self.method}, {self.num_matvecs} products)"
        )


def student(confidence: float, samples: int) -> float:
    """Half-width of Student's interval in standard errors, for a mean of `samples` samples.

    Raises:
        InputError: if not 0 < confidence < 1.
    """
    confidence = fraction("confidence", confidence)
    return float(scipy.special.stdtrit(max(samples - 1, 1), (1 + confidence) / 2))


def from_samples(samples: FloatArray, *, num_matvecs: int, method: str) -> Estimate:
    """The mean of independent samples."""
    spread = float(np.std(samples, ddof=1)) if samples.size > 1 else float("inf")
    return Estimate(
        value=float(samples.mean()),
        stderr=spread / samples.size**0.5,
        num_matvecs=num_matvecs,
        method=method,
        samples=samples,
    )


def exactly(value: float, *, num_matvecs: int) -> Estimate:
    """An exact number as an estimate with standard error 0."""
    return Estimate(
        value=value,
        stderr=0.0,
        num_matvecs=num_matvecs,
        method="exact",
        samples=np.array([value]),
    )
