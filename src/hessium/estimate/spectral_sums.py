r"""Sums $\sum_i f(\lambda_i)$ by stochastic Lanczos quadrature, with both errors.

For a probe $\omega$ uniform on the sphere of radius $\sqrt n$ the quadrature of A in its direction,
times n, is an unbiased estimate of the sum (Monte Carlo error). A quadrature with k nodes is
approximate (algorithmic error). Here the odd derivatives of f are positive and the even ones
negative; then the Gauss rule is an upper bound on the integral and the Gauss-Radau rule with a node
below the spectrum a lower bound (Golub & Meurant 2010, section 6.2): the two rules bracket it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from hessium._arguments import count, function, memory, number, positive
from hessium._arithmetic import full_precision
from hessium._display import Displayable
from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.errors import IndefiniteError, InputError, NonFiniteError
from hessium.estimate.estimates import student
from hessium.estimate.exact import exact_spectrum, fits
from hessium.estimate.probe_stream import Source, one_of
from hessium.estimate.probes import sphere
from hessium.linalg.adapt import Operator, as_operator
from hessium.linalg.lanczos import lanczos_rules
from hessium.linalg.operator import SymmetricOperator
from hessium.progress import Progress, silent
from hessium.spectra import DiscreteMeasure, Measure
from hessium.spectra.gauss_rule import GaussRule

Method = Literal["auto", "exact", "quadrature"]
_WIDE = 1e-3  # of the value: a bracket of rounding beyond that is not exact
FAILURE = 1e-6  # probability that the bound on the spectrum found from random starts is wrong


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
        return _middle(self.brackets)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Interval that includes both errors: Student's interval around lower and upper ends.

        For an exact sum it is the bracket of rounding.

        Raises:
            InputError: if not 0 < confidence < 1.
        """
        width = student(confidence, len(self.brackets)) / len(self.brackets) ** 0.5
        down, up = (_spread(self.brackets[:, side]) for side in (0, 1))
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


@full_precision()
def log_determinant(
    op: Operator | SymmetricOperator | Tensor,
    *,
    shift: float = 0.0,
    method: Method = "auto",
    probes: int = 10,
    steps: int = 80,
    smallest: float | None = None,
    rng: Rng = 0,
    max_bytes: int = 2**33,
    progress: Progress = silent,
) -> SpectralSum:
    r"""$\log\det(A + sI) = \sum_i \log(\lambda_i + s)$ for a positive definite $A + sI$.

    Args:
        op: A, an operator or a symmetric tensor.
        shift: s.
        method: "exact", from all eigenvalues of the matrix or its smaller companion (the Gram
            matrix of a `GaussNewton`); "quadrature"; or "auto": exact if it fits into memory.
        probes: random vectors of the quadrature.
        steps: Lanczos steps for each probe.
        smallest: a proven lower bound on the eigenvalues of A, 0 where A is known to be positive
            semidefinite. By default the bound that the random starts prove with probability 1 -
            1e-6; if it does not make A + sI positive definite, the lower end of the bracket is
            minus infinity.
        rng: seed or generator of the quadrature.
        max_bytes: memory limit for the dense matrix and its work space, or for the Krylov bases (8
            GiB); as many probes as fit are run as one block.
        progress: called with products done and in all.

    Raises:
        InputError: for a bad argument, or a basis that does not fit.
        IndefiniteError: if A + sI is not positive definite, with the Ritz value that shows it and
            the spectrum, or the quadratures so far as a `DiscreteMeasure`.
        NonFiniteError: if a product is not finite; `partial` holds the same.

    Cost: exact, as `spectrum`. Quadrature: probes x steps products and
    $2 \, \mathrm{probes} \, \mathrm{steps}^2 n$ operations; its error falls like
    $\exp(-4 \, \mathrm{steps} / \sqrt\kappa)$ with the condition number of A + sI.

    Source: Ubaru, Chen & Saad, SIAM J. Matrix Anal. Appl. 38, 2017, section 3.
    """
    settings = (probes, steps, smallest, rng, max_bytes, progress)
    return _sum(op, number("shift", shift), method, _log, *settings)


@full_precision()
def effective_dimension(
    op: Operator | SymmetricOperator | Tensor,
    shift: float,
    *,
    method: Method = "auto",
    probes: int = 10,
    steps: int = 80,
    smallest: float | None = None,
    rng: Rng = 0,
    max_bytes: int = 2**33,
    progress: Progress = silent,
) -> SpectralSum:
    r"""$\mathrm{tr} A (A + sI)^{-1} = \sum_i \lambda_i / (\lambda_i + s)$, s > 0.

    The number of parameters that the data determine under a prior of precision s (MacKay 1992, eq.
    4.8, his gamma). $A + sI$ must be positive definite; A need not be.

    Arguments, errors and cost as in `log_determinant`.
    """
    shift = positive("shift", shift)
    settings = (probes, steps, smallest, rng, max_bytes, progress)
    return _sum(op, shift, method, lambda x: 1 - shift / x, *settings)


