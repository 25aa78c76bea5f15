"""What a profile of a risk holds: spectra by name, layers, and the page about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np

from hessium._display import Displayable
from hessium._typing import AnyArray
from hessium.errors import InputError, NonFiniteError
from hessium.figures.records import Findings
from hessium.profiles.plan import Plan
from hessium.profiles.write_page import write_page
from hessium.runs.experiment import settings
from hessium.spectra import Count, Integral, Spectrum


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerProfile(Displayable):
    """The diagonal block of H that belongs to one layer, the other parameters held.

    Attributes:
        dim: parameters.
        largest: eigenvalue of the block that is largest in magnitude.
        error: within this of `largest` there is an eigenvalue.
        trace: of the block, with its error.
        hessian: its spectrum; None of a large model.
        gauss_newton: of the block of H0; None of a closure and of a large model.
    """

    dim: int
    largest: float
    error: float
    trace: Integral
    hessian: Spectrum | None = None
    gauss_newton: Spectrum | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Profile(Displayable):
    """The curvature of one risk at its parameters.

    Attributes:
        spectra: by name, those that are finished: "hessian", "gauss_newton", "residual".
        layers: by the name of the module; empty with one layer.
        model: what was measured: class, loss, sizes.
        plan: how.
        findings: statements, charts and tables of the page.
        arrays: all eigenvalues, or what stands for them.
        seconds: computing time of all parts, whenever they were computed.
        reused: parts from an earlier run.
        stopped: what ended the work before its end, or None.
    """

    spectra: Mapping[str, Spectrum]
    layers: Mapping[str, LayerProfile]
    model: Mapping[str, Any]
    plan: Plan
    findings: Findings
    arrays: Mapping[str, AnyArray]
    seconds: float
    reused: int
    stopped: KeyboardInterrupt | NonFiniteError | None

    @property
    def hessian(self) -> Spectrum:
        """The spectrum of H.

        Raises:
            InputError: if the work was stopped before.
        """
        if "hessian" not in self.spectra:
            msg = f"profile: stopped before the spectrum of H was finished ({self.stopped})"
            raise InputError(msg)
        return self.spectra["hessian"]

    @property
    def gauss_newton(self) -> Spectrum | None:
        """The spectrum of H0; None of a closure, which has no outputs."""
        return self.spectra.get("gauss_newton")

    @property
    def residual(self) -> Spectrum | None:
        """The spectrum of H1 = H - H0; None of a closure and of a large model."""
        return self.spectra.get("residual")

    @property
    def trace(self) -> Integral:
        """Of H, with its error."""
        return trace_of(self.hessian, self.plan.confidence)

    @property
    def index(self) -> Count:
        """How many eigenvalues of H lie below -tol times the largest absolute one."""
        return self.hessian.inertia(self.plan.tol, confidence=self.plan.confidence).negative

    @property
    def rank(self) -> Count:
        """How many eigenvalues of H lie beyond tol times the largest absolute one."""
        return self.hessian.rank(self.plan.tol, confidence=self.plan.confidence)

    def report(self, path: Path | str) -> Path:
        """Write the page about it, with the arrays behind it.

        Args:
            path: a run directory: new, empty, or with an earlier profile.

        Returns:
            The page, one HTML file that needs nothing else.

        Raises:
            InputError: if the directory holds something else, or cannot be written.
        """
        return write_page(
            path,
            experiment="spectrum",
            title=f"Curvature of {self.model['model']}",
            shows=self.shows,
            config=self.config,
            seeds=(self.plan.seed,),
            command="hessium.profile(risk)",
            seconds=self.seconds,
            findings=self.findings,
            arrays=self.arrays,
        )

    @property
    def shows(self) -> str:
        """One sentence for the head of the page."""
        m = self.model
        return (
            f"Curvature of the loss {m['loss']} of a {m['model']} with {m['parameters']} "
            f"parameters over {m['samples']} samples."
        )

    @property
    def config(self) -> dict[str, Any]:
        """Settings for the page."""
        return {**self.model, **settings(self.plan), "complete": self.stopped is None}

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={found!r}" for name, found in self.spectra.items())
        return f"Profile({self.model['model']}: {parts or 'nothing finished'})"


def trace_of(spectrum: Spectrum, confidence: float) -> Integral:
    """The sum of all eigenvalues, with its error."""
    return scaled(spectrum.integral(np.positive, confidence=confidence), spectrum.dim)


def scaled(mean: Integral, dim: int) -> Integral:
    """The sum over n eigenvalues whose mean this is."""
    return replace(
        mean,
        value=dim * mean.value,
        stderr=dim * mean.stderr,
        lower=dim * mean.lower,
        upper=dim * mean.upper,
    )
