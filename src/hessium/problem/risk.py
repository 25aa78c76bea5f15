"""A module, a loss and data as one function of one flat vector."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hessium._arithmetic import full_precision
from hessium.errors import InputError, NonFiniteError
from hessium.problem.data import Batch, as_batches, converted, global_randomness_kept, iterate
from hessium.problem.determinism import require_evaluation_mode, require_readable
from hessium.problem.forward import Forward, ForwardModule, call, describe
from hessium.problem.kernels import twice_differentiable
from hessium.problem.layout import Layout, layout_of, trainable
from hessium.problem.losses import Loss, Reduction, Value
from hessium.problem.survey import take_survey
from hessium.problem.torch_losses import as_loss


class EmpiricalRisk:
    r"""The loss of a network over a whole data set, as a function of its parameters.

    $$L(\theta) = \frac{1}{D} \sum_b \ell(f_\theta(x_b), y_b),$$

    where $\ell$ sums over a batch and D is the denominator that the loss itself uses over all
    batches together: 1 for a sum, and for a mean the number of samples, entries, unmasked tokens or
    the total class weight. The value does not depend on how the data are split into batches.

    The model is only read: it is never moved, switched to eval or given `.grad`, and its buffers
    stay as they are. Trainable parameters and buffers are copied when the risk is made, so later
    training does not change it; frozen parameters are shared.

    Args:
        model: any `nn.Module`. Frozen parameters are left out, tied ones counted once.
        loss: `hs.SquaredError`, a torch loss module or function, or any callable
            (outputs, targets) -> scalar together with `reduction`.
        data: a pair (inputs, targets), or a re-iterable of such batches of any sizes. Inputs are a
            tensor, a tuple (passed as positional arguments) or a dict (as keywords).
        forward: how outputs come from the model, (model, inputs) -> tensor, where that is not
            simply a call.
        reduction: how a plain callable loss adds up: "mean" (over samples), "sum", or a function of
            the targets of a batch that returns what its mean is divided by.
        dtype: compute in this one, float32 or float64, whatever that of the model: parameters,
            buffers, data and the loss's own tensors are converted in copies, and casts to a lower
            precision inside the forward pass are left out. For models in half or mixed precision,
            and to see float32 spectra without their rounding.
        check: read the data twice before anything else: shapes, NaN, devices, determinism. Without
            it the data are read once, to count.

    Raises:
        InputError: for input that has no Hessian, one sentence each, before any long work.

    Cost: two forward passes over the data (one with `check=False`).
    """

    @full_precision()
    def __init__(
        self,
        model: nn.Module,
        loss: Any,
        data: Any,
        *,
        forward: Forward | None = None,
        reduction: Reduction | Callable[[Any], float] | None = None,
        dtype: torch.dtype | None = None,
        check: bool = True,
    ) -> None:
        if not isinstance(model, nn.Module):
            msg = f"model: {type(model).__name__}; a torch.nn.Module is required"
            raise InputError(msg)
        if dtype not in (None, torch.float32, torch.float64):
            msg = f"dtype: {dtype}; torch.float32, torch.float64 or None (the model's) is required"
            raise InputError(msg)
        free = trainable(model, dtype)
        self._loss = as_loss(loss, reduction, dtype)
        self._convert_to = dtype
        self._batches = as_batches(data)
        self._module = ForwardModule(model, forward or call)
        self._layout = layout_of(free)
        self._fixed = self._converted_frozen(model)
        self._refuted: set[str] = set()
        self._theta = converted(self._layout.flatten(free), dtype)
        self._buffers = {n: converted(b.detach().clone(), dtype) for n, b in model.named_buffers()}
        self._check_mode = check
        if check:
            require_evaluation_mode(model)
            require_readable(model, loss)
        self._survey = take_survey(
            self._batches, self._loss, self.outputs, self.leaves(), self.names, model,
            dtype=dtype, check=check,
        )  # fmt: skip

    @classmethod
    def from_closure(
        cls,
        model: nn.Module,
        closure: Callable[[nn.Module], Tensor],
        *,
        num_samples: int = 1,
        dtype: torch.dtype | None = None,
        check: bool = True,
    ) -> EmpiricalRisk:
        r"""A risk that is no model-plus-criterion: `closure(model)` returns the loss as one number.

        Derivatives of the network in its inputs may enter (`torch.autograd.grad` with
        `create_graph=True`). Such a risk has a Hessian but no outputs, hence no Gauss-Newton part.
        To have one, for a physics-informed residual say, return the residuals from `forward=` of
        the ordinary constructor and use `SquaredError`.

        Args:
            model: the module whose parameters are free.
            closure: module -> scalar tensor; must use the module that it is given.
            num_samples: what to report as number of samples.
            dtype: as in the constructor; data that the closure holds are its own business.
            check: as in the constructor.
        """
        risk = cls(
            model, Value(), [(None, None)], forward=lambda module, _: closure(module), dtype=dtype,
            check=check,
        )  # fmt: skip
        risk._survey = dataclasses.replace(risk._survey, samples=num_samples)
        return risk

    @property
    def dim(self) -> int:
        """Number of free parameters."""
        return self._layout.dim

    @property
    def num_samples(self) -> int:
        """Samples in all batches together."""
        return self._survey.samples

    @property
    def num_batches(self) -> int:
        """Batches of one pass over the data."""
        return self._survey.batches

    @property
    def num_outputs(self) -> int:
        """Entries of the outputs of all samples together: samples times outputs per sample."""
        return self._survey.outputs

    @property
    def denominator(self) -> float:
        """D of the definition."""
        return self._survey.denominator

    @property
    def theta(self) -> Float[Tensor, " n"]:
        """Where the risk is taken, a copy."""
        return self._theta.clone()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the free parameters in the order of the flat vector."""
        return self._layout.names

    @property
    def layout(self) -> Layout:
        """Names, shapes and offsets of the free parameters."""
        return self._layout

    @property
    def dtype(self) -> torch.dtype:
        """Of the parameters."""
        return self._theta.dtype

    @property
    def device(self) -> torch.device:
        """Of the parameters."""
        return self._theta.device

    @property
    def loss(self) -> Loss:
        """The loss with its denominators."""
        return self._loss

    @property
    def model(self) -> nn.Module:
        """The module as given."""
        return self._module.model

    @property
    def has_outputs(self) -> bool:
        """False for a closure that returns the loss itself."""
        return not isinstance(self._loss, Value)

    @property
    def refuted(self) -> set[str]:
        """Shortcuts that failed on this model; shared by the risk at all parameters."""
        return self._refuted

    def at(self, theta: Float[Tensor, " n"]) -> EmpiricalRisk:
        """The same risk at other parameters.

        Raises:
            InputError: if theta has another shape, dtype, device, or entries that are not finite.
        """
        wanted = (torch.Size([self.dim]), self.dtype, self.device)
        if not isinstance(theta, Tensor) or (theta.shape, theta.dtype, theta.device) != wanted:
            msg = f"theta: {describe(theta)}; shape ({self.dim},), {self.dtype} on {self.device}"
            raise InputError(msg + " is required")
        if not bool(torch.isfinite(theta).all()):
            msg = f"theta: {int((~torch.isfinite(theta)).sum())} entries are NaN or infinite"
            raise InputError(msg)
        other = copy.copy(self)
        other._theta = theta.detach().clone()
        return other

    def restrict(self, names: Sequence[str]) -> EmpiricalRisk:
        """The same risk as a function of some parameters only, the others held where they are.

        Args:
            names: parameter names, module names (everything inside) or glob patterns.

        Raises:
            InputError: if one of them matches nothing.
        """
        layout = self._layout.select(names)
        values = dict(zip(self._layout.names, self._layout.unflatten(self._theta), strict=True))
        other = copy.copy(self)
        other._layout = layout
        other._refuted = set()
        other._theta = layout.flatten(values)
        fixed = {n: v.detach() for n, v in values.items() if n not in layout.names}
        other._fixed = {**self._fixed, **fixed}
        return other

    def through(self, forward: Forward) -> EmpiricalRisk:
        """The same parameters, data and loss with outputs from another function of the module."""
        other = copy.copy(self)
        other._module = ForwardModule(self.model, forward)
        other._refuted = set()
        return other

    @full_precision()
    def value(self) -> float:
        r"""$L(\theta)$. Cost: one forward pass over the data."""
        parameters = self._layout.unflatten(self._theta)
        totals = [float(self.total(parameters, batch).detach()) for batch in self.batches()]
        return math.fsum(totals) / self.denominator

    @full_precision()
    @torch.enable_grad()
    def gradient(self) -> Float[Tensor, " n"]:
        r"""$\nabla L(\theta)$, flat; zero for parameters that the loss does not use.

        Raises:
            NonFiniteError: if an entry is NaN or infinite.
        """
        gradient = torch.zeros_like(self._theta)
        for batch in self.batches():
            leaves = self.leaves()
            total = self.total(leaves, batch)
            if total.requires_grad:
                parts = torch.autograd.grad(total, leaves, materialize_grads=True)
                gradient += torch.cat([part.reshape(-1) for part in parts])
        gradient /= self.denominator
        if not bool(torch.isfinite(gradient).all()):
            msg = "gradient: has entries that are NaN or infinite"
            raise NonFiniteError(msg, partial=gradient)
        return gradient

    @full_precision()
    @torch.enable_grad()
    def unused(self) -> tuple[str, ...]:
        """Names of free parameters that the loss does not depend on. Cost: one gradient."""
        used = set[str]()
        for batch in self.batches():
            leaves = self.leaves()
            total = self.total(leaves, batch)
            if total.requires_grad:
                parts = torch.autograd.grad(total, leaves, allow_unused=True)
                used |= {n for n, p in zip(self.names, parts, strict=True) if p is not None}
        return tuple(name for name in self.names if name not in used)

    def batches(self) -> Iterator[Batch]:
        """One pass over the data, in the same order every time; leaves the global random state."""
        number = 0
        with global_randomness_kept(self._batches, seed=0):
            for batch in iterate(self._batches, self._convert_to):
                number += 1
                yield batch
        if number == 0:
            msg = "data: no batches in this pass, though there were before; it must be re-iterable"
            raise InputError(msg)

    @full_precision()
    def leaves(self) -> list[Tensor]:
        """The free parameters as fresh leaves of a graph, in the order of `names`."""
        # copies: a forward pass that writes to its parameters must not reach the risk's own
        theta = self._theta.clone()
        return [p.detach().requires_grad_() for p in self._layout.unflatten(theta)]

    @full_precision()
    def outputs(self, parameters: Sequence[Tensor], inputs: Any) -> Tensor:
        """Outputs of the network for one batch, differentiable (twice) in `parameters`."""
        values: dict[str, Tensor] = {
            **self._fixed,
            **dict(zip(self.names, parameters, strict=True)),
            # a forward pass may write to its buffers: let it write to copies
            **{n: b.clone() for n, b in self._buffers.items()},
        }
        with torch.enable_grad(), twice_differentiable(self.device.type, self._convert_to):
            outputs = torch.func.functional_call(
                self._module, {f"model.{n}": v for n, v in values.items()}, (inputs,)
            )
        if not isinstance(outputs, Tensor):
            msg = (
                f"model: returned a {type(outputs).__name__}; a tensor is required "
                "(say forward=lambda model, inputs: model(inputs).logits, or the like)"
            )
            raise InputError(msg)
        return outputs

    def _converted_frozen(self, model: nn.Module) -> dict[str, Tensor]:
        """Frozen parameters in the dtype asked for; without one they are the model's own."""
        if self._convert_to is None:
            return {}
        frozen = {n: p for n, p in model.named_parameters() if not p.requires_grad}
        return {n: p.detach().to(self._convert_to) for n, p in frozen.items()}

    def total(self, parameters: Sequence[Tensor], batch: Batch) -> Tensor:
        """Numerator of one batch: its loss summed, as a scalar of a graph."""
        return self._loss.total(self.outputs(parameters, batch[0]), batch[1])

    def require_evaluation_mode(self) -> None:
        """Raise InputError if a module has been put in training mode since."""
        if self._check_mode:
            require_evaluation_mode(self.model)

    def __repr__(self) -> str:
        unused = [name for name in self._survey.unused if name in self.names]
        return (
            f"EmpiricalRisk({type(self.model).__name__}, {self._loss!r}: {self.dim} parameters, "
            f"{self.num_samples} samples, {self.num_outputs} outputs, {self.dtype}"
            f"{'; unused: ' + ', '.join(unused) if unused else ''})"
        )
