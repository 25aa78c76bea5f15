"""The first look at the data: counts, denominators, and every reason why there is no Hessian."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.graph import disable_saved_tensors_hooks

from hessium.errors import InputError, OutsideParameterWarning, RouteWarning
from hessium.problem.data import (
    Batch,
    check_batch,
    global_randomness_kept,
    iterate,
    num_samples,
    tensors_in,
)
from hessium.problem.determinism import require_same
from hessium.problem.forward import describe
from hessium.problem.kernels import ForwardWatch
from hessium.problem.looks import Looks, nodes_behind, runs_python
from hessium.problem.losses import Loss

if TYPE_CHECKING:
    from hessium.problem.risk import EmpiricalRisk


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over the data tells.

    Attributes:
        batches: of one pass.
        samples: in all batches.
        outputs: entries of the outputs of all samples.
        denominator: what the loss divides by over the whole data set.
        value: the loss over the whole data set.
        unused: names of the parameters that the loss does not depend on; empty if unchecked.
        read_by_loss: names of the parameters that the loss depends on other than through the
            outputs; empty if unchecked.
        recomputes: whether a backward pass recomputes activations or fetches them from elsewhere
            (checkpoints, hooks on saved tensors).
        runs_python: whether a backward pass calls Python code.
        draws: whether a forward pass draws from the global random generators.
    """

    batches: int
    samples: int
    outputs: int
    denominator: float
    value: float
    unused: tuple[str, ...] = ()
    read_by_loss: tuple[str, ...] = ()
    recomputes: bool = False
    runs_python: bool = False
    draws: bool = False


def take_survey(
    risk: EmpiricalRisk, batches: Iterable[Batch], *, dtype: torch.dtype | None, check: bool
) -> Survey:
    """Read the data once to count, and with `check` once more to see that nothing changed.

    Raises:
        InputError: for data, outputs or losses that break a rule of `EmpiricalRisk`.
    """
    parameters = risk.leaves()
    looks = Looks(risk.loss, parameters, risk.names, risk.model) if check else None
    # both passes inside one guard: a random loader must be free to differ between them
    with global_randomness_kept(batches, always=True):
        survey = _pass_over(iterate(batches, dtype), risk, parameters, looks, first=True)
        if looks is not None:
            again = _pass_over(iterate(batches, dtype), risk, parameters, looks, first=False)
            require_same(survey.value, again.value, parameters[0].dtype)
            survey = dataclasses.replace(
                survey, unused=looks.unused(), read_by_loss=tuple(sorted(looks.read_by_loss))
            )
            if survey.unused:
                batch = next(iter(iterate(batches, dtype)))
                looks.require_no_effect(
                    survey.unused, lambda moved: risk.total(moved, batch), parameters
                )
    return survey


def _pass_over(
    pairs: Iterable[Batch],
    risk: EmpiricalRisk,
    parameters: Sequence[Tensor],
    looks: Looks | None,
    *,
    first: bool,
) -> Survey:
    samples = entries = 0
    denominators: list[float] = []
    totals: list[float] = []
    findings = _Findings()
    loss = risk.loss
    for number, (inputs, targets) in enumerate(pairs):
        size = num_samples(inputs)
        if size == 0:
            msg = f"data: batch {number} has no samples; every batch needs at least one"
            raise InputError(msg)
        if looks is not None and first:
            check_batch(inputs, targets, number, parameters[0].device)
        with risk.bound(parameters):
            f = findings.forward(risk, parameters, inputs, checked=looks is not None)
            if looks is not None and first:
                _check_outputs(f, number)
                loss.check(f, targets)
            totals.append(_total(loss, f, targets, number, findings))
            if looks is not None and first:
                known = [*tensors_in(inputs), *tensors_in(targets), *findings.differentiated_in]
                looks.at_batch(f, targets, number, known)
            elif looks is not None and number == 0:
                _warn_of(looks.outside(nodes_behind(loss.total(f, targets))))
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
    if looks is not None and first and findings.attention:
        warnings.warn(
            "scaled_dot_product_attention runs on its MATH kernel here, because the fused kernels "
            "have no second derivative; values agree to rounding",
            RouteWarning,
            stacklevel=5,
        )
    return Survey(
        batches=len(totals),
        samples=samples,
        outputs=entries,
        denominator=denominator,
        value=math.fsum(totals) / denominator,
        recomputes=findings.recomputes,
        runs_python=findings.runs_python,
        draws=findings.draws,
    )


class _Findings:
    """What forward passes of the model and the loss do, beside their values.

    Attributes:
        attention: whether fused attention was asked for.
        recomputes, runs_python, draws: as in `Survey`.
        differentiated_in: tensors in which the forward pass differentiates.
    """

    def __init__(self) -> None:
        self.attention = self.recomputes = self.runs_python = self.draws = False
        self.differentiated_in: list[Tensor] = []

    def forward(
        self, risk: EmpiricalRisk, parameters: Sequence[Tensor], inputs: Any, *, checked: bool
    ) -> Tensor:
        """A forward pass in which what torch objects to becomes one sentence."""
        if not checked:
            return self.watched(lambda: risk.outputs(parameters, inputs))
        try:
            return self.watched(lambda: risk.outputs(parameters, inputs))
        except InputError:
            raise
        except Exception as error:
            msg = (
                f"model: its forward pass failed on the data ({reason(error)}); parameters are "
                f"{parameters[0].dtype} on {parameters[0].device}, inputs {describe(inputs)}"
            )
            raise InputError(msg) from error

    def watched(self, function: Callable[[], Tensor]) -> Tensor:
        """The result of the function; the findings are added to those so far."""
        before = torch.get_rng_state()
        with ForwardWatch() as watch:
            if self.recomputes:
                result = function()
            else:
                try:
                    with disable_saved_tensors_hooks(_HOOKS):
                        result = function()
                except RuntimeError as error:
                    if str(error) != _HOOKS:
                        raise
                    self.recomputes = True
                    result = function()
        self.attention |= watch.attention
        self.draws |= not torch.equal(before, torch.get_rng_state())
        self.differentiated_in += watch.differentiated_in
        if not self.runs_python:
            self.runs_python = isinstance(result, Tensor) and runs_python(nodes_behind(result))
        return result


_HOOKS = "hooks on saved tensors"


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


def _check_outputs(f: Tensor, number: int) -> None:
    if not f.is_floating_point():
        msg = f"model: outputs have dtype {f.dtype}; real floating-point outputs are required"
        raise InputError(msg)
    if not bool(torch.isfinite(f).all()):
        bad = int((~torch.isfinite(f)).sum())
        msg = f"model: {bad} of {f.numel()} outputs of batch {number} are NaN or infinite"
        raise InputError(msg)


def _total(loss: Loss, f: Tensor, targets: Any, number: int, findings: _Findings) -> float:
    try:
        total = float(findings.watched(lambda: loss.total(f, targets)).detach())
    except InputError:
        raise
    except Exception as error:
        msg = (
            f"loss: {loss!r} failed on batch {number} ({reason(error)}); outputs are "
            f"{describe(f)}, targets {describe(targets)}"
        )
        raise InputError(msg) from error
    if not math.isfinite(total):
        msg = f"loss: is {total} on batch {number}; a finite number is required"
        raise InputError(msg)
    return total


def reason(error: Exception) -> str:
    """The first line of an exception."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else repr(error)
