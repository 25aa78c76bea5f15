"""Settings of a measurement and a forecast of its cost."""

from __future__ import annotations

from dataclasses import dataclass

from hessium.errors import InputError
from hessium.figures.formatting import digits
from hessium.problem import EmpiricalRisk

_BASIS = 120  # vectors of the Krylov basis that `eigenpairs` prefers
_BESIDE = 6  # work vectors beside a basis


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Settings of one measurement.

    Attributes:
        tol: eigenvalues count as zero up to this fraction of the largest absolute one.
        max_dim: largest size of a dense matrix; larger models are measured by products.
        top: eigenpairs at each end of the spectrum of a large model.
        probes: random vectors of each density of a large model.
        steps: Lanczos steps for each of them.
        residual: whether H1 of a large model is measured too, about half as many products again.
        seed: of probes and start vectors.
        confidence: probability that the brackets of all counts of one matrix hold.
        share: products of the layers, as a fraction of those of H and H0.
        max_bytes: memory limit of Krylov bases.
    """

    tol: float = 1e-6
    max_dim: int = 8000
    top: int = 10
    probes: int = 10
    steps: int = 80
    residual: bool = True
    seed: int = 0
    confidence: float = 0.999
    share: float = 0.25
    max_bytes: int = 2**33

    def exact(self, risk: EmpiricalRisk) -> bool:
        """Whether the dense matrices are small enough."""
        return risk.dim <= self.max_dim

    def by_gram(self, risk: EmpiricalRisk) -> bool:
        """Whether H0 is exact through its Gram matrix where H is not."""
        return risk.has_outputs and risk.num_outputs <= self.max_dim

    def pairs(self, risk: EmpiricalRisk) -> int:
        """Number of eigenpairs of H, from both ends."""
        return min(2 * self.top, risk.dim)

    @property
    def most_products(self) -> int:
        """Products after which eigenpairs are taken as they are."""
        return max(100, 40 * self.top)

    def products(self, risk: EmpiricalRisk) -> dict[str, int]:
        """Products of each part of a large model, at most."""
        quadrature = self.probes * self.steps
        found = {"hessian/pairs": self.most_products, "hessian/probes": quadrature}
        if risk.has_outputs and not self.by_gram(risk):
            found |= {"gauss_newton/pairs": 5 * self.top, "gauss_newton/probes": quadrature}
        found["layers"] = int(self.share * sum(found.values()))
        if risk.has_outputs and self.residual:
            found |= {"residual/pairs": self.most_products, "residual/probes": quadrature}
        return found

    def memory(self, risk: EmpiricalRisk) -> int:
        """Bytes of bases and vectors of a large model, at most, without the graphs of products.

        Raises:
            InputError: if `max_bytes` is too small.
        """
        row = risk.dim * risk.dtype.itemsize
        k = self.pairs(risk)
        least = (2 * k + _BESIDE + 1) * row
        if least > self.max_bytes:
            msg = (
                f"max_bytes: {self.max_bytes / 2**30:.3g} GiB; {k} eigenvectors of {risk.dim} "
                f"parameters need {least / 2**30:.3g} GiB (smaller top, or raise it)"
            )
            raise InputError(msg)
        rows = min(risk.dim, max(3 * k, _BASIS)) + k + _BESIDE
        # deflated vectors are held twice beside the basis of a probe
        rows = max(rows, self.steps + 2 * k + _BESIDE)
        return min(self.max_bytes + 2 * k * row, rows * row)

    def forecast(self, risk: EmpiricalRisk, gradient_seconds: float) -> str:
        """The cost of a large model in a sentence, before the work; "" where matrices are dense."""
        if self.exact(risk):
            return ""
        products = sum(self.products(risk).values())
        return (
            f"{digits(risk.dim, 12)} parameters exceed max_dim {self.max_dim}, so the spectra "
            f"are estimated from at most {digits(products, 12)} matrix-vector products. One "
            f"gradient takes {digits(gradient_seconds, 2)} s, a product 1.3 to 2.5 times as long. "
            f"Bases need at most {digits(self.memory(risk) / 2**20, 2)} MiB of memory, cached "
            "graphs 1 GiB."
        )
