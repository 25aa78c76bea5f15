"""Everything about the curvature of a risk that fits no dense matrix, by products alone."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hessium.curvature import GaussNewton, Gram, Hessian
from hessium.errors import ConvergenceWarning, InputError, NonFiniteError
from hessium.estimate import Eigenpairs, eigenpairs, spectral_measure, spectrum
from hessium.estimate.deflation import Deflation
from hessium.estimate.eigenpairs import Which
from hessium.problem import EmpiricalRisk
from hessium.profiles.counting_operator import Metered, Reading, cost_since
from hessium.profiles.measurement import layers
from hessium.profiles.plan import Plan
from hessium.progress import Progress
from hessium.runs.experiment import Result
from hessium.runs.part_cache import Kept
from hessium.spectra import GaussRule, Spectrum

ACCURACY = 1e-3  # relative residual of the eigenpairs; values are known to about its square
_LARGEST_ON_DISK = 2**31  # bytes of eigenvectors that are kept for a run that goes on
_BASIS = 150  # rows of a basis, about
_LARGEST_STATE = 2**33  # bytes of a basis that are written for a part under way
_FEWEST = 12  # products for a layer, however many layers share
_MOST_LAYERS = 24  # beyond that, modules are taken together


def estimate(risk: EmpiricalRisk, plan: Plan, kept: Kept, progress: Progress) -> None:
    """Eigenpairs from both ends, spectral measures, and layer blocks, part by part into `kept`.

    Parts: `hessian/pairs`, `hessian/probes/I`; for a loss of outputs `gauss_newton/exact` (through
    the Gram matrix, where samples times outputs are at most `plan.max_dim`) or
    `gauss_newton/pairs` and `gauss_newton/probes/I`; with several layers `layers/NAME`. Each is
    kept as soon as it is finished.

    Random streams: `numpy.random.default_rng(plan.seed).spawn(5)` are those of the pairs and of the
    probes of H, of the pairs and of the probes of H0, and of the layers.

    Args:
        risk: where.
        plan: how hard to try.
        kept: takes the parts, and gives those of a run that was stopped.
        progress: called with products done and products foreseen in all.

    Raises:
        NonFiniteError: if a product is not finite; eigenpairs so far are then in `kept`.
    """
    streams = np.random.default_rng(plan.seed).spawn(5)
    tally = _Tally(plan.products(risk), progress)
    hessian = _Estimation("hessian", Metered(Hessian(risk)), plan, kept, tally)
    pairs = hessian.pairs(plan.pairs(risk), "BE", streams[0])
    hessian.probes(pairs, streams[1])
    if risk.has_outputs and not (plan.by_gram(risk) and _through_gram(risk, kept, progress)):
        outer = _Estimation("gauss_newton", Metered(GaussNewton(risk)), plan, kept, tally)
        pairs = outer.pairs(min(plan.top, risk.dim), "LM", streams[2])
        outer.probes(pairs, streams[3])
    _layers(risk, plan, kept, tally, streams[4])


def measure_of(found: Mapping[str, Result], matrix: str) -> Spectrum | None:
    """The spectral measure of all probes that are finished; None if there is none."""
    parts = [r for name, r in found.items() if name.startswith(f"{matrix}/probes/")]
    if not parts:
        return None
    return Spectrum.from_rules(
        tuple(rule for part in parts for rule in _rules(part)),
        parts[0]["exact"],
        dim=int(parts[0]["dim"]),
        resolution=max(float(part["resolution"]) for part in parts),
        num_matvecs=sum(int(part["products"]) for part in parts)
        + int(found.get(f"{matrix}/pairs", {}).get("products", 0)),
        nonnegative=bool(parts[0].get("nonnegative", False)),
        rank_bound=int(parts[0].get("rank_bound", parts[0]["dim"])),
    )


class _Tally:
    """One bar of products for all parts."""

    def __init__(self, foreseen: Mapping[str, int], progress: Progress) -> None:
        self._at = {part: (0, total) for part, total in foreseen.items()}
        self._progress = progress

    def note(self, part: str, done: int, total: int) -> None:
        """So many of so many products of this part."""
        self._at[part] = (done, max(done, total))
        done, total = (sum(column) for column in zip(*self._at.values(), strict=True))
        self._progress(done, total, "products")


class _Estimation:
    """The estimators on one matrix."""

    def __init__(self, name: str, operator: Metered, plan: Plan, kept: Kept, tally: _Tally) -> None:
        self._name, self._operator = name, operator
        self._plan, self._kept, self._tally = plan, kept, tally
        # a state holds about one basis
        rows = max(plan.steps, 5 * plan.top, _BASIS)
        self._resumes = rows * operator.shape[0] * operator.dtype.itemsize <= _LARGEST_STATE

    def pairs(self, k: int, which: Which, rng: np.random.Generator) -> Eigenpairs:
        """Eigenpairs, from disk or now."""
        part, plan, operator = f"{self._name}/pairs", self._plan, self._operator
        stream = rng.bit_generator.state

        def compute(checkpoint: Path | None) -> Result:
            rng.bit_generator.state = stream
            # all the work is announced at once, so that the route is chosen for all of it
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
                    self._kept.found[part] = cost_since(operator, before, _packed(error.partial))
                raise
            return cost_since(operator, before, _packed(found), found.num_matvecs)

        settings = {"k": k, "accuracy": ACCURACY, "seed": plan.seed, "most": plan.most_products}
        row = operator.shape[0] * operator.dtype.itemsize
        small = k * row <= _LARGEST_ON_DISK
        with warnings.catch_warnings():
            # the page says which pairs have not converged
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = self._kept.going_on(
                part, settings, compute, on_disk=small, under_way=self._resumes
            )
        self._tally.note(part, int(found["products"]), int(found["products"]))
        return _unpacked(found, operator)

    def probes(self, pairs: Eigenpairs, rng: np.random.Generator) -> None:
        """Gauss rules of all probes, some at a time, from disk or now."""
        plan, operator = self._plan, self._operator
        part, total = f"{self._name}/probes", plan.probes * plan.steps
        settings = {"k": pairs.requested, "steps": plan.steps, "seed": plan.seed}
        # those from disk are proved when the first probe needs them, and then no more
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
                together = min(operator.preferred_columns, plan.probes - first)
                estimate = spectral_measure(
                    operator,
                    together,
                    plan.steps,
                    deflate=deflation(),
                    max_bytes=plan.max_bytes,
                    rng=rng,
                    checkpoint=checkpoint,
                    progress=lambda now, _, __: self._tally.note(
                        part, first * plan.steps + now, total
                    ),
                )
                found = {
                    **_packed_rules(estimate),
                    "exact": estimate.known,
                    "dim": estimate.dim,
                    "resolution": estimate.resolution,
                    "nonnegative": estimate.nonnegative,
                    "rank_bound": estimate.rank_bound,
                    "stream": dict(rng.bit_generator.state),
                }
                return cost_since(operator, before, found, estimate.num_matvecs - pairs.num_matvecs)

            found = self._kept.going_on(
                f"{part}/{first}",
                settings | {"first": first},
                compute,
                under_way=self._resumes,
            )
            # the next probes are those that follow, whether these were drawn now or earlier
            rng.bit_generator.state = found["stream"]
            done += len(found["masses"])
            self._tally.note(part, done * plan.steps, total)


def _through_gram(risk: EmpiricalRisk, kept: Kept, progress: Progress) -> bool:
    """H0 exactly, zeros left out; False where its Gram matrix does not exist."""
    try:
        gram = Gram(risk)
    except InputError:  # not convex, or samples coupled
        return False

    def compute() -> Result:
        progress(0, 1, "Gram matrix")
        return {"values": np.array(spectrum(gram).nodes), "products": 0}

    kept("gauss_newton/exact", {}, compute)
    progress(1, 1, "Gram matrix")
    return True


def _layers(
    risk: EmpiricalRisk, plan: Plan, kept: Kept, tally: _Tally, rng: np.random.Generator
) -> None:
    """The eigenvalue of each diagonal block that is largest in magnitude, and its trace."""
    groups = layers(risk, most=_MOST_LAYERS)
    if len(groups) < 2:
        tally.note("layers", 0, 0)
        return
    spent = sum(int(result.get("products", 0)) for result in kept.found.values())
    each = max(_FEWEST, int(plan.share * spent) // len(groups))
    probes = max(4, each // 3)
    streams = rng.spawn(len(groups))
    for number, ((name, members), stream) in enumerate(zip(groups.items(), streams, strict=True)):

        def compute(
            checkpoint: Path | None,
            members: list[str] = members,
            stream: np.random.Generator = stream,
            drawn: Any = stream.bit_generator.state,
        ) -> Result:
            stream.bit_generator.state = drawn
            part = risk.restrict(members)
            # its parent has been checked
            block = Metered(Hessian(part, check=False))
            before = Reading(block)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                top = eigenpairs(
                    block, 1, tol=ACCURACY, max_products=each - probes,
                    max_bytes=plan.max_bytes, rng=stream,
                    checkpoint=None if checkpoint is None else checkpoint / "top",
                )  # fmt: skip
            # one step: the rule of one node integrates x exactly, so the mean is Hutchinson's
            measure = spectral_measure(
                block,
                probes,
                1,
                deflate=Deflation(block, top, proved=True),
                max_bytes=plan.max_bytes,
                rng=stream,
                checkpoint=None if checkpoint is None else checkpoint / "trace",
            )
            trace, error = measure.integral(lambda x: x)
            return cost_since(
                block,
                before,
                {
                    "dim": part.dim,
                    "top": float(top.values[0]),
                    "residual": float(top.residuals[0]),
                    "converged": bool(top.converged[0]),
                    "trace": part.dim * trace,
                    "stderr": part.dim * error,
                    "probes": probes,
                },
                measure.num_matvecs,
            )

        settings = {"each": each, "probes": probes, "seed": plan.seed, "number": number}
        kept.going_on(f"layers/{name}", settings, compute)
        tally.note("layers", (number + 1) * each, len(groups) * each)


def _packed(pairs: Eigenpairs) -> Result:
    names = ("values", "residuals", "converged", "multiplicity_known", "null_space")
    fields = {name: getattr(pairs, name) for name in names}
    fields |= {name: getattr(pairs, name) for name in ("requested", "which", "dim", "scale")}
    return {**fields, "vectors": pairs.vectors.cpu().numpy()}


def _unpacked(result: Result, operator: Metered) -> Eigenpairs:
    return Eigenpairs(
        **{name: result[name] for name in ("values", "residuals", "converged", "which")},
        vectors=torch.as_tensor(result["vectors"]).to(operator.device),
        multiplicity_known=result["multiplicity_known"],
        null_space=bool(result["null_space"]),
        requested=int(result["requested"]),
        dim=int(result["dim"]),
        scale=float(result["scale"]),
        num_matvecs=int(result["products"]),
    )


def _packed_rules(estimate: Spectrum) -> Result:
    return {
        "diagonals": np.concatenate([rule.diagonal for rule in estimate.rules]),
        "offdiagonals": np.concatenate([rule.offdiagonal for rule in estimate.rules]),
        "lengths": np.array([rule.diagonal.size for rule in estimate.rules]),
        "masses": np.array([rule.mass for rule in estimate.rules]),
    }


def _rules(result: Result) -> list[GaussRule]:
    ends = np.cumsum(result["lengths"])[:-1]
    pieces = (np.split(result[name], ends) for name in ("diagonals", "offdiagonals"))
    return [
        GaussRule(diagonal=d, offdiagonal=e, mass=float(m))
        for d, e, m in zip(*pieces, result["masses"], strict=True)
    ]
