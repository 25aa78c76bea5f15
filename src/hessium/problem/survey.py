"""The first look at the data: counts, denominators, and every reason why there is no Hessian."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import disable_saved_tensors_hooks

from hessium.errors import InputError, RouteWarning
from hessium.problem.data import Batch, check_batch, global_randomness_kept, iterate, num_samples
from hessium.problem.determinism import require_same
from hessium.problem.forward import describe
from hessium.problem.kernels import AttentionWatch
from hessium.problem.looks import RECOMPUTES, Looks
from hessium.problem.losses import Loss

Outputs = Callable[[Sequence[Tensor], Any], Tensor]


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over the data tells.

    Attributes:
        batches: of one pass.
        samples: in all batches.
        outputs: entries of the outputs of all samples.
        denominator: what the loss divides by over the whole data set.
        value: the loss over the whole data set.
        unused: names of the parameters that no output of any batch depends on; empty if unchecked.
    """

    batches: int
    samples: int
    outputs: int
    denominator: float
    value: float
    unused: tuple[str, ...] = ()


def take_survey(
    batches: Iterable[Batch],
    loss: Loss,
    outputs: Outputs,
    parameters: Sequence[Tensor],
    names: Sequence[str],
    model: nn.Module,
    *,
    dtype: torch.dtype | None,
    check: bool,
) -> Survey:
    """Read the data once to count, and with `check` once more to see that nothing changed.

    Raises:
        InputError: for data, outputs or losses that break a rule of `EmpiricalRisk`.
    """
    looks = Looks(loss, parameters, names, model) if check else None
    # both passes inside one guard: a random loader must be free to differ between them
    with global_randomness_kept(batches):
        survey = _pass_over(iterate(batches, dtype), loss, outputs, parameters, looks)
        if looks is not None:
            again = _pass_over(iterate(batches, dtype), loss, outputs, parameters, None)
            require_same(survey.value, again.value, parameters[0].dtype)
            survey = dataclasses.replace(survey, unused=looks.unused())
            if survey.unused:
                inputs, _ = next(iter(iterate(batches, dtype)))
                looks.require_no_effect(survey.unused, outputs, parameters, inputs)
    return survey


def _pass_over(
    pairs: Iterable[Batch],
    loss: Loss,
    outputs: Outputs,
    parameters: Sequence[Tensor],
    looks: Looks | None,
) -> Survey:
    samples = entries = 0
    denominators: list[float] = []
    totals: list[float] = []
    for number, (inputs, targets) in enumerate(pairs):
        size = num_samples(inputs)
        if size == 0:
            msg = f"data: batch {number} has no samples; every batch needs at least one"
            raise InputError(msg)
        if looks is not None:
            check_batch(inputs, targets, number, parameters[0].device)
            f = _guarded(outputs, parameters, inputs, watch=number == 0)
            _check_outputs(f, number)
            loss.check(f, targets)
        else:
            f = outputs(parameters, inputs)
        totals.append(_total(loss, f.detach(), targets, number))
        if looks is not None:
            looks.at_batch(f, targets, number)
        denominators.append(loss.count(f, targets))
        samples += 1 if size is None else size
        entries += f.numel()
    if not totals:
        msg = "data: no batches; at least one sample is required"
        raise InputError(msg)
    denominator = 1.0 if loss.reduction == "sum" else math.fsum(denominators)
    if not denominator > 0:
        msg = (
            f"data: the mean is over {denominator:g} targets (all ignored or of weight zero); "
            "at least one must count"
        )
        raise InputError(msg)
    return Survey(len(totals), samples, entries, denominator, math.fsum(totals) / denominator)


def _guarded(outputs: Outputs, parameters: Sequence[Tensor], inputs: Any, *, watch: bool) -> Tensor:
    """A forward pass in which what torch objects to becomes one sentence."""
    try:
        if not watch:
            return outputs(parameters, inputs)
        with AttentionWatch() as attention, disable_saved_tensors_hooks(RECOMPUTES):
            f = outputs(parameters, inputs)
    except InputError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        if str(error) == RECOMPUTES:
            raise InputError(RECOMPUTES) from None
        msg = (
            f"model: its forward pass failed on the data ({_reason(error)}); parameters are "
            f"{parameters[0].dtype} on {parameters[0].device}, inputs {describe(inputs)}"
        )
        raise InputError(msg) from error
    if attention.seen:
        warnings.warn(
            "scaled_dot_product_attention runs on its MATH kernel here, because the fused kernels "
            "have no second derivative; values agree to rounding",
            RouteWarning,
            stacklevel=5,
        )
    return f


def _check_outputs(f: Tensor, number: int) -> None:
    if not f.is_floating_point():
        msg = f"model: outputs have dtype {f.dtype}; real floating-point outputs are required"
        raise InputError(msg)
    if not bool(torch.isfinite(f).all()):
        bad = int((~torch.isfinite(f)).sum())
        msg = f"model: {bad} of {f.numel()} outputs of batch {number} are NaN or infinite"
        raise InputError(msg)


def _total(loss: Loss, f: Tensor, targets: Any, number: int) -> float:
    try:
        total = float(loss.total(f, targets))
    except InputError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        msg = (
            f"loss: {loss!r} failed on batch {number} ({_reason(error)}); outputs are "
            f"{describe(f)}, targets {describe(targets)}"
        )
        raise InputError(msg) from error
    if not math.isfinite(total):
        msg = f"loss: is {total} on batch {number}; a finite number is required"
        raise InputError(msg)
    return total


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else repr(error)
