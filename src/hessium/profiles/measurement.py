"""One measurement of a risk: dense matrices where they fit, products otherwise."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import scipy.stats

from hessium import _arguments
from hessium.curvature.requirements import require_risk
from hessium.errors import NonFiniteError
from hessium.linalg.vectors import norm
from hessium.problem import EmpiricalRisk
from hessium.profiles.dense_measurement import dense_spectra
from hessium.profiles.matrix_profile import LIKELY, LayerProfile, MatrixProfile, exact_layer
from hessium.profiles.plan import Plan
from hessium.profiles.product_measurement import measure_by_products
from hessium.profiles.profile_result import Profile
from hessium.profiles.stored_parts import (
    identity,
    pooled_spectrum,
    unpacked_pairs,
    unpacked_spectrum,
)
from hessium.progress import Progress, silent
from hessium.runs.experiment import Result
from hessium.runs.fingerprint import fingerprint
from hessium.runs.part_cache import PartCache
from hessium.runs.result_store import Store
from hessium.runs.run_directory import RunDirectory
from hessium.spectra import Integral, Spectrum

MATRICES = ("hessian", "gauss_newton", "residual")
_GRADIENT = "gradient"
_COSTS = ("products", "seconds", "product_seconds")


class Measurement:
    """A risk at its parameters, to be measured part by part.

    Args:
        risk: where.
        plan: settings.
        store: keeps finished parts; an interrupted measurement resumes from them.

    Raises:
        InputError: if `plan.max_bytes` is too small.
    """

    def __init__(self, risk: EmpiricalRisk, plan: Plan, store: Store | None = None) -> None:
        self._risk, self._plan = risk, plan
        self._large = not plan.exact(risk)
        if self._large:
            plan.memory(risk)
        self._loss = risk.value()
        self._gradient_norm = float(norm(risk.gradient()))
        # a changed word of the page leaves stored parts valid
        kind = "product" if self._large else "dense"
        code = fingerprint(f"{__package__}.{kind}_measurement") if store else ""
        of = identity(risk, self._loss, self._gradient_norm)
        ranks = risk.ranks
        agree = None if ranks.alone else ranks.agree
        self._kept = PartCache(store, of, code, agree=agree, writes=ranks.rank == 0)
        # seconds of stored parts are compared with the gradient of the run that made them
        self._gradient_seconds = (
            float(self._kept(_GRADIENT, {}, self._clock)["least"]) if self._large else 0.0
        )
        self._warnings: tuple[str, ...] = ()
        self._stopped: KeyboardInterrupt | NonFiniteError | None = None

    def forecast(self) -> str:
        """The cost in a sentence, before the work; "" where matrices are dense."""
        return self._plan.forecast(self._risk, self._gradient_seconds)

    def run(self, progress: Progress = silent) -> KeyboardInterrupt | NonFiniteError | None:
        """Measure, until the end or an interruption.

        Args:
            progress: called with matrices or products done and in all.

        Returns:
            The interruption, if there was one; `result` then holds the finished parts.

        Raises:
            KeyboardInterrupt, NonFiniteError: if no part was finished before.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                if self._large:
                    measure_by_products(self._risk, self._plan, self._kept, progress)
                else:
                    dense_spectra(self._risk, progress=progress, kept=self._kept)
                self._kept.tidy()
            except (KeyboardInterrupt, NonFiniteError) as error:
                if not set(self._kept.found) - {_GRADIENT}:
                    raise
                self._stopped = error
        self._warnings = tuple(dict.fromkeys(str(one.message) for one in caught))
        return self._stopped

    def result(self) -> Profile:
        """The finished parts together."""
        found = self._kept.found
        parts = {name: part for name, part in found.items() if "/" in name} if self._large else {}
        return Profile(
            matrices={n: m for n in MATRICES if (m := self._matrix(n)) is not None},
            layers=self._layers(),
            loss=self._loss,
            gradient_norm=self._gradient_norm,
            model=describe(self._risk),
            plan=self._plan,
            costs={n: {c: float(part.get(c, 0)) for c in _COSTS} for n, part in parts.items()},
            routes={
                name: str(found[f"{name}/pairs"]["route"])
                for name in MATRICES
                if f"{name}/pairs" in found
            },
            gradient_seconds=self._gradient_seconds,
            warnings=self._warnings,
            seconds=sum(float(part.get("seconds", 0.0)) for part in found.values()),
            reused=len([part for part in self._kept.loaded if part != _GRADIENT]),
            stopped=_reason(self._stopped),
        )

    def _matrix(self, name: str) -> MatrixProfile | None:
        found = self._kept.found
        exact = self._exact(name) or self._exact(f"{name}/exact")
        if exact is not None:
            return MatrixProfile(spectrum=exact)
        if f"{name}/pairs" not in found:
            return None
        pairs = unpacked_pairs(found[f"{name}/pairs"])
        probes = [part for n, part in found.items() if n.startswith(f"{name}/probes/")]
        products = pairs.num_matvecs + sum(int(part["products"]) for part in probes)
        spectrum = pooled_spectrum(probes, products) if probes else None
        return MatrixProfile(spectrum=spectrum, pairs=pairs)

    def _exact(self, name: str) -> Spectrum | None:
        part = self._kept.found.get(name)
        return None if part is None else unpacked_spectrum(part)

    def _layers(self) -> dict[str, LayerProfile]:
        layers = {}
        for name, part in self._kept.found.items():
            kind, _, layer = name.partition("/")
            if kind == "layers":
                layers[layer] = LayerProfile(
                    dim=int(part["dim"]),
                    largest=float(part["top"]),
                    error=float(part["residual"]),
                    trace=_hutchinson(part),
                )
            elif kind == "hessian" and layer and not self._large:
                block = unpacked_spectrum(part)
                layers[layer] = exact_layer(block, self._exact(f"gauss_newton/{layer}"))
        return layers

    def _clock(self) -> Result:
        """Seconds for one gradient, the least of three."""
        runs = []
        for _ in range(3):
            start = time.perf_counter()
            self._risk.gradient()
            runs.append(time.perf_counter() - start)
        return {"least": min(runs)}


