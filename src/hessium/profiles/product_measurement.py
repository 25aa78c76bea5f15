"""Spectra of a risk and of its layers from matrix-vector products, for large models."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hessium.curvature import GaussNewton, Hessian, ResidualHessian
from hessium.errors import ConvergenceWarning, NonFiniteError
from hessium.estimate import Eigenpairs, eigenpairs, spectral_measure, spectrum
from hessium.estimate.convergence import Which
from hessium.estimate.deflation import Deflation
from hessium.problem import EmpiricalRisk
from hessium.profiles.counting_operator import CountingOperator, Reading, cost_since
from hessium.profiles.layers import layers
from hessium.profiles.plan import Plan
from hessium.profiles.stored_parts import packed_pairs, packed_spectrum, unpacked_pairs
from hessium.progress import Progress
from hessium.runs.experiment import Result
from hessium.runs.part_cache import PartCache

ACCURACY = 1e-3  # relative residual of the eigenpairs; the error of a value is about its square
_LARGEST_ON_DISK = 2**31  # bytes of eigenvectors that are stored
_LARGEST_STATE = 2**33  # bytes of a basis that are stored for work in progress
_BASIS = 150  # vectors of a basis, about
_FEWEST = 12  # products for a layer, however many layers share
_MOST_LAYERS = 24  # with more, nested modules are grouped by their parent


def measure_by_products(
    risk: EmpiricalRisk, plan: Plan, kept: PartCache, progress: Progress
) -> None:
    """Eigenpairs from both ends, spectral measures, and layer blocks, stored part by part.

    Parts: `hessian/pairs` and `hessian/probes/I`; where the model has outputs `gauss_newton/exact`
    (through the Gram matrix, if samples x outputs are at most `plan.max_dim`) or
    `gauss_newton/pairs` and `gauss_newton/probes/I`, then `residual/pairs` and `residual/probes/I`;
    with several layers `layers/NAME`.

    Random streams: the children of `numpy.random.default_rng(plan.seed)` are those of the pairs and
    the probes of H, of the pairs and the probes of H0, of the layers, and of the pairs and the
    probes of H1.

    Args:
        risk: where.
        plan: settings.
        kept: stores each part as it is finished, and holds those of an earlier run.
        progress: called with products done and products in all.

    Raises:
        NonFiniteError: if a product is not finite; `kept` holds the eigenpairs so far.
    """
    streams = np.random.default_rng(plan.seed).spawn(7)
    tally = _Tally(plan.products(risk), progress)

    def estimate(name: str, kind: Any, k: int, which: Which, first: int) -> None:
        matrix = _Estimation(name, CountingOperator(kind(risk)), plan, kept, tally)
        pairs = matrix.pairs(k, which, streams[first])
        matrix.probes(pairs, streams[first + 1])

    estimate("hessian", Hessian, plan.pairs(risk), "BE", 0)
    if risk.has_outputs and not (plan.by_gram(risk) and _through_gram(risk, kept, progress)):
        estimate("gauss_newton", GaussNewton, min(plan.top, risk.dim), "LM", 2)
    _layers(risk, plan, kept, tally, streams[4])
    if risk.has_outputs and plan.residual:
        estimate("residual", ResidualHessian, plan.pairs(risk), "BE", 5)


class _Tally:
    """Products done and to come, over all parts."""

    def __init__(self, foreseen: Mapping[str, int], progress: Progress) -> None:
        self._at = {part: (0, total) for part, total in foreseen.items()}
        self._progress = progress

    def note(self, part: str, done: int, total: int) -> None:
        """Report products of one part."""
        self._at[part] = (done, max(done, total))
        done, total = (sum(column) for column in zip(*self._at.values(), strict=True))
        self._progress(done, total, "products")


class _Estimation:
    """The estimators on one matrix."""

    def __init__(
        self, name: str, operator: CountingOperator, plan: Plan, kept: PartCache, tally: _Tally
    ) -> None:
        self._name, self._operator = name, operator
        self._plan, self._kept, self._tally = plan, kept, tally
        # a state holds about one basis
        rows = max(plan.steps, 5 * plan.top, _BASIS)
        self._resumes = rows * operator.shape[0] * operator.dtype.itemsize <= _LARGEST_STATE

    def pairs(self, k: int, which: Which, rng: np.random.Generator) -> Eigenpairs:
        """Eigenpairs, stored ones or new ones."""
        part, plan, operator = f"{self._name}/pairs", self._plan, self._operator
        stream = rng.bit_generator.state

        def compute(checkpoint: Path | None) -> Result:
            rng.bit_generator.state = stream
            # all products to come are announced, so that the route is chosen for all of them
            operator.prepare(plan.most_products + plan.probes * plan.steps, plan.probes)
            before = Reading(operator)
            try:
                found = eigenpairs(
                    operator,
                    k,
                    which,
                    tol=ACCURACY,
                    max_products=plan.most_products,
                    max_bytes=plan.max_bytes,
                    rng=rng,
                    checkpoint=checkpoint,
                    progress=lambda done, total, _: self._tally.note(part, done, total),
                )
            except NonFiniteError as error:
                if isinstance(error.partial, Eigenpairs):
                    partial = cost_since(operator, before, packed_pairs(error.partial))
                    self._kept.found[part] = partial
                raise
            return cost_since(operator, before, packed_pairs(found), found.num_matvecs)

        settings = {"k": k, "accuracy": ACCURACY, "seed": plan.seed, "most": plan.most_products}
        row = operator.shape[0] * operator.dtype.itemsize
        with warnings.catch_warnings():
            # the page names the pairs that have not converged
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = self._kept.resumable(
                part,
                settings,
                compute,
                on_disk=k * row <= _LARGEST_ON_DISK,
                checkpointed=self._resumes,
            )
        self._tally.note(part, int(found["products"]), int(found["products"]))
        return unpacked_pairs(found, operator.device)

    def probes(self, pairs: Eigenpairs, rng: np.random.Generator) -> None:
        """Gauss rules of all probes, some at a time, stored ones or new ones."""
        plan, operator = self._plan, self._operator
        part, total = f"{self._name}/probes", plan.probes * plan.steps
        settings = {"k": pairs.requested, "steps": plan.steps, "seed": plan.seed}
        # stored pairs are verified once, when the first probe needs them
        here = f"{self._name}/pairs" not in self._kept.loaded
        deflation = functools.cache(lambda: Deflation(operator, pairs, proved=here))
        done = 0
        while done < plan.probes:
            first, stream = done, rng.bit_generator.state

            def compute(
                checkpoint: Path | None, first: int = first, stream: Any = stream
            ) -> Result:
                rng.bit_generator.state = stream
                before = Reading(operator)
                operator.prepare(total, plan.probes)
                estimate = spectral_measure(
                    operator,
                    min(operator.preferred_columns, plan.probes - first),
                    plan.steps,
                    deflate=deflation(),
                    max_bytes=plan.max_bytes,
                    rng=rng,
                    checkpoint=checkpoint,
                    progress=lambda now, _, __: self._tally.note(
                        part, first * plan.steps + now, total
                    ),
                )
                state = dict(rng.bit_generator.state)
                found = {**packed_spectrum(estimate), "stream": state}
                return cost_since(operator, before, found, estimate.num_matvecs - pairs.num_matvecs)

            found = self._kept.resumable(
                f"{part}/{first}", settings | {"first": first}, compute, checkpointed=self._resumes
            )
            # the next probes continue the stream of these, whether new or stored
            rng.bit_generator.state = found["stream"]
            done += len(found["masses"])
            self._tally.note(part, done * plan.steps, total)


def _through_gram(risk: EmpiricalRisk, kept: PartCache, progress: Progress) -> bool:
    """The exact spectrum of H0; False if it has no Gram matrix (loss not convex, batch coupled)."""
    operator = GaussNewton(risk)
    if operator.companion() is None:
        return False

    def compute() -> Result:
        progress(0, 1, "Gram matrix")
        return {**packed_spectrum(spectrum(operator)), "products": 0}

    kept("gauss_newton/exact", {}, compute)
    progress(1, 1, "Gram matrix")
    return True


def _layers(
    risk: EmpiricalRisk, plan: Plan, kept: PartCache, tally: _Tally, rng: np.random.Generator
) -> None:
    """Of each diagonal block of H, the eigenvalue of largest magnitude and the trace."""
    groups = layers(risk, most=_MOST_LAYERS)
    if len(groups) < 2:
        tally.note("layers", 0, 0)
        return
    spent = sum(int(part.get("products", 0)) for part in kept.found.values())
    each = max(_FEWEST, int(plan.share * spent) // len(groups))
    probes = max(4, each // 3)
    for number, (name, members) in enumerate(groups.items()):
        stream = rng.spawn(1)[0]

        def compute(
            checkpoint: Path | None,
            members: list[str] = members,
            stream: np.random.Generator = stream,
            drawn: Any = stream.bit_generator.state,
        ) -> Result:
            stream.bit_generator.state = drawn
            part = risk.restrict(members)
            # the operator of all parameters has been checked
            block = CountingOperator(Hessian(part, check=False))
            before = Reading(block)
            folders = {n: None if checkpoint is None else checkpoint / n for n in ("top", "trace")}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                top = eigenpairs(
                    block, 1, tol=ACCURACY, max_products=each - probes,
                    max_bytes=plan.max_bytes, rng=stream, checkpoint=folders["top"],
                )  # fmt: skip
            # a rule of one node integrates x exactly: the mean is Hutchinson's estimate
            measure = spectral_measure(
                block, probes, 1, deflate=Deflation(block, top, proved=True),
                max_bytes=plan.max_bytes, rng=stream, checkpoint=folders["trace"],
            )  # fmt: skip
            trace, error = measure.integral(np.positive)
            found = {
                "dim": part.dim,
                "top": float(top.values[0]),
                "residual": float(top.residuals[0]),
                "trace": part.dim * trace,
                "stderr": part.dim * error,
                "probes": probes,
            }
            return cost_since(block, before, found, measure.num_matvecs)

        settings = {"each": each, "probes": probes, "seed": plan.seed, "number": number}
        kept.resumable(f"layers/{name}", settings, compute)
        tally.note("layers", (number + 1) * each, len(groups) * each)
