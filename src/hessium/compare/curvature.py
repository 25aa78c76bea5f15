"""H0, H1 and H of one risk and the findings that comparisons share, each computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

from torch import Tensor

from hessium.compare.architecture import Architecture
from hessium.compare.data_pass import DataPass, pass_over
from hessium.compare.structure import require_rows, structure_of
from hessium.compare.symmetry_candidates import outputs_seen
from hessium.curvature import GaussNewton, ResidualHessian
from hessium.estimate.exact import assembled, spectrum_of_matrix
from hessium.linalg import SymmetricOperator
from hessium.problem import EmpiricalRisk
from hessium.spectra import Spectrum


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DenseMatrix:
    """A matrix with all its eigenvalues.

    Attributes:
        matrix: in float64.
        spectrum: of it.
        departure: estimated distance from the operator, in the Frobenius norm.
    """

    matrix: Tensor
    spectrum: Spectrum
    departure: float


@final
class Curvature:
    r"""H0, H1 and H = H0 + H1 of a risk as dense matrices, each computed on first access.

    `assumptions`, `symmetries`, `ranks` and `levels` accept it instead of a risk, so that several
    comparisons of one risk share their measurements: two self-checks, and one pass over the data
    for each matrix and for each kind of finding about the data.

    Args:
        risk: the risk, at its parameters.
        max_bytes: memory limit for a dense matrix and its work space (8 GiB).

    Raises:
        InputError: for a closure or a model that returns its loss.
    """

    def __init__(self, risk: EmpiricalRisk, *, max_bytes: int = 2**33) -> None:
        require_rows(risk, "comparison of its curvature")
        self.risk = risk
        self._max_bytes = max_bytes

    @cached_property
    def gauss_newton(self) -> DenseMatrix:
        """H0."""
        return self._made(self._outer)

    @cached_property
    def residual(self) -> DenseMatrix:
        """H1."""
        return self._made(self._inner)

    @cached_property
    def hessian(self) -> DenseMatrix:
        """H, the sum of the two."""
        matrix = self.gauss_newton.matrix + self.residual.matrix
        departure = self.gauss_newton.departure + self.residual.departure
        found = spectrum_of_matrix(matrix, departure, self._outer + self._inner)
        return DenseMatrix(matrix=matrix, spectrum=found, departure=departure)

    @property
    def architecture(self) -> Architecture:
        """The layers between inputs and outputs."""
        return self._structure[0]

    @property
    def first_inputs(self) -> Tensor | None:
        """Inputs of the first layer, if it is linear."""
        return self._structure[1]

    @cached_property
    def data(self) -> DataPass:
        """Findings of one pass over the data."""
        return pass_over(self.risk)

    @property
    def outputs_seen(self) -> int:
        """Samples x outputs, minus one per softmax, whose scores may shift together."""
        return outputs_seen(self.architecture, self.risk, self.data.outputs)

    @cached_property
    def _structure(self) -> tuple[Architecture, Tensor | None]:
        return structure_of(self.risk)

    @cached_property
    def _outer(self) -> SymmetricOperator:
        return GaussNewton(self.risk)

    @cached_property
    def _inner(self) -> SymmetricOperator:
        return ResidualHessian(self.risk)

    def _made(self, operator: SymmetricOperator) -> DenseMatrix:
        matrix, departure = assembled(operator, self._max_bytes, 3)
        found = spectrum_of_matrix(matrix, departure, operator)
        return DenseMatrix(matrix=matrix, spectrum=found, departure=departure)

    def __repr__(self) -> str:
        return f"Curvature({self.risk!r})"


def as_curvature(of: EmpiricalRisk | Curvature, what: str, max_bytes: int) -> Curvature:
    """The matrices of a risk, or the argument if it holds them already.

    Raises:
        InputError: if the argument is not a risk whose outputs have one row per sample.
    """
    if isinstance(of, Curvature):
        return of
    require_rows(of, what)
    return Curvature(of, max_bytes=max_bytes)
