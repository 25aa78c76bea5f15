"""First pass over the data: counts, denominators, and checks that a Hessian exists."""

from __future__ import annotations

import dataclasses
import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hessium._finite import all_finite
from hessium.errors import InputError, NonFiniteInputError, OutsideParameterWarning, RouteWarning
from hessium.problem.additivity import Additivity, require_additive
from hessium.problem.containers import tensors
from hessium.problem.data import Batch, Batches, check_batch, global_randomness_kept
from hessium.problem.determinism import require_same
from hessium.problem.graph_checks import GraphChecks, nodes_behind
from hessium.problem.losses import CallableLoss, Counted, Loss, Value
from hessium.problem.passes import Passes, leading_size
from hessium.problem.same_on_all import (
    join_reach,
    mark_of_batch,
    require_equal_batches,
    require_same_model,
    warn_of_equal_data,
    warn_of_padding,
)
from hessium.problem.samples import (
    Counts,
    NumSamples,
    SequenceWatch,
    Shapes,
    count,
    denominator_of,
    shapes_of,
)
from hessium.problem.watched_passes import WatchedPasses, weighs_by_samples

if TYPE_CHECKING:
    from hessium.problem.risk import EmpiricalRisk


@dataclass(frozen=True, slots=True)
class Survey:
    """Results of the first pass over the data.

    Attributes:
        counts: samples.
        passes: record with which later passes are compared.
        outputs_by_rank: entries of the outputs of the samples of each process.
        scalar: whether every output is a scalar without a sample dimension.
        denominator: denominator of the loss over the whole data set.
        value: the loss over the whole data set.
        unused: names of the parameters that the loss does not depend on; empty if unchecked.
        read_by_loss: names of the parameters that the loss depends on other than through the
            outputs; empty if unchecked.
        recomputes: whether a backward pass recomputes activations or fetches them from elsewhere
            (checkpoints, hooks on saved tensors).
        runs_python: whether a backward pass calls Python code.
        convex: whether the loss is known to be convex in the outputs, sample by sample, for these
            targets and any outputs.
        draws: whether a forward pass draws from the global random generators.
        kernel_size: multiply-adds of a typical kernel of a forward pass; infinite if unknown.
    """

    counts: Counts
    passes: Passes
    outputs_by_rank: tuple[int, ...]
    scalar: bool
    denominator: float
    value: float
    unused: tuple[str, ...] = ()
    read_by_loss: tuple[str, ...] = ()
    recomputes: bool = False
    runs_python: bool = False
    draws: bool = False
    convex: bool = False
    kernel_size: float = math.inf

    @property
    def outputs(self) -> int:
        """Entries of the outputs of all samples."""
        return sum(self.outputs_by_rank)


@dataclass(frozen=True, slots=True)
class _Look:
    """One batch: its numerator, or its mean, and its denominator."""

    shapes: Shapes
    loss: float
    denominator: float
    rows: int
    convex: bool

    def plain(self) -> list[Any]:
        """As JSON can hold it."""
        shapes = self.shapes
        parts = [list(shapes.outputs), sorted(shapes.targets), shapes.sequences, shapes.said]
        return [parts, self.loss, self.denominator, self.rows, self.convex]

    @classmethod
    def of(cls, plain: list[Any]) -> _Look:
        """The look that `plain` describes."""
        (outputs, targets, sequences, said), *rest = plain
        return cls(Shapes(tuple(outputs), frozenset(targets), sequences, said), *rest)


def take_survey(
    risk: EmpiricalRisk, batches: Batches, *, num_samples: NumSamples | None, check: bool
) -> Survey:
    """Read the data once to count, and with `check` again to verify determinism.

    Raises:
        InputError: for data, outputs or losses that break a rule of `EmpiricalRisk`.
    """
    require_same_model(risk)
    warn_of_padding(risk, batches)
    in_step = risk.spread is not None
    if in_step:
        require_equal_batches(risk, batches)
    parameters = risk.leaves()
    with risk.undisturbed():
        looks = GraphChecks(risk.loss, parameters, risk.names, risk.model) if check else None
    # both passes inside one guard: a random loader must be free to differ between them
    with global_randomness_kept(batches, always=True):
        survey = _first_pass(risk, batches, parameters, num_samples, looks)
        if looks is not None:
            again = _second_pass(risk, batches, num_samples, looks)
            require_same(survey.value, again.value, parameters[0].dtype)
            survey = dataclasses.replace(
                survey, unused=looks.unused(), read_by_loss=tuple(sorted(looks.read_by_loss))
            )
            if survey.unused:
                with risk.ranks.together("check of unused parameters", in_step=in_step):
                    for batch in itertools.islice(batches, 1):
                        _require_no_effect(risk, looks, survey.unused, batch, parameters)
    return survey


