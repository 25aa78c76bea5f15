"""One matrix of a profile: its spectrum, extreme eigenvalues, sums and counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import numpy.typing as npt

from hessium._display import Displayable
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.estimate import Eigenpairs
from hessium.spectra import Count, Inertia, Integral, Spectrum

LIKELY = 0.95  # confidence of the intervals of sums


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class MatrixProfile(Displayable):
    """What is known of one symmetric matrix, exactly or from products.

    Attributes:
        spectrum: exact, or estimated with the converged eigenpairs deflated; None if the
            measurement was stopped before it.
        pairs: eigenpairs at the ends of the spectrum; None where `spectrum` is exact.
    """

    spectrum: Spectrum | None
    pairs: Eigenpairs | None = None

    @property
    def dim(self) -> int:
        """Size of the matrix."""
        return self._any.dim

    @property
    def exact(self) -> bool:
        """Whether all eigenvalues are known."""
        return self.spectrum is not None and self.spectrum.exact

    @property
    def nonnegative(self) -> bool:
        """Whether the matrix is known to be positive semidefinite."""
        return self.spectrum is not None and self.spectrum.nonnegative

    @property
    def eigenvalues(self) -> FloatArray:
        """Those known one by one, descending: all n of an exact spectrum, else the pairs."""
        if self.pairs is None:
            return self._known.known[::-1]
        return self.pairs.values[self._order]

    @property
    def residuals(self) -> FloatArray:
        """Within this of each of `eigenvalues` the matrix has an eigenvalue."""
        if self.pairs is None:
            return np.full(self.dim, self._known.resolution)
        return self.pairs.residuals[self._order]

    @property
    def converged(self) -> npt.NDArray[np.bool_]:
        """Which of `eigenvalues` meet the accuracy of the measurement."""
        if self.pairs is None:
            return np.ones(self.dim, dtype=bool)
        return np.asarray(self.pairs.converged[self._order])

    @property
    def scale(self) -> float:
        """Largest absolute value of `eigenvalues`."""
        return float(np.abs(self.eigenvalues).max(initial=0.0))

    def ends(self, most: int) -> tuple[range, range]:
        """Positions in `eigenvalues` of the largest ones, and of the smallest ones, ascending."""
        n = self.eigenvalues.size
        if self.pairs is None:
            return range(min(most, n)), range(n - 1, max(-1, n - 1 - most), -1)
        below = n // 2 if self.pairs.which == "BE" else 0
        return range(n - below), range(n - 1, n - 1 - below, -1)

    def inertia(self, tol: float, confidence: float = 0.999) -> Inertia:
        """Eigenvalues by sign beyond tol times the largest absolute one.

        Args:
            tol: relative threshold.
            confidence: probability that all brackets of an estimate hold.

        Raises:
            InputError: if no probe was finished.
        """
        if self.exact or self.pairs is None or not self.pairs.values.size:
            return self._known.inertia(tol, confidence=confidence)
        # the threshold is as uncertain as the largest eigenvalue
        doubt = tol * float(self.residuals[np.abs(self.eigenvalues).argmax()])
        return self._known.inertia_at(tol, self.scale, doubt, confidence)

    def sum_of(self, f: Callable[[FloatArray], FloatArray], confidence: float = LIKELY) -> Integral:
        """Sum of f over all eigenvalues, with its error; f must be an array function."""
        return scaled(self._known.integral(f, confidence=confidence), self.dim)

    @property
    def trace(self) -> Integral:
        """Sum of the eigenvalues, with its 95 % interval."""
        return self.sum_of(np.positive)

    @property
    def frobenius_norm(self) -> Integral:
        """Root of the sum of the squared eigenvalues, with its 95 % interval."""
        square = self.sum_of(np.square)
        root = math.sqrt(max(square.value, 0.0))
        return replace(
            square,
            value=root,
            stderr=square.stderr / (2 * root) if root else 0.0,
            lower=math.sqrt(max(square.lower, 0.0)),
            upper=math.sqrt(max(square.upper, 0.0)),
        )

    @property
    def negative_mass(self) -> Integral:
        r"""$\sum |\lambda_-| / \sum |\lambda|$ with its 95 % interval; 0 for the zero matrix."""
        each = (1 + LIKELY) / 2  # both intervals hold together
        below = self.sum_of(lambda x: np.maximum(-x, 0.0), each)
        above = self.sum_of(lambda x: np.maximum(x, 0.0), each)
        total = below.value + above.value
        if not total:
            return below
        low, high = (
            max(b, 0.0) / (max(b, 0.0) + max(a, 0.0) or 1.0)
            for b, a in ((below.lower, above.upper), (below.upper, above.lower))
        )
        return replace(
            below,
            value=below.value / total,
            stderr=math.hypot(above.value * below.stderr, below.value * above.stderr) / total**2,
            lower=low,
            upper=high,
            confidence=None if self.exact else LIKELY,
        )

    @property
    def _known(self) -> Spectrum:
        if self.spectrum is None:
            msg = (
                "profile: stopped before the first probe of this matrix; only eigenpairs are known"
            )
            raise InputError(msg)
        return self.spectrum

    @property
    def _any(self) -> Spectrum | Eigenpairs:
        return self._known if self.pairs is None else self.pairs

    @property
    def _order(self) -> npt.NDArray[np.intp]:
        assert self.pairs is not None
        return np.argsort(-self.pairs.values, kind="stable")

    def __repr__(self) -> str:
        return f"MatrixProfile({self.spectrum or self.pairs!r})"


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerProfile(Displayable):
    """The diagonal block of H that belongs to the parameters of one layer.

    Attributes:
        dim: number of parameters.
        largest: eigenvalue of the block that is largest in magnitude.
        error: within this of `largest` the block has an eigenvalue.
        trace: of the block, with its 95 % interval.
        hessian: its spectrum; None of a large model.
        gauss_newton: spectrum of the block of H0; None of a closure and of a large model.
    """

    dim: int
    largest: float
    error: float
    trace: Integral
    hessian: Spectrum | None = None
    gauss_newton: Spectrum | None = None


def exact_layer(hessian: Spectrum, gauss_newton: Spectrum | None) -> LayerProfile:
    """The profile of a layer of which all eigenvalues are known."""
    return LayerProfile(
        dim=hessian.dim,
        largest=float(hessian.known[np.abs(hessian.known).argmax()]),
        error=hessian.resolution,
        trace=MatrixProfile(spectrum=hessian).trace,
        hessian=hessian,
        gauss_newton=gauss_newton,
    )


def matrix_rows(
    matrices: Mapping[str, MatrixProfile], tol: float, confidence: float
) -> list[dict[str, Any]]:
    """One row for each matrix with its numbers, for `to_dataframe`.

    Args:
        matrices: by name, with a spectrum.
        tol: relative threshold of index and rank.
        confidence: of their brackets.
    """
    found = []
    for name, matrix in matrices.items():
        row: dict[str, Any] = {"matrix": name, "dim": matrix.dim, "exact": matrix.exact}
        for which, position in (("largest", 0), ("smallest", -1)):
            known = matrix.eigenvalues.size > 0  # there are none of a zero matrix
            row[which] = float(matrix.eigenvalues[position]) if known else 0.0
            row[f"{which}_error"] = float(matrix.residuals[position]) if known else 0.0
        counts = matrix.inertia(tol, confidence)
        numbers: dict[str, Integral | Count] = {
            **{n: getattr(matrix, n) for n in ("trace", "frobenius_norm", "negative_mass")},
            "index": counts.negative,
            "rank": counts.rank,
        }
        for what, number in numbers.items():
            row |= {what: number.value, f"{what}_lower": number.lower}
            row |= {f"{what}_upper": number.upper}
        found.append(row)
    return found


def scaled(mean: Integral, dim: int) -> Integral:
    """The sum over n eigenvalues from their mean."""
    return replace(
        mean,
        value=dim * mean.value,
        stderr=dim * mean.stderr,
        lower=dim * mean.lower,
        upper=dim * mean.upper,
    )
