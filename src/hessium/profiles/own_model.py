"""A user's own risk, measured as the experiments measure theirs, or by products alone."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hessium import _arguments
from hessium._typing import AnyArray
from hessium.curvature.requirements import require_risk
from hessium.errors import NonFiniteError
from hessium.figures.formatting import digits
from hessium.figures.records import Findings, Number, Table, exact
from hessium.problem import EmpiricalRisk
from hessium.profiles.estimated import Estimated, hutchinson
from hessium.profiles.large_portrait import LargePortrait
from hessium.profiles.matrix_free import estimate, measure_of
from hessium.profiles.measurement import exact_spectrum, finished, layer_names, measure
from hessium.profiles.plan import Plan
from hessium.profiles.portrait import Portrait
from hessium.profiles.profile_result import LayerProfile, Profile, trace_of
from hessium.progress import Progress, silent
from hessium.runs.experiment import Result
from hessium.runs.fingerprint import fingerprint
from hessium.runs.part_cache import Kept, identity
from hessium.runs.result_store import Results
from hessium.runs.run_directory import RunDirectory
from hessium.spectra import Spectrum

_PARTS = (
    "H = H₀ + H₁: H₀ is the Gauss-Newton part, positive semidefinite for a convex loss and "
    "of rank at most samples × outputs; H₁ is what the residuals add."
)
_GRADIENT = "gradient"
_DENSE = (
    "Eigenvalues are those of the dense matrix (LAPACK), of H₀ through its Gram matrix where that "
    "is smaller."
)


class OwnModel:
    """A risk at its parameters, ready to be measured.

    Args:
        risk: what to measure.
        plan: how.
        store: where finished parts are kept; a run that was stopped goes on from there.

    Raises:
        InputError: if the memory that the plan allows is too small.
    """

    def __init__(self, risk: EmpiricalRisk, plan: Plan, store: Results | None = None) -> None:
        self._risk, self._plan = risk, plan
        self._large = not plan.exact(risk)
        self._memory = plan.memory(risk) if self._large else 0
        self._loss = risk.value()
        self._slope = float(risk.gradient().norm())
        code = fingerprint(__name__) if store else ""
        self._kept = Kept(store, identity(risk, self._loss, self._slope), code)
        # beside the seconds of parts from an earlier run belongs the gradient of that run
        self._gradient = (
            float(self._kept(_GRADIENT, {}, self._clock)["least"]) if self._large else 0.0
        )

    def foreseen(self) -> str:
        """What the measurement will take, before it starts."""
        plan, risk = self._plan, self._risk
        if not self._large:
            return ""
        products = sum(plan.products(risk).values())
        return (
            f"{digits(risk.dim, 12)} parameters are more than --max-dim {plan.max_dim}, so H is "
            f"known by products: at most {digits(products, 12)} of them (one gradient takes "
            f"{digits(self._gradient, 2)} s, a product 1.3 to 2.5 times as much), memory "
            f"for vectors {digits(self._memory / 2**20, 2)} MiB, for graphs at most 1 GiB"
        )

    def profile(self, progress: Progress = silent) -> Profile:
        """Measure, as far as Ctrl-C and the numbers allow.

        Args:
            progress: called with matrices or products done and foreseen.

        Raises:
            KeyboardInterrupt, NonFiniteError: if nothing at all is finished by then; otherwise
                they are in the result.
        """
        stopped: KeyboardInterrupt | NonFiniteError | None = None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                if self._large:
                    estimate(self._risk, self._plan, self._kept, progress)
                else:
                    measure(self._risk, progress=progress, kept=self._kept)
                self._kept.tidy()
            except (KeyboardInterrupt, NonFiniteError) as error:
                if not set(self._kept.found) - {_GRADIENT}:
                    raise
                stopped = error
        portrait = self._large_portrait() if self._large else self._portrait()
        notes = [_PARTS, *self._notes()]
        notes += portrait.notes() if isinstance(portrait, LargePortrait) else (_DENSE,)
        notes += list(dict.fromkeys(f"Warning: {w.message}" for w in caught))
        if stopped is not None:
            notes.insert(0, _why(stopped))
        more = portrait.tables() if isinstance(portrait, LargePortrait) else ()
        findings = Findings(
            statements=portrait.statements(),
            charts=portrait.charts(),
            tables=(self._where(), *more),
            quoted=portrait.quoted(),
            notes=tuple(notes),
        )
        return Profile(
            spectra=self._spectra(),
            layers=self._layers(),
            model=describe(self._risk),
            plan=self._plan,
            findings=findings,
            arrays=self._arrays(),
            seconds=sum(float(r.get("seconds", 0.0)) for r in self._kept.found.values()),
            reused=len([part for part in self._kept.loaded if part != _GRADIENT]),
            stopped=stopped,
        )

    def _portrait(self) -> Portrait:
        return Portrait(
            results=[finished(self._kept)],
            what="1 run",
            tol=self._plan.tol,
            num_outputs=self._risk.num_outputs,
            unit_roundoff=float(torch.finfo(self._risk.dtype).eps),
        )

    def _large_portrait(self) -> LargePortrait:
        return LargePortrait(
            found=self._kept.found,
            plan=self._plan,
            dim=self._risk.dim,
            num_outputs=self._risk.num_outputs,
            has_outputs=self._risk.has_outputs,
            unit_roundoff=float(torch.finfo(self._risk.dtype).eps),
            gradient_seconds=self._gradient,
        )

    def _notes(self) -> list[str]:
        notes = []
        risk, tol = self._risk, self._plan.tol
        if not risk.has_outputs:
            notes.append("The risk is a closure without outputs, so it has no parts H₀ and H₁.")
        resolution = 4 * risk.dim**0.5 * float(torch.finfo(risk.dtype).eps)
        if tol < resolution:
            notes.append(
                f"Parameters are {risk.dtype}: eigenvalues below {digits(resolution, 1)} of "
                "the largest are rounding, so counts at this tol are brackets. Take a larger "
                "--tol, or float64 (EmpiricalRisk(..., dtype=torch.float64))."
            )
        if self._large:
            notes.append(f"{self.foreseen()}.")
        return notes

    def _where(self) -> Table:
        risk = self._risk
        unit = float(torch.finfo(risk.dtype).eps) * max(risk.num_samples, 1) ** 0.5
        rows: tuple[tuple[str | Number, ...], ...] = (
            ("loss", _rounded(self._loss, unit)),
            ("norm of the gradient", _rounded(self._slope, unit)),
            ("parameters", exact(risk.dim)),
            ("samples", exact(risk.num_samples)),
            ("outputs of all samples", exact(risk.num_outputs)),
        )
        return Table(
            title="Where the Hessian was taken",
            columns=("what", "value"),
            rows=rows,
            note=(
                "At a critical point the gradient is zero; elsewhere read the spectrum as a "
                "snapshot."
            ),
        )

    def _spectra(self) -> dict[str, Spectrum]:
        if not self._large:
            return {n: self._exact(n) for n in finished(self._kept) if "/" not in n}
        names = ("hessian", "gauss_newton")
        found = {n: m for n in names if (m := measure_of(self._kept.found, n)) is not None}
        if "gauss_newton/exact" in self._kept.found:
            found["gauss_newton"] = self._exact("gauss_newton/exact", dim=self._risk.dim)
        return found

    def _exact(self, name: str, dim: int | None = None) -> Spectrum:
        unit = float(torch.finfo(self._risk.dtype).eps)
        values = self._kept.found[name]["values"]
        return exact_spectrum(values, name, self._risk.num_outputs, unit, dim=dim)

    def _layers(self) -> dict[str, LayerProfile]:
        if self._large:
            parts = {
                name.partition("/")[2]: part
                for name, part in self._kept.found.items()
                if name.startswith("layers/")
            }
            return {
                name: LayerProfile(
                    dim=int(part["dim"]),
                    largest=float(part["top"]),
                    error=float(part["residual"]),
                    trace=hutchinson(part),
                )
                for name, part in parts.items()
            }
        found = {}
        for name in layer_names([finished(self._kept)]):
            block = self._exact(f"hessian/{name}")
            outer = f"gauss_newton/{name}"
            found[name] = LayerProfile(
                dim=block.dim,
                largest=float(block.known[np.abs(block.known).argmax()]),
                error=block.resolution,
                trace=trace_of(block, self._plan.confidence),
                hessian=block,
                gauss_newton=self._exact(outer) if outer in self._kept.found else None,
            )
        return found

    def _clock(self) -> Result:
        """Seconds for one gradient, the least of three."""
        runs = []
        for _ in range(3):
            start = time.perf_counter()
            self._risk.gradient()
            runs.append(time.perf_counter() - start)
        return {"least": min(runs)}

    def _arrays(self) -> dict[str, AnyArray]:
        if not self._large:
            return {n.replace("/", "_"): np.array(v) for n, v in finished(self._kept).items()}
        arrays: dict[str, AnyArray] = {}
        for name in ("hessian", "gauss_newton"):
            matrix = Estimated.read(self._kept.found, name, name)
            if matrix is not None:
                arrays[f"{name}_eigenvalues"] = matrix.values
                arrays[f"{name}_residuals"] = matrix.residuals
                if matrix.measure is not None:
                    arrays[f"{name}_nodes"] = np.array(matrix.measure.nodes)
                    arrays[f"{name}_weights"] = np.array(matrix.measure.weights)
        if "gauss_newton/exact" in self._kept.found:
            arrays["gauss_newton"] = self._kept.found["gauss_newton/exact"]["values"]
        return arrays


def profile(
    risk: EmpiricalRisk,
    *,
    tol: float = 1e-6,
    max_dim: int = 8000,
    top: int = 10,
    probes: int = 10,
    steps: int = 80,
    seed: int = 0,
    max_bytes: int = 2**33,
    folder: Path | str | None = None,
    progress: Progress = silent,
) -> Profile:
    """Measure the curvature of a risk at its parameters: spectra of H, H0, H1 and of each layer.

    What `hessium spectrum` does. Up to `max_dim` parameters all eigenvalues are found (LAPACK);
    beyond, eigenpairs from both ends and a density with its error bands, by products alone.

    Args:
        risk: where.
        tol: eigenvalues count beyond this fraction of the largest absolute one.
        max_dim: largest number of parameters, or of samples x outputs, for a dense matrix.
        top: of a large model, eigenpairs at each end.
        probes: of a large model, random vectors of the density.
        steps: of a large model, Lanczos steps for each of them.
        seed: of a large model, of probes and starts.
        max_bytes: of a large model, what Krylov bases may take (8 GiB).
        folder: a run directory for the parts that are finished and the state of the one under way;
            the same call goes on from it. A process that is killed loses at most a minute.
        progress: called with matrices or products done and foreseen.

    Raises:
        InputError: for a bad argument, or if the memory does not suffice.
        NonFiniteError: if a product is not finite.

    Cost: dense H, H0 and H1 and their eigenvalues; of a large model (2 probes x steps + 45 top)
    products, and a third as many again for the layers.
    """
    require_risk(risk)
    plan = Plan(
        tol=_arguments.fraction("tol", tol),
        max_dim=_arguments.count("max_dim", max_dim),
        top=_arguments.count("top", top),
        probes=_arguments.count("probes", probes),
        steps=_arguments.count("steps", steps),
        seed=_arguments.count("seed", seed, 0),
        max_bytes=_arguments.memory("max_bytes", max_bytes),
    )
    _arguments.function("progress", progress, "(done, total, what) ")
    store = None
    if folder is not None:
        store = RunDirectory.create(Path(folder), argument="folder").store("spectrum")
    found = OwnModel(risk, plan, store).profile(progress)
    if found.stopped is not None:
        raise found.stopped
    return found


def describe(risk: EmpiricalRisk) -> dict[str, Any]:
    """What was measured, for the settings on the page."""
    return {
        "model": type(risk.model).__name__,
        "loss": repr(risk.loss),
        "parameters": risk.dim,
        "samples": risk.num_samples,
        "outputs": risk.num_outputs,
        "dtype": str(risk.dtype),
        "device": str(risk.device),
    }


def _why(stopped: BaseException) -> str:
    signal = str(stopped) or "Ctrl-C"
    reason = f"by {signal if isinstance(stopped, KeyboardInterrupt) else f'an error: {stopped}'}"
    return f"Stopped before the end {reason}. What was finished is here; the same command goes on."


def _rounded(value: float, unit: float) -> Number:
    return Number(
        value=value,
        low=value - unit * abs(value),
        high=value + unit * abs(value),
        basis="value [bounds of rounding]",
        digits=4,
    )
