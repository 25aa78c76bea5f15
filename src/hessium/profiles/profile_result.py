"""A profile: the curvature of one risk as numbers, as a table and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from hessium._display import Displayable
from hessium._typing import AnyArray
from hessium.errors import InputError
from hessium.figures.records import Findings
from hessium.profiles.matrix_profile import LayerProfile, MatrixProfile, matrix_rows
from hessium.profiles.plan import Plan
from hessium.profiles.profile_page import profile_findings
from hessium.profiles.report_page import Reported
from hessium.runs.experiment import settings
from hessium.spectra import Count, Inertia, Integral, Spectrum


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Profile(Reported, Displayable):
    """The curvature of one risk at its parameters.

    Attributes:
        matrices: by name, as far as measured: "hessian", "gauss_newton", "residual".
        layers: diagonal blocks of H by the name of the module; empty with one layer.
        loss: value of the loss.
        gradient_norm: norm of its gradient; the point is critical where this is zero.
        model: class of the model, loss, sizes, dtype and device.
        plan: settings.
        costs: of a large model, by part: products, seconds, product_seconds.
        routes: of a large model, how the products of each matrix are made.
        gradient_seconds: time of one gradient; 0 where matrices are dense.
        warnings: of the measurement.
        seconds: computing time of all parts, those of earlier runs included.
        reused: number of parts from an earlier run.
        stopped: reason if the measurement was stopped before its end, else "".

    Example:
        >>> found = hs.profile(risk)
        >>> sorted(found.matrices)
        ['gauss_newton', 'hessian', 'residual']
    """

    matrices: Mapping[str, MatrixProfile]
    layers: Mapping[str, LayerProfile]
    loss: float
    gradient_norm: float
    model: Mapping[str, Any]
    plan: Plan
    costs: Mapping[str, Mapping[str, float]]
    routes: Mapping[str, str]
    gradient_seconds: float
    warnings: tuple[str, ...]
    seconds: float
    reused: int
    stopped: str

    experiment = "spectrum"
    command = "hessium.profile(risk)"

    @property
    def hessian(self) -> Spectrum:
        """The spectrum of H.

        Raises:
            InputError: if the measurement was stopped before.
        """
        found = self._spectrum("hessian")
        if found is None:
            msg = f"profile: stopped ({self.stopped}) before the spectrum of H was measured"
            raise InputError(msg)
        return found

    @property
    def gauss_newton(self) -> Spectrum | None:
        """The spectrum of H0; None of a closure, which has no outputs."""
        return self._spectrum("gauss_newton")

    @property
    def residual(self) -> Spectrum | None:
        """The spectrum of H1 = H - H0; None of a closure."""
        return self._spectrum("residual")

    @property
    def trace(self) -> Integral:
        """Trace of H, with its 95 % interval."""
        return self._hessian.trace

    @property
    def inertia(self) -> Inertia:
        """Eigenvalues of H by sign beyond plan.tol times the largest absolute one."""
        return self._hessian.inertia(self.plan.tol, self.plan.confidence)

    @property
    def index(self) -> Count:
        """Number of negative eigenvalues of H, see `inertia`."""
        return self.inertia.negative

    @property
    def rank(self) -> Count:
        """Number of eigenvalues of H beyond the threshold, see `inertia`."""
        return self.inertia.rank

    @property
    def findings(self) -> Findings:
        """Tables, charts and statements of the page."""
        return profile_findings(self)

    @property
    def arrays(self) -> dict[str, AnyArray]:
        """All eigenvalues, or eigenpairs and quadrature nodes, by name."""
        found: dict[str, AnyArray] = {}
        for name, matrix in self.matrices.items():
            if matrix.exact:
                found[name] = np.array(matrix.eigenvalues[::-1])
                continue
            found[f"{name}_eigenvalues"] = matrix.eigenvalues
            found[f"{name}_residuals"] = matrix.residuals
            if matrix.spectrum is not None:
                found[f"{name}_nodes"] = np.array(matrix.spectrum.nodes)
                found[f"{name}_weights"] = np.array(matrix.spectrum.weights)
        for name, layer in self.layers.items():
            for kind in ("hessian", "gauss_newton"):
                block: Spectrum | None = getattr(layer, kind)
                if block is not None:
                    found[f"{kind}_{name}"] = np.array(block.nodes)
        return found

    @property
    def title(self) -> str:
        """Heading of the page."""
        return f"Curvature of {self.model['model']}"

    @property
    def shows(self) -> str:
        """One sentence below the heading."""
        m = self.model
        return (
            f"Hessian of the loss {m['loss']} of {m['model']}: {m['parameters']} parameters, "
            f"{m['samples']} samples."
        )

    @property
    def config(self) -> dict[str, Any]:
        """Settings for the page."""
        return {**self.model, **settings(self.plan), "complete": not self.stopped}

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of all random vectors."""
        return (self.plan.seed,)

    def rows(self) -> list[dict[str, Any]]:
        """One row for each matrix with its numbers, for `to_dataframe`."""
        kept = {name: one for name, one in self.matrices.items() if one.spectrum is not None}
        return matrix_rows(kept, self.plan.tol, self.plan.confidence)

    def _spectrum(self, name: str) -> Spectrum | None:
        return self.matrices[name].spectrum if name in self.matrices else None

    @property
    def _hessian(self) -> MatrixProfile:
        return MatrixProfile(spectrum=self.hessian, pairs=self.matrices["hessian"].pairs)

    def __repr__(self) -> str:
        found = ", ".join(f"{name}={one.spectrum!r}" for name, one in self.matrices.items())
        return f"Profile({self.model['model']}: {found or 'nothing measured'})"
