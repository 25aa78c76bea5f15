"""Empirical risk: a module, a loss and data as a function of one flat vector."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hessium._arithmetic import full_precision
from hessium.errors import InputError
from hessium.problem.architecture import proven_before
from hessium.problem.closures import forward_of_closure
from hessium.problem.data import Batch, Targets, as_batches, converted, global_randomness_kept
from hessium.problem.determinism import (
    require_evaluation_mode,
    require_own_memory,
    require_readable,
)
from hessium.problem.evaluation import Evaluation
from hessium.problem.forward import Forward, call, require_vector
from hessium.problem.losses import CallableLoss, Counted, Loss, Reduction, Value
from hessium.problem.model_state import ModelState
from hessium.problem.one_pass import names_used, values, values_and_gradients
from hessium.problem.part import shortened
from hessium.problem.ranks import Ranks
from hessium.problem.same_on_all import require_same_model
from hessium.problem.samples import ASK, NumSamples, check_num_samples, count_by
from hessium.problem.shared import Shared
from hessium.problem.substitution import Substitution
from hessium.problem.survey import take_survey
from hessium.problem.torch_losses import as_loss, loss_in_dtype
from hessium.problem.wrappers import unwrapped


class EmpiricalRisk(Evaluation):
    r"""The loss of a network over a whole data set, as a function of its parameters.

    $$L(\theta) = \frac{1}{D} \sum_b \ell(f_\theta(x_b), y_b),$$

    where $\ell$ sums over a batch and D is the denominator that the loss itself uses over all
    batches together: 1 for a sum, and for a mean the number of samples, entries, unmasked tokens or
    the total class weight. The value does not depend on how the data are split into batches.
    The model is not modified: it is not moved, not switched to evaluation mode, and gets no
    `.grad`. While the risk is evaluated, the model's parameters and buffers are replaced by those
    of the risk; afterwards every attribute of every module refers to the same object as before. The
    loss is evaluated at the same parameters, so it may read them (penalties, learned weights).
    Threads that use risks of one model are serialised; a thread that trains the model is not.
    Trainable parameters and buffers are copied when the risk is created, so later training does not
    change it; frozen parameters are shared. To measure during training, use `refreshed`.

    Args:
        model: any `nn.Module`. Frozen parameters are excluded, tied ones counted once.
        loss: `hs.SquaredError`, a torch loss module or function, or any callable
            (outputs, targets) -> scalar together with `reduction`.
        data: a pair (inputs, targets), or a re-iterable of such batches of any sizes. Inputs are a
            tensor, a tuple (passed as positional arguments), a mapping (as keywords), or any object
            that the model accepts; a mapping whose keys are not parameters of the model's signature
            is passed as one argument. With `targets` or `forward`, batches may be any objects.
        forward: computes the outputs, (model, inputs) -> tensor; by default the model is called.
        reduction: reduction of a plain callable loss: "mean" (over samples), "sum", or a function
            of the targets of a batch that returns the denominator of its mean.
        targets: location of the targets in a batch that is not a pair: the key of a mapping
            (removed from the inputs), the name of an attribute, or a function of the batch. With
            `forward` and without `targets`, such a batch is the inputs and its targets are None.
        num_samples: samples of all batches, or a function (inputs, targets) -> samples of a batch;
            counted by default. The weight of a batch in a plain mean, so it may count tokens.
        dtype: dtype of the computation, float32 or float64; by default that of the model.
            Parameters, buffers, data and tensors of the loss are converted in copies, and casts to
            lower precision in the forward pass omitted: for half precision, or less rounding.
        check: read the data twice and check shapes, NaN, devices and determinism; else once.
        process_group: of torch.distributed; each process holds a part of the data, of any size. All
            call the same functions and get the numbers of the whole data set. With `fully_shard`
            each needs the same number of batches, and gradients are shares.

    Raises:
        InputError: for input without a well-defined Hessian, before any long computation.

    Cost: two forward passes over the data (one with `check=False`).

    Example:
        >>> hs.EmpiricalRisk(model, nn.MSELoss(), (x, y)).dim  # or batches, or a DataLoader
        13
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
        targets: Targets | None = None,
        num_samples: NumSamples | None = None,
        dtype: torch.dtype | None = None,
        check: bool = True,
        process_group: Any = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            msg = f"model: {type(model).__name__}; a torch.nn.Module is required"
            raise InputError(msg)
        if dtype not in (None, torch.float32, torch.float64):
            msg = f"dtype: {dtype}; torch.float32, torch.float64 or None (the model's) is required"
            raise InputError(msg)
        self._ranks = Ranks(process_group)
        model, self._spread = unwrapped(model, self._ranks)
        with self._ranks.together("making a risk"):
            self._given = (loss, reduction)
            own_loss, self._loss = self._loss_in(dtype, model)
            self._convert_to = dtype
            self._batches = as_batches(
                data, targets, alone=forward is not None, dtype=dtype, empty=not self._ranks.alone
            )
            self._num_samples = check_num_samples(num_samples)
            self._model = model
            self._forward = forward or call
            beside = own_loss if isinstance(own_loss, nn.Module) else None
            self._places = Substitution(model, beside)
            with self._places.undisturbed():
                self._state = ModelState(model, dtype, part=bool(self._spread))
            self._layout, self._theta = self._state.layout, self._state.theta
            self._fixed = dict(self._state.frozen)
            self._buffers = self._state.buffers
            self._shared = Shared(before=proven_before(self, self._given, self._forward))
            self._check_mode = check
            if check:
                require_evaluation_mode(model)
                require_readable(model, loss)
                with self._places.undisturbed():
                    require_own_memory(model)
                if isinstance(loss, nn.Module):
                    require_evaluation_mode(loss, "loss")
        self._survey = take_survey(self, self._batches, num_samples=num_samples, check=check)
        self._loss = self._along_samples(self._loss)

    @classmethod
    def from_closure(
        cls,
        model: nn.Module | Mapping[str, Tensor],
        closure: Callable[..., Tensor],
        *,
        parameters: Mapping[str, Tensor] | None = None,
        num_samples: int | None = None,
        dtype: torch.dtype | None = None,
        check: bool = True,
    ) -> EmpiricalRisk:
        r"""A risk defined by a closure that returns the loss as a scalar.

        It is a function of the module, or one without arguments that uses the module and calls
        `zero_grad()` and `backward()`, as `torch.optim.LBFGS` takes it; these calls then do
        nothing. It may use derivatives of the network in its inputs. Such a risk has a Hessian but
        no outputs, hence no Gauss-Newton part: for that, return residuals from `forward=`.

        Args:
            model: the module whose parameters are free, or loose tensors by name.
            closure: module -> scalar tensor, or () -> scalar tensor.
            parameters: loose tensors with `requires_grad` that are free beside the module.
            num_samples: reported number of samples; 1 by default.
            dtype: as in the constructor; tensors that the closure captures are converted in copies.
            check: as in the constructor.
        """
        module, forward = forward_of_closure(model, closure, parameters, dtype)
        return cls(
            module, Value(), [(None, None)],
            forward=forward, num_samples=num_samples, dtype=dtype, check=check,
        )  # fmt: skip

    @property
    def num_samples(self) -> int:
        """Number of samples in all batches; 1 for a closure by default.

        Raises:
            InputError: if it cannot be determined from outputs and targets.
        """
        if self._survey.counts.total is None:
            msg = f"num_samples: unknown, because {self._survey.counts.doubt}; {ASK}"
            raise InputError(msg)
        return self._survey.counts.total

    def at(self, theta: Float[Tensor, " n"]) -> EmpiricalRisk:
        """The same risk at other parameters.

        Raises:
            InputError: if theta has another shape, dtype, device, or entries that are not finite.
        """
        require_vector(theta, self._theta)
        if not self._shared.warned:
            with self._places.undisturbed():
                self._shared.warned = self._state.warn_of_changed_buffers()
        other = copy.copy(self)
        other._theta = theta.detach().clone()
        return other

    def refreshed(self) -> EmpiricalRisk:
        """A new risk with the present parameters, buffers and frozen parameters of the model.

        This risk does not change. To measure during training, create one risk and use
        `risk.refreshed()` each time. The data are not read again, and operators repeat only a short
        self-check, since the architecture was checked with the first risk.

        Raises:
            InputError: if the model has been put in training mode, its architecture or the set of
                its trainable parameters has changed, or a parameter is not finite.
        """
        with self._ranks.together("refreshing a risk"):
            self._places.require_places()
            self.require_evaluation_mode()
            with self._places.undisturbed():
                state = ModelState(self._model, self._convert_to, part=bool(self._spread))
        if state.layout != self._state.layout or state.theta.device != self.device:
            msg = (
                "model: other parameters require gradients, or lie on another device, than when "
                "the risk was made; make a new hessium.EmpiricalRisk"
            )
            raise InputError(msg)
        other = copy.copy(self)
        other._state, other._fixed = state, dict(state.frozen)
        other._buffers, other._layout, other._theta = state.buffers, state.layout, state.theta
        require_same_model(other)
        if self._layout != state.layout:
            restricted = other.restrict(self.names)
            restricted._shared = self._shared
            return restricted
        return other

    def restrict(self, names: Sequence[str]) -> EmpiricalRisk:
        """The same risk as a function of some parameters only, with the others fixed.

        Args:
            names: parameter names, module names (everything inside) or glob patterns.

        Raises:
            InputError: if one of them matches no parameter.
        """
        layout = self._layout.select(names)
        values = dict(zip(self._layout.names, self._layout.parts(self._theta), strict=True))
        other = copy.copy(self)
        other._layout = layout
        other._shared = Shared()
        other._theta = layout.flatten(values)
        fixed = {n: v.detach() for n, v in values.items() if n not in layout.names}
        other._fixed = {**self._fixed, **fixed}
        return other

    def through(self, forward: Forward) -> EmpiricalRisk:
        """The same parameters, data and loss with outputs from another function of the module."""
        other = copy.copy(self)
        other._forward, other._surveyed = forward, False
        other._shared = Shared()
        return other

    def value(self) -> float:
        r"""$L(\theta)$. Cost: one forward pass over the data."""
        return values([self])[0]

    def gradient(self) -> Float[Tensor, " n"]:
        r"""$\nabla L(\theta)$, flat; zero for parameters that the loss does not use.

        Raises:
            NonFiniteError: if an entry is NaN or infinite.
        """
        return self.value_and_gradient()[1]

    def value_and_gradient(self) -> tuple[float, Float[Tensor, " n"]]:
        r"""$L(\theta)$ and $\nabla L(\theta)$ in one pass. Errors as in `gradient`."""
        return values_and_gradients([self])[0]

    def unused(self) -> tuple[str, ...]:
        """Names of free parameters that the loss does not depend on. Cost: one gradient."""
        used = names_used(self)
        return tuple(name for name in self.names if name not in used)

    def batches(self) -> Iterator[Batch]:
        """One pass over the data, in the same order every time; leaves the global random state.

        Raises:
            InputError: if other processes hold a part of the data, and as in `own_batches`.
        """
        self._ranks.require_alone()
        return self.own_batches()

    def own_batches(self) -> Iterator[Batch]:
        """One pass over the data of this process.

        Raises:
            InputError: if the batches differ from those at creation of the risk, or a relevant part
                of the model has changed.
        """
        function = self._num_samples if callable(self._num_samples) else None
        weighed = isinstance(self._loss, CallableLoss) and self._loss.by_samples
        self._places.require_places()
        self._state.require_frozen()
        with global_randomness_kept(self._batches, seed=0, always=self._survey.draws):
            pairs = self._survey.passes.compared(self._batches.source, self._batches)
            for number, (inputs, targets) in enumerate(shortened(pairs, self._share)):
                if function is None or not weighed:
                    yield inputs, targets
                else:
                    yield inputs, Counted(targets, count_by(function, inputs, targets, number))

    def in_dtype(self, dtype: torch.dtype) -> EmpiricalRisk:
        """The same risk at the same parameters, computed in another dtype."""
        other = copy.copy(self)
        other._convert_to = dtype
        other._batches = dataclasses.replace(self._batches, dtype=dtype)
        other._loss = self._along_samples(self._loss_in(dtype, self._model)[1])
        other._theta = self._theta.to(dtype)
        other._fixed = {n: converted(v.detach(), dtype) for n, v in self._fixed.items()}
        other._buffers = {n: converted(b, dtype) for n, b in self._buffers.items()}
        other._shared = Shared()
        return other

    def _loss_in(self, dtype: torch.dtype | None, model: nn.Module) -> tuple[Any, Loss]:
        """The user's loss in a dtype, with its denominators."""
        loss, reduction = self._given
        if dtype is not None and isinstance(loss, nn.Module):
            loss = loss_in_dtype(loss, dtype, model)
        return loss, as_loss(loss, reduction, dtype)

    def _along_samples(self, loss: Loss) -> Loss:
        """The loss, counting samples along the dimension that the survey found."""
        return loss.along(self._survey.counts.axis) if isinstance(loss, CallableLoss) else loss

    def require_evaluation_mode(self) -> None:
        """Raise InputError if a module has been put in training mode since."""
        if self._check_mode:
            require_evaluation_mode(self.model)

    @property
    def extent(self) -> str:
        """The number of samples for a repr; empty if unknown."""
        told = self._num_samples is not None or not isinstance(self._loss, Value)
        known = told and self._survey.counts.total is not None
        return f"{self._survey.counts.total} samples" if known else ""

    def __repr__(self) -> str:
        unused = [name for name in self._survey.unused if name in self.names]
        loss = "closure" if isinstance(self._loss, Value) else repr(self._loss)
        outputs = f"{self.num_outputs} outputs" if self.has_outputs else ""
        facts = [f"{self.dim} parameters", self.extent, outputs, str(self.dtype)]
        return (
            f"EmpiricalRisk({type(self.model).__name__}, {loss}: {', '.join(filter(None, facts))}"
            f"{'; unused: ' + ', '.join(unused) if unused else ''})"
        )