def _log(x: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(x))


def _sum(
    op: Operator | SymmetricOperator | Tensor,
    shift: float,
    method: str,
    f: Callable[[FloatArray], FloatArray],
    probes: int,
    steps: int,
    smallest: float | None,
    rng: Rng,
    max_bytes: int,
    progress: Progress,
) -> SpectralSum:
    """Sum of f at the shifted eigenvalues."""
    one_of(method, get_args(Method))
    count("probes", probes, at_least=2)
    count("steps", steps, at_least=2)
    generator(rng)
    max_bytes = memory("max_bytes", max_bytes)
    function("progress", progress, "(done, total, what) ")
    operator = as_operator(op)
    if smallest is not None and not number("smallest", smallest) + shift > 0:
        msg = f"smallest: {smallest:g}; with shift {shift:g} it must be positive, or None"
        raise InputError(msg)
    if smallest is None and operator.positive_semidefinite and shift > 0:
        smallest = 0.0
    if method == "exact" or (method == "auto" and fits(operator, max_bytes)):
        return _exact(operator, shift, f, smallest, max_bytes)
    return _Quadratures(operator, shift, probes, steps, smallest, rng, max_bytes, progress).total(f)


def _exact(
    operator: SymmetricOperator,
    shift: float,
    f: Callable[[FloatArray], FloatArray],
    smallest: float | None,
    max_bytes: int,
) -> SpectralSum:
    """Sum over all eigenvalues, each known up to the resolution."""
    found = exact_spectrum(operator, max_bytes)
    # the computed eigenvalues; the others are exactly zero
    beside = found.dim - found.num_matvecs
    nonzero = found.known[found.known != 0]
    values = np.concatenate([nonzero, np.zeros(found.num_matvecs - nonzero.size)])
    lowest, error = float(values.min()), found.resolution
    if smallest is not None:
        _require_bound(smallest, lowest, error, "an eigenvalue")
        values = np.maximum(values, smallest)
    least = min(float(values.min()), 0.0 if beside else math.inf)
    if least + shift <= 0:
        raise _indefinite(operator, least, shift, "an eigenvalue", least > -error, found)
    floor = max(smallest if smallest is not None else -math.inf, -shift)
    ends = [np.maximum(values - error, floor), values, values + error]
    zeros = beside * float(f(np.array([shift]))[0]) if beside else 0.0
    with np.errstate(divide="ignore"):
        lower, value, upper = (float(f(x + shift).sum()) + zeros for x in ends)
    return SpectralSum(
        value=value,
        lower=lower,
        upper=upper,
        stderr=0.0,
        num_matvecs=values.size,
        steps=0,
        brackets=np.array([[lower, upper]]),
        smallest=lowest - error if smallest is None else smallest,
        method="exact",
    )


def _require_bound(smallest: float, lowest: float, error: float, what: str) -> None:
    if lowest < smallest - error:
        msg = (
            f"smallest: {smallest:g}; {what} {lowest:.6g} lies below; a lower bound on the "
            "eigenvalues is required"
        )
        raise InputError(msg)


def _indefinite(
    operator: SymmetricOperator,
    lowest: float,
    shift: float,
    what: str,
    doubtful: bool,
    partial: Measure | None,
) -> IndefiniteError:
    doubt = " (rounding alone may do that)" if doubtful else ""
    msg = (
        f"op: {operator!r} has an eigenvalue of at most {lowest:.6g} ({what}){doubt}, so plus "
        f"shift {shift:g} it is not positive definite; a shift above {-lowest:.6g} is required"
    )
    return IndefiniteError(msg, ritz_value=lowest + shift, partial=partial)