def profile(
    risk: EmpiricalRisk,
    *,
    tol: float = 1e-6,
    max_dim: int = 8000,
    top: int = 10,
    probes: int = 10,
    steps: int = 80,
    residual: bool = True,
    seed: int = 0,
    max_bytes: int = 2**33,
    checkpoint: Path | str | None = None,
    progress: Progress = silent,
) -> Profile:
    r"""Measure the curvature of a risk at its parameters, as `hessium spectrum` does.

    Spectra of the Hessian $H = H_0 + H_1$, of its Gauss-Newton part $H_0$ and its residual part
    $H_1$, and of the diagonal blocks of the layers. Up to `max_dim` parameters all eigenvalues are
    computed (LAPACK). Larger models are measured by products: eigenpairs from both ends (thick
    restart Lanczos, Wu & Simon 2000), and for the others stochastic Lanczos quadrature (Ubaru, Chen
    & Saad 2017), every number with its error; $H_0$ stays exact if samples x outputs are at most
    `max_dim`.

    Args:
        risk: model, loss and data.
        tol: eigenvalues count as zero up to this fraction of the largest absolute one.
        max_dim: largest number of parameters, or of samples x outputs, for a dense matrix.
        top: of a large model, eigenpairs at each end.
        probes: of a large model, random vectors of each density.
        steps: of a large model, Lanczos steps for each of them.
        residual: of a large model, whether H1 is measured too.
        seed: of a large model, of probes and start vectors.
        max_bytes: of a large model, memory limit of Krylov bases (8 GiB).
        checkpoint: a run directory for finished parts and the state of the one in progress; the
            same call resumes from it. A process that is killed loses at most a minute of work.
        progress: called with matrices or products done and in all.

    Returns:
        A `Profile`; `.report(path)` writes the page.

    Raises:
        InputError: for a bad argument, or if the memory does not suffice.
        NonFiniteError: if a product is not finite.
        KeyboardInterrupt: on Ctrl-C; finished parts are in `checkpoint`.

    Cost: dense H, H0 and H1 and their eigenvalues. Of a large model, at most 40 top + probes x
    steps products each of H and H1, 5 top + probes x steps of H0, and a quarter of those of H and
    H0 again for the layers.

    Example:
        >>> found = hs.profile(risk)
        >>> found.rank.value <= 13, round(found.trace.value / float(torch.trace(H.dense())), 9)
        (True, 1.0)
    """
    require_risk(risk)
    plan = Plan(
        tol=_arguments.fraction("tol", tol),
        max_dim=_arguments.count("max_dim", max_dim),
        top=_arguments.count("top", top),
        probes=_arguments.count("probes", probes),
        steps=_arguments.count("steps", steps),
        residual=bool(residual),
        seed=_arguments.count("seed", seed, 0),
        max_bytes=_arguments.memory("max_bytes", max_bytes),
    )
    _arguments.function("progress", progress, "(done, total, what) ")
    store = None
    if checkpoint is not None:
        directory = RunDirectory.create(Path(checkpoint), argument="checkpoint")
        store = directory.store(Profile.experiment)
    measurement = Measurement(risk, plan, store)
    stopped = measurement.run(progress)
    if stopped is not None:
        if checkpoint is not None:
            stopped.add_note(f"finished parts are in {checkpoint}; the same call resumes from them")
        raise stopped
    return measurement.result()


def describe(risk: EmpiricalRisk) -> Mapping[str, Any]:
    """What is measured, for the settings on the page."""
    return {
        "model": type(risk.model).__name__,
        "loss": repr(risk.loss),
        "parameters": risk.dim,
        "samples": risk.num_samples,
        "outputs": risk.num_outputs if risk.has_outputs else 0,
        "dtype": str(risk.dtype),
        "device": str(risk.device),
    }


def _hutchinson(part: Result) -> Integral:
    """The trace of a layer's block, with Student's interval over its probes."""
    value, error = float(part["trace"]), float(part["stderr"])
    reach = error * float(scipy.stats.t.ppf((1 + LIKELY) / 2, int(part["probes"]) - 1))
    return Integral(
        value=value,
        stderr=error,
        lower=value - reach,
        upper=value + reach,
        confidence=LIKELY,
        reasons=("probes",),
    )


def _reason(stopped: BaseException | None) -> str:
    if stopped is None:
        return ""
    if isinstance(stopped, KeyboardInterrupt):
        return str(stopped) or "Ctrl-C"
    return f"an error: {stopped}"
