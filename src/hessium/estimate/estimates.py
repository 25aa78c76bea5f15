"""Estimates from random probes: a number, a norm, a diagonal, a spectral sum, with errors."""

from __future__ import annotations

import abc
from dataclasses import dataclass

import numpy as np
import scipy.special
from torch import Tensor

from hessium._arguments import fraction
from hessium._display import Displayable
from hessium._typing import FloatArray

_WIDE = 1e-3  # of the value: a bracket of rounding beyond that is not exact


class WithInterval(Displayable, abc.ABC):
    """A number with an interval at any confidence, and the ends of that at 95 %."""

    __slots__ = ()

    @abc.abstractmethod
    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Interval that contains the true value with probability `confidence`."""

    @property
    def lower(self) -> float:
        """Lower end of the interval of 95 %."""
        return self.interval()[0]

    @property
    def upper(self) -> float:
        """Upper end of the interval of 95 %."""
        return self.interval()[1]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Estimate(WithInterval):
    """An estimate of a number from random probes; `float` gives its value.

    Attributes:
        value: the estimate, unbiased.
        stderr: its standard error; 0 if exact.
        num_matvecs: number of products spent.
        method: name of the method used.
        samples: one estimate for each probe, shape (k,); `value` is their mean. Those of the
            methods "xtrace" and "exchangeable" are dependent: `stderr` accounts for that,
            `samples.std() / k**0.5` does not.

    Example:
        >>> found = hs.trace(H, matvecs=200)
        >>> found.stderr >= 0, found.lower <= found.value <= found.upper
        (True, True)
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
class NormEstimate(WithInterval):
    r"""An estimate of a norm, the root of an estimated square; `float` gives its value.

    Attributes:
        square: $\|A\|_F^2$, whose estimate is unbiased.

    Example:
        >>> norm = hs.frobenius_norm(H)
        >>> bool(np.isclose(norm.value**2, norm.square.value))
        True
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

    Example:
        >>> hs.diagonal(H).value.shape
        torch.Size([13])
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


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class SpectralSum(Displayable):
    r"""$\sum_i f(\lambda_i)$; `float` gives its value.

    Attributes:
        value: the estimate: the middle of the bracket, or its upper end if the lower one is
            infinite.
        lower: lower bound on the mean over probes with exact quadrature.
        upper: upper bound on that mean.
        stderr: Monte-Carlo standard error.
        num_matvecs: number of products spent.
        steps: Lanczos steps for each probe.
        brackets: lower and upper end for each probe, shape (probes, 2).
        smallest: the lower bound on the eigenvalues used for the lower ends, minus infinity if
            there is none.
        method: "stochastic Lanczos quadrature", or "exact": from all eigenvalues. Then the bracket
            covers rounding, `stderr` is 0, `steps` is 0, and `num_matvecs` the size of the matrix
            that was solved, the number of products that its columns are worth.

    Example:
        >>> found = hs.effective_dimension(H0, shift=1e-3)
        >>> found.lower <= found.value <= found.upper
        True
    """

    value: float
    lower: float
    upper: float
    stderr: float
    num_matvecs: int
    steps: int
    brackets: FloatArray
    smallest: float
    method: str = "stochastic Lanczos quadrature"

    @property
    def samples(self) -> FloatArray:
        """One estimate for each probe, shape (probes,)."""
        return middle(self.brackets)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Interval that includes both errors: Student's interval around lower and upper ends.

        For an exact sum it is the bracket of rounding.

        Raises:
            InputError: if not 0 < confidence < 1.
        """
        width = student(confidence, len(self.brackets)) / len(self.brackets) ** 0.5
        down, up = (spread(self.brackets[:, side]) for side in (0, 1))
        return self.lower - width * down, self.upper + width * up

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        if self.steps:
            error = f" +- {self.stderr:.2g}, quadrature"
        elif self.upper - self.lower <= _WIDE * abs(self.value):
            error = ", exact, rounding"
        else:
            error = ", from all eigenvalues, rounding (less with dtype=torch.float64)"
        return (
            f"SpectralSum({self.value:.6g}{error} in [{self.lower:.6g}, {self.upper:.6g}], "
            f"{self.num_matvecs} products)"
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


def middle(brackets: FloatArray) -> FloatArray:
    """Middles of brackets (k, 2); the upper end where the lower one is minus infinity."""
    open_below = np.isneginf(brackets[:, 0])
    return np.where(open_below, brackets[:, 1], brackets.mean(axis=1))


def spread(samples: FloatArray) -> float:
    """Standard deviation of finite samples; 0 of one sample, or if one is not finite."""
    known = samples.size > 1 and bool(np.isfinite(samples).all())
    return float(samples.std(ddof=1)) if known else 0.0
