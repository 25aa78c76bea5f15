"""The first look at the data: counts, denominators, and every reason why there is no Hessian."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import disable_saved_tensors_hooks

from hessium.errors import InputError, RouteWarning
from hessium.problem.additivity import Additivity
from hessium.problem.containers import closed, replaced, tensors
from hessium.problem.data import Batches, check_batch, global_randomness_kept
from hessium.problem.determinism import require_same
from hessium.problem.forward import describe
from hessium.problem.kernels import AttentionWatch
from hessium.problem.looks import RECOMPUTES, Looks
from hessium.problem.losses import CallableLoss, Counted, Loss, Value
from hessium.problem.passes import Passes, leading_size
from hessium.problem.samples import (
    Counts,
    NumSamples,
    SequenceWatch,
    Shapes,
    count,
    denominator_of,
    shapes_of,
)

Outputs = Callable[[Sequence[Tensor], Any], Tensor]


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over the data tells.

    Attributes:
        counts: samples.
        passes: what every later pass is compared with.
        outputs: entries of the outputs of all samples.
        scalar: every output is one number without a sample dimension.
        denominator: what the loss divides by over the whole data set.
        value: the loss over the whole data set.
        unused: names of the parameters that no output of any batch depends on; empty if unchecked.
    """

    counts: Counts
    passes: Passes
    outputs: int
    scalar: bool
    denominator: float
    value: float
    unused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Look:
    """One batch: what the loss adds to the numerator, or its mean, and to the denominator."""

    shapes: Shapes
    loss: float
    denominator: float
    rows: int


def take_survey(
    batches: Batches,
    loss: Loss,
    outputs: Outputs,
    parameters: Sequence[Tensor],
    names: Sequence[str],
    model: nn.Module,
    *,
    num_samples: NumSamples | None,
    check: bool,
) -> Survey:
    """Read the data once to count, and with `check` once more to see that nothing changed.

    Raises:
        InputError: for data, outputs or losses that break a rule of `EmpiricalRisk`.
    """
    looks = Looks(loss, parameters, names, model) if check else None
    # both passes inside one guard: a random loader must be free to differ between them
    with global_randomness_kept(batches):
        survey = _pass_over(batches, loss, outputs, parameters, num_samples, looks)
        if looks is not None:
            again = _pass_over(batches, loss, outputs, parameters, num_samples, None)
            require_same(survey.value, again.value, parameters[0].dtype)
            survey = dataclasses.replace(survey, unused=looks.unused())
            if survey.unused:
                inputs, _ = next(iter(batches))
                looks.require_no_effect(survey.unused, outputs, parameters, inputs)
    return survey


def _pass_over(
    batches: Batches,
    loss: Loss,
    outputs: Outputs,
    parameters: Sequence[Tensor],
    num_samples: NumSamples | None,
    looks: Looks | None,
) -> Survey:
    found: list[_Look] = []
    adds_up = Additivity(loss) if looks is not None and isinstance(loss, CallableLoss) else None
    for number, (inputs, targets) in enumerate(batches):
        with SequenceWatch() as watch:
            if looks is None:
                f = outputs(parameters, inputs)
            else:
                check_batch(inputs, targets, number, parameters[0].device)
                f = _guarded(outputs, parameters, inputs, loss, number, batches.dtype)
        if f.numel() == 0:
            msg = f"data: batch {number} has no samples; every batch needs at least one"
            raise InputError(msg)
        shapes = shapes_of(f, inputs, targets, watch.sequences(inputs), num_samples, number)
        if looks is not None:
            _check_outputs(f, loss, parameters, number)
            loss.check(f, targets)
        look = _Look(
            shapes,
            *_evaluated(loss, f.detach(), targets, number),
            leading_size((inputs, targets)),
        )
        if looks is not None:
            looks.at_batch(f, targets, number)
        if adds_up is not None:
            axis = next(iter(shapes.axes)) if len(shapes.axes) == 1 else None
            counted = targets if shapes.said is None else Counted(targets, shapes.said)
            adds_up.at_batch(f.detach(), counted, axis)
        found.append(look)
    if not found:
        msg = "data: no batches; at least one sample is required"
        raise InputError(msg)
    counts = count([look.shapes for look in found], loss, num_samples)
    if adds_up is not None:
        adds_up.require()
    denominator = denominator_of(loss, counts, [look.denominator for look in found])
    sizes = counts.each if _is_mean(loss) else [1] * len(found)
    total = math.fsum(look.loss * size for look, size in zip(found, sizes, strict=True))
    return Survey(
        counts=counts,
        passes=Passes.of(batches.source, [look.rows for look in found], counts.each),
        outputs=sum(math.prod(look.shapes.outputs) for look in found),
        scalar=all(not look.shapes.outputs for look in found),
        denominator=denominator,
        value=total / denominator,
    )


