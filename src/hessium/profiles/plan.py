"""How a risk is to be measured, and what that will take."""

from __future__ import annotations

from dataclasses import dataclass

from hessium.errors import InputError
from hessium.problem import EmpiricalRisk

_BASIS = 120  # rows of the basis that `eigenpairs` likes to have, with a few for its blocks
_AROUND = 6  # work vectors beside a basis


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Settings of one measurement.

    Attributes:
        tol: eigenvalues count beyond this fraction of the largest absolute one.
        max_dim: largest size of a dense matrix; beyond it products are all there is.
        top: eigenpairs at each end, of what is too large.
        probes: random vectors of the density, of what is too large.
        steps: Lanczos steps for each of them.
        seed: of probes and starts.
        confidence: probability that each bracket of a count holds.
        share: of the products of H and H0 together, spent on the table of layers.
        max_bytes: what Krylov bases may take.
    """

    tol: float = 1e-6
    max_dim: int = 8000
    top: int = 10
    probes: int = 10
    steps: int = 80
    seed: int = 0
    confidence: float = 0.999
    share: float = 0.25
    max_bytes: int = 2**33

    def exact(self, risk: EmpiricalRisk) -> bool:
        """Whether dense matrices of the risk are small enough."""
        return risk.dim <= self.max_dim

    def by_gram(self, risk: EmpiricalRisk) -> bool:
        """Whether H0 is to be exact where H is not."""
        return risk.has_outputs and risk.num_outputs <= self.max_dim

    def pairs(self, risk: EmpiricalRisk) -> int:
        """Eigenpairs of H, from both ends."""
        return min(2 * self.top, risk.dim)

    @property
    def most_products(self) -> int:
        """Products after which eigenpairs are taken as they are."""
        return max(100, 40 * self.top)

    def products(self, risk: EmpiricalRisk) -> dict[str, int]:
        """Products of each part at most, layers included."""
        quadrature = self.probes * self.steps
        found = {"hessian/pairs": self.most_products, "hessian/probes": quadrature}
        if risk.has_outputs and not self.by_gram(risk):
            found |= {"gauss_newton/pairs": 5 * self.top, "gauss_newton/probes": quadrature}
        return found | {"layers": int(self.share * sum(found.values()))}

    def memory(self, risk: EmpiricalRisk) -> int:
        """Bytes that bases and vectors take at most, without the graphs of the products.

        Raises:
            InputError: if they cannot be kept within `max_bytes`.
        """
        row = risk.dim * risk.dtype.itemsize
        k = self.pairs(risk)
        least = 2 * k + _AROUND + 1
        if least * row > self.max_bytes:
            msg = (
                f"--memory: {self.max_bytes / 2**30:.3g} GiB; {k} eigenvectors of {risk.dim} "
                f"parameters need {least * row / 2**30:.3g} GiB (smaller --top, or raise it)"
            )
            raise InputError(msg)
        rows = min(risk.dim, max(3 * k, _BASIS)) + k + _AROUND
        # deflated vectors are there twice beside the basis of a probe
        rows = max(rows, self.steps + 2 * k + _AROUND)
        return min(self.max_bytes + 2 * k * row, rows * row)