def _first_pass(
    risk: EmpiricalRisk,
    batches: Batches,
    parameters: Sequence[Tensor],
    num_samples: NumSamples | None,
    looks: GraphChecks | None,
) -> Survey:
    loss, found, mark = risk.loss, list[_Look](), 0.0
    probed = looks is not None and isinstance(loss, CallableLoss)
    adds_up: dict[int | None, Additivity] = {}  # along each dimension that may be the samples
    passes = WatchedPasses(risk, parameters, batches.dtype, checked=looks is not None)
    in_step = risk.spread is not None
    with risk.ranks.together("first pass over the data", in_step=in_step):
        for number, (inputs, targets) in enumerate(batches):
            if number == 0 and not risk.ranks.alone:
                mark = mark_of_batch((inputs, targets))
            if looks is not None:
                check_batch(inputs, targets, number, parameters[0].device)
            with risk.bound(parameters):
                f, look = _look(passes, inputs, targets, num_samples, number, looks)
                found.append(look)
                behind_loss = passes.nodes_of_loss(f, targets) if looks or number == 0 else []
                if looks is not None:
                    known = [*tensors((inputs, targets)), *passes.differentiated_in]
                    looks.at_batch(f, behind_loss, known)
                if probed and isinstance(loss, CallableLoss):
                    shapes = look.shapes
                    counted = targets if shapes.said is None else Counted(targets, shapes.said)
                    for axis in shapes.axes or (None,):
                        probe = adds_up.setdefault(axis, Additivity(loss))
                        probe.at_batch(f.detach(), counted, axis)
    if not risk.ranks.alone:
        warn_of_equal_data(risk.ranks.gathered([mark, [look.loss for look in found]]))
    if looks is not None:
        join_reach(risk, looks)
    survey = _survey(found, passes, batches, loss, num_samples)
    with risk.ranks.together("check of the loss"):
        require_additive(list(adds_up.values()), len(found), len(survey.counts.each))
    if looks is not None and passes.attention:
        warnings.warn(
            "scaled_dot_product_attention runs on its MATH kernel here, because the fused kernels "
            "have no second derivative; values agree to rounding",
            RouteWarning,
            stacklevel=5,
        )
    return survey


def _second_pass(
    risk: EmpiricalRisk,
    batches: Batches,
    num_samples: NumSamples | None,
    looks: GraphChecks,
) -> Survey:
    """Check that a second pass gives the same numbers and uses the same parameters."""
    parameters = risk.leaves()
    passes = WatchedPasses(risk, parameters, batches.dtype, checked=True, again=True)
    in_step = risk.spread is not None
    found = []
    with risk.ranks.together("second pass over the data", in_step=in_step):
        for number, (inputs, targets) in enumerate(batches):
            with risk.bound(parameters):
                f, look = _look(passes, inputs, targets, num_samples, number, None)
                found.append(look)
                if number == 0:
                    nodes = [*nodes_behind(f), *passes.nodes_of_loss(f, targets)]
                    looks.require_same_reach(nodes, parameters)
                    _warn_of(looks.outside(nodes))
    return _survey(found, passes, batches, risk.loss, num_samples)


def _look(
    passes: WatchedPasses,
    inputs: Any,
    targets: Any,
    num_samples: NumSamples | None,
    number: int,
    looks: GraphChecks | None,
) -> tuple[Tensor, _Look]:
    with SequenceWatch() as watch:
        f = passes.outputs(inputs, number)
    if f.numel() == 0:
        msg = f"data: batch {number} has no samples; every batch needs at least one"
        raise InputError(msg)
    shapes = shapes_of(f, inputs, targets, watch.sequences(inputs), num_samples, number)
    if looks is not None:
        _check_outputs(f, passes.risk.loss, passes.parameters, number)
        passes.risk.loss.check(f, targets)
    value = passes.loss(f, targets, number)
    return f, _Look(
        shapes,
        *value,
        rows=leading_size((inputs, targets)),
        convex=passes.risk.loss.convex(targets),
    )