def _is_mean(loss: Loss) -> bool:
    """Whether a batch gives a mean whose weight is known only when all of them have been seen."""
    return isinstance(loss, CallableLoss) and loss.by_samples


def _guarded(
    outputs: Outputs,
    parameters: Sequence[Tensor],
    inputs: Any,
    loss: Loss,
    number: int,
    dtype: torch.dtype | None,
) -> Tensor:
    """A forward pass in which what torch objects to becomes one sentence."""
    # a model that writes to its inputs shall do so to a copy
    seen = _cloned(inputs) if number == 0 else inputs
    versions = _versions(seen)
    try:
        if number == 0:
            with AttentionWatch() as attention, disable_saved_tensors_hooks(RECOMPUTES):
                f = outputs(parameters, seen)
        else:
            f = outputs(parameters, seen)
    except (InputError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if str(error) == RECOMPUTES:
            raise InputError(RECOMPUTES) from None
        raise InputError(_failure(error, parameters, inputs, loss, dtype)) from error
    if _versions(seen) != versions:
        msg = (
            "model: its forward pass writes to its inputs (a layer with inplace=True?); it must "
            "only read, say forward=lambda model, inputs: model(inputs.clone())"
        )
        raise InputError(msg)
    if number == 0 and attention.seen:
        warnings.warn(
            "scaled_dot_product_attention runs on its MATH kernel here, because the fused kernels "
            "have no second derivative; values agree to rounding",
            RouteWarning,
            stacklevel=5,
        )
    return f


def _failure(
    error: Exception,
    parameters: Sequence[Tensor],
    inputs: Any,
    loss: Loss,
    dtype: torch.dtype | None,
) -> str:
    where = f"{parameters[0].dtype} on {parameters[0].device}"
    if isinstance(loss, Value):
        return f"closure: failed ({_reason(error)}); the module's parameters are {where}"
    msg = (
        f"model: its forward pass failed on the data ({_reason(error)}); parameters are "
        f"{where}, inputs {describe(inputs)}"
    )
    kinds = closed(inputs)
    if dtype is not None and kinds:
        msg += f"; no tensor was found in the {kinds[0]}, so it was not converted to {dtype}"
    if isinstance(error, (TypeError, KeyError, AttributeError)):
        keys = list(inputs) if isinstance(inputs, Mapping) else []
        how = f"inputs[{keys[0]!r}]" if keys else "inputs"
        msg += f"; forward=lambda model, inputs: model({how}), or the like, says how it is called"
    return msg


def _check_outputs(f: Tensor, loss: Loss, parameters: Sequence[Tensor], number: int) -> None:
    if isinstance(loss, Value):
        _check_closure(f, parameters)
    if not f.is_floating_point():
        msg = f"model: outputs have dtype {f.dtype}; real floating-point outputs are required"
        raise InputError(msg)
    if not bool(torch.isfinite(f).all()):
        if isinstance(loss, Value):
            msg = f"closure: returned {float(f.detach())}; a finite number is required"
            raise InputError(msg)
        bad = int((~torch.isfinite(f)).sum())
        msg = f"model: {bad} of {f.numel()} outputs of batch {number} are NaN or infinite"
        raise InputError(msg)


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


def _evaluated(loss: Loss, f: Tensor, targets: Any, number: int) -> tuple[float, float]:
    """The loss of one batch, a mean where its weight is still open, and the denominator."""
    targets = _cloned(targets) if number == 0 else targets
    versions = _versions((f, targets))
    try:
        value = loss.value if isinstance(loss, CallableLoss) and _is_mean(loss) else loss.total
        total, denominator = float(value(f, targets)), float(loss.count(f, targets))
    except (InputError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        msg = (
            f"loss: {loss!r} failed on batch {number} ({_reason(error)}); outputs are "
            f"{describe(f)}, targets {describe(targets)}"
        )
        raise InputError(msg) from error
    if _versions((f, targets)) != versions:
        msg = (
            f"loss: {loss!r} writes to its outputs or targets in place (sub_, an index on the "
            "left); it must only read"
        )
        raise InputError(msg)
    if not math.isfinite(total):
        msg = f"loss: is {total} on batch {number}; a finite number is required"
        raise InputError(msg)
    return total, denominator


def _cloned(value: Any) -> Any:
    try:
        return replaced(value, lambda t: t.detach().clone().requires_grad_(t.requires_grad))
    except InputError:  # an object that cannot be copied is looked at as it is
        return value


def _versions(value: Any) -> list[int]:
    return [0 if t.is_inference() else t._version for t in tensors(value)]


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    kind = type(error).__name__
    return (f"{kind}: {lines[0]}" if isinstance(error, KeyError) else lines[0]) if lines else kind