class _Quadratures:
    """Lanczos runs of the probes, each checked for positive definiteness."""

    def __init__(
        self,
        op: SymmetricOperator,
        shift: float,
        probes: int,
        steps: int,
        smallest: float | None,
        rng: Rng,
        max_bytes: int,
        progress: Progress,
    ) -> None:
        self._source = Source(op, probes * steps, rng, max_bytes, progress)
        self._shift, self._smallest, self._steps = float(shift), smallest, steps
        operator = self._source.operator
        each = (min(steps, operator.shape[0]) + 4) * operator.shape[0] * operator.dtype.itemsize
        if each > max_bytes:
            msg = (
                f"max_bytes: {max_bytes / 2**30:.3g} GiB; {steps} steps need {each / 2**30:.3g} "
                "GiB of vectors (reduce steps, or raise it)"
            )
            raise InputError(msg)
        self._runs: list[GaussRule] = []
        while len(self._runs) < probes:
            self._run(min(probes - len(self._runs), max_bytes // each))

    def total(self, f: Callable[[FloatArray], FloatArray]) -> SpectralSum:
        """Of f at the eigenvalues plus the shift; f is increasing, concave, and so on."""
        n = self._source.operator.shape[0]
        bound = self._bound()

        def integral(rule: tuple[FloatArray, FloatArray]) -> float:
            return n * float(rule[1] @ f(rule[0] + self._shift))

        brackets = np.array(
            [
                (integral(run.radau(bound)) if bound > -np.inf else -np.inf, integral(run.gauss()))
                for run in self._runs
            ]
        )
        exhausted = np.array([run.complete for run in self._runs])
        brackets[exhausted, 0] = brackets[exhausted, 1]
        samples = _middle(brackets)
        lower, upper = brackets.mean(axis=0)
        return SpectralSum(
            value=float(samples.mean()),
            lower=float(lower),
            upper=float(upper),
            stderr=_spread(samples) / len(samples) ** 0.5,
            num_matvecs=self._source.num_matvecs,
            steps=self._steps,
            brackets=brackets,
            smallest=bound,
        )

    def _run(self, count: int) -> None:
        """Run `count` more probes as one block."""
        try:
            starts = self._source.draw(sphere, count)
            made = lanczos_rules(self._source.operator, starts, self._steps, self._source.count)
        except NonFiniteError as error:
            raise NonFiniteError(str(error), partial=self._measure()) from error
        self._runs += made
        nodes = np.concatenate([run.gauss()[0] for run in made])
        lowest, size = float(nodes.min()), float(np.abs(nodes).max())
        if lowest + self._shift <= 0:
            raise _indefinite(
                self._source.operator,
                lowest,
                self._shift,
                "a Ritz value",
                -lowest < self._rounding(size),
                self._measure(),
            )

    def _measure(self) -> DiscreteMeasure | None:
        """Mixture of all Gauss rules so far."""
        rules = [run.gauss() for run in self._runs]
        parts = [DiscreteMeasure(nodes=x, weights=w / w.sum()) for x, w in rules]
        return DiscreteMeasure.mixture(parts) if parts else None

    def _bound(self) -> float:
        """Lower bound on the eigenvalues above minus the shift; minus infinity if there is none."""
        nodes = np.concatenate([run.gauss()[0] for run in self._runs])
        low, high = float(nodes.min()), float(nodes.max())
        rounding = self._rounding(max(abs(low), abs(high)))
        if self._smallest is not None:
            _require_bound(self._smallest, low, rounding, "a Ritz value")
        bounds = [low - self._uncertainty() * (high - low) - rounding]
        if self._smallest is not None:
            bounds.append(min(self._smallest, low - rounding))
        bound = max(bounds)
        return bound if bound + self._shift > 0 else -math.inf

    def _rounding(self, size: float) -> float:
        """Rounding error of a Ritz value."""
        return float(32 * torch.finfo(self._source.operator.dtype).eps * size)

    def _uncertainty(self) -> float:
        r"""Bound on the distance of an eigenvalue below the Ritz values, relative to their range.

        A start uniform on the sphere misses the end of the spectrum by more than $\epsilon$ times
        its width with probability below $q = 1.648 \sqrt n \exp(-\sqrt\epsilon (2k - 1))$
        (Kuczynski & Wozniakowski 1992, theorem 4.2); p starts all miss it with $q^p$. Both ends are
        needed, as the width is not known either.
        """
        n = self._source.operator.shape[0]
        if any(run.complete for run in self._runs):
            return 0.0
        q = (FAILURE / 2) ** (1 / len(self._runs))
        epsilon = (math.log(1.648 * n**0.5 / q) / (2 * self._steps - 1)) ** 2
        return epsilon / (1 - 2 * epsilon) if epsilon < 0.5 else math.inf


def _middle(brackets: FloatArray) -> FloatArray:
    open_below = np.isneginf(brackets[:, 0])
    return np.where(open_below, brackets[:, 1], brackets.mean(axis=1))


def _spread(samples: FloatArray) -> float:
    known = samples.size > 1 and bool(np.isfinite(samples).all())
    return float(samples.std(ddof=1)) if known else 0.0