def _survey(
    own: Sequence[_Look],
    passes: WatchedPasses,
    batches: Batches,
    loss: Loss,
    num_samples: NumSamples | None,
) -> Survey:
    ranks = passes.risk.ranks
    found, first = list(own), 0
    facts = [passes.recomputes, passes.runs_python, passes.draws]
    by_rank = [own]
    if not ranks.alone:
        everything = ranks.gathered([[look.plain() for look in own], facts])
        by_rank = [[_Look.of(plain) for plain in looks] for looks, _ in everything]
        found = [look for looks in by_rank for look in looks]
        first = sum(len(looks) for looks in by_rank[: ranks.rank])
        facts = [any(column) for column in zip(*(f for _, f in everything), strict=True)]
    if not found:
        msg = "data: no batches; at least one sample is required (each iteration must begin anew)"
        raise InputError(msg)
    counts = count([look.shapes for look in found], loss, num_samples)
    denominator = denominator_of(loss, counts, [look.denominator for look in found])
    sizes = counts.each if weighs_by_samples(loss) else [1] * len(found)
    total = math.fsum(look.loss * size for look, size in zip(found, sizes, strict=True))
    samples = counts.each[first : first + len(own)]
    return Survey(
        counts=counts,
        passes=Passes.of(batches.source, [look.rows for look in own], samples),
        outputs_by_rank=tuple(
            sum(math.prod(look.shapes.outputs) for look in looks) for looks in by_rank
        ),
        scalar=all(not look.shapes.outputs for look in found),
        denominator=denominator,
        value=total / denominator,
        recomputes=facts[0],
        runs_python=facts[1],
        draws=facts[2],
        convex=all(look.convex for look in found),
        kernel_size=passes.sizes.typical or math.inf,
    )


def _require_no_effect(
    risk: EmpiricalRisk,
    looks: GraphChecks,
    unused: Sequence[str],
    batch: Batch,
    parameters: Sequence[Tensor],
) -> None:
    looks.require_no_effect(unused, lambda moved: risk.total(moved, batch), parameters)


def _warn_of(outside: Sequence[Tensor]) -> None:
    if not outside:
        return
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in outside[:3])
    warnings.warn(
        f"the loss depends on {len(outside)} trainable tensor{'s' if len(outside) > 1 else ''} "
        f"that {'are' if len(outside) > 1 else 'is'} not among the parameters of the model (shape "
        f"{shapes}), and here {'they are constants' if len(outside) > 1 else 'it is a constant'}; "
        "to differentiate in it, register it before the risk is made: "
        "model.name = torch.nn.Parameter(tensor), or model.name = module for a layer",
        OutsideParameterWarning,
        stacklevel=5,
    )


def _check_outputs(f: Tensor, loss: Loss, parameters: Sequence[Tensor], number: int) -> None:
    if isinstance(loss, Value):
        _check_closure(f, parameters)
    if not f.is_floating_point():
        msg = f"model: outputs have dtype {f.dtype}; real floating-point outputs are required"
        raise InputError(msg)
    if not all_finite(f.detach()):
        if isinstance(loss, Value):
            msg = f"closure: returned {float(f.detach())}; a finite number is required"
            raise NonFiniteInputError(msg)
        bad = int((~torch.isfinite(f)).sum())
        msg = f"model: {bad} of {f.numel()} outputs of batch {number} are NaN or infinite"
        raise NonFiniteInputError(msg)


def _check_closure(value: Tensor, parameters: Sequence[Tensor]) -> None:
    if any(p.grad is not None for p in parameters):
        msg = "closure: calls backward(); it must only return the loss"
        raise InputError(msg)
    if not value.requires_grad:
        msg = (
            "closure: returned a number without a graph to the parameters (detach, no_grad or "
            ".item() inside, or another module than the one that it is given)"
        )
        raise InputError(msg)
