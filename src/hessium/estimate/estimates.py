"""What random probes give: a number, or n of them, with a standard error and an interval."""

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
    """A number known from random probes; as a float it is its value.

    Attributes:
        value: the estimate, without bias.
        stderr: its standard error; 0 where it is exact.
        num_matvecs: products with the operator that it cost.
        method: how it was found.
        samples: one estimate for each probe, shape (k,); `value` is their mean. Those of the
            methods "xtrace" and "exchangeable" are not independent: `stderr` knows that,
            `samples.std() / k**0.5` does not.
    """

    value: float
    stderr: float
    num_matvecs: int
    method: str
    samples: FloatArray

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Student's interval that holds the truth with probability `confidence`.

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
    r"""A norm, the root of a number known from random probes; as a float it is its value.

    Attributes:
        square: $\|A\|_F^2$, the number that is estimated without bias.
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
        """Products with the operator that it cost."""
        return self.square.num_matvecs

    @property
    def method(self) -> str:
        """How it was found."""
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
    """The diagonal of an operator, known from random probes.

    Attributes:
        value: the estimates, without bias, shape (n,), in the operator's dtype and on its device.
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
        """Student's interval for every entry alone, two tensors (n,).

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
    """Half-width of an interval in standard errors, for a mean of so many samples.

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
    """A number that needed no luck."""
    return Estimate(
        value=value,
        stderr=0.0,
        num_matvecs=num_matvecs,
        method="exact",
        samples=np.array([value]),
    )
