"""Model and loss evaluated at given parameters: outputs, losses, derivatives of the loss."""

from __future__ import annotations

import abc
import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hessium._arithmetic import full_precision
from hessium._interrupts import deferred_interrupts
from hessium.errors import InputError
from hessium.linalg.operator import NamedShapes
from hessium.linalg.shares import Shares
from hessium.problem.data import Batch
from hessium.problem.forward import Forward
from hessium.problem.kernels import for_values, twice_differentiable
from hessium.problem.layout import Layout
from hessium.problem.losses import CallableLoss, Loss, Value
from hessium.problem.model_state import padding_rows
from hessium.problem.output_hessian import Autodiff, OutputHessian
from hessium.problem.rank_shares import shares_of
from hessium.problem.ranks import Ranks
from hessium.problem.shared import Remembering
from hessium.problem.substitution import Substitution
from hessium.problem.survey import Survey

if TYPE_CHECKING:
    from hessium.problem.spread import Spread

Risk = TypeVar("Risk", bound="Evaluation")


class Evaluation(Remembering, abc.ABC):
    """A model and a loss at one flat vector of parameters, one batch at a time.

    The subclass sets the attributes below; this class never changes them.

    Attributes:
        _model: the module as given.
        _forward: computes outputs from the module and the inputs of a batch.
        _loss: the loss with its denominators.
        _places: substitutes tensors in the module.
        _layout: names, shapes and offsets of the free parameters.
        _theta: the free parameters, flat.
        _fixed: parameters that do not vary, by name.
        _buffers: buffers of the model, by name.
        _convert_to: dtype of the computation; None for the model's.
        _survey: findings of the first pass over the data.
        _ranks: the processes that hold the data.
        _share: share of the samples of every batch that is read; None for all of them.
        _surveyed: whether the forward pass is that of the survey.
        _spread: the shares of the parameters, if each process holds a part of every parameter.
            Then `_theta`, `_layout` and `_fixed` are those of this process, flat.
    """

    _model: nn.Module
    _forward: Forward
    _loss: Loss
    _places: Substitution
    _layout: Layout
    _theta: Tensor
    _fixed: dict[str, Tensor]
    _buffers: Mapping[str, Tensor]
    _convert_to: torch.dtype | None
    _survey: Survey
    _ranks: Ranks
    _share: float | None = None
    _surveyed: bool = True
    _spread: Spread | None = None

    @property
    def dim(self) -> int:
        """Number of free parameters, of all processes."""
        return self._layout.dim if self._spread is None else self.shares.dim

    @property
    def theta(self) -> Float[Tensor, " n"]:
        """A copy of the parameters of the risk.

        Raises:
            InputError: if they are spread over processes.
        """
        if self._spread is not None:
            msg = (
                "risk: its parameters are spread over processes (fully_shard), and this function "
                "needs all of them in each; of those of this process risk.own_theta is a copy"
            )
            raise InputError(msg)
        return self._theta.clone()

    @property
    def own_theta(self) -> Float[Tensor, " m"]:
        """A copy of the parameters that this process holds: all, or its `shares` of them."""
        return self._theta.clone()

    @property
    def length(self) -> float:
        """Norm of the parameters that this process holds."""
        return float(self._theta.norm())

    @property
    def spread(self) -> Spread | None:
        """The shares of the parameters, if each process holds a part of every parameter."""
        return self._spread

    def summed(self, gradient: Tensor) -> Tensor:
        """The sum over processes of a gradient, in place; that of shares is one already."""
        return gradient if self._spread is not None else self._ranks.all_sum(gradient)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the free parameters in the order of the flat vector."""
        return self._layout.names

    @property
    def named_shapes(self) -> NamedShapes:
        """Names and shapes of the free parameters, whole ones, in that order."""
        if self._spread is None:
            return self._layout.named_shapes
        return tuple((name, self._spread.places[name].shape) for name in self.names)

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
        return self._model

    @property
    def num_batches(self) -> int:
        """Batches of one pass over the data, of all processes."""
        return len(self._survey.counts.each)

    @property
    def ranks(self) -> Ranks:
        """The processes that hold the data."""
        return self._ranks

    @property
    def shares(self) -> Shares:
        """How the coordinates of flat vectors are spread over these processes."""
        if self._spread is not None:
            return self._spread.shares(self.names)
        return shares_of(self._ranks, self.dim)

    @property
    def own_rows(self) -> slice:
        """Outputs of the data of this process, among those of all."""
        rows = self._survey.outputs_by_rank
        start = sum(rows[: self._ranks.rank])
        return slice(start, start + rows[self._ranks.rank])

    @property
    def num_outputs(self) -> int:
        """Number of outputs of all samples: samples times outputs per sample."""
        return self._survey.outputs

    @property
    def denominator(self) -> float:
        """The denominator D."""
        return self._survey.denominator

    @property
    def has_outputs(self) -> bool:
        """False for a closure or a model that returns the loss itself."""
        scalar = self._survey.scalar and isinstance(self._loss, CallableLoss)
        return not (scalar or isinstance(self._loss, Value))

    @property
    def sample_axis(self) -> int:
        """Sample dimension of the outputs; 0 unless time comes first."""
        return self._survey.counts.axis

    @property
    def survey(self) -> Survey:
        """Counts and findings of the first pass over the data."""
        return self._survey

    @property
    def share(self) -> float:
        """Share of the samples of every batch that is read."""
        return self._share or 1.0

    @property
    def surveyed(self) -> bool:
        """Whether the forward pass is the one that the survey looked at."""
        return self._surveyed

    def held(self) -> dict[str, Tensor]:
        """Parameters and buffers at which the risk is taken, by name."""
        free = zip(self.names, self._layout.parts(self._theta), strict=True)
        return {**dict(free), **self._fixed, **self._buffers}

    def not_finite(self, vector: Tensor) -> list[str]:
        """Names of the parameters whose entries of a flat vector are not all finite."""
        parts = self._layout.unflatten(vector)
        return [n for n, p in zip(self.names, parts, strict=True) if not torch.isfinite(p).all()]

    def beginning(self: Risk, share: float) -> Risk:
        """The same risk with a share of the samples of every batch, and the same denominator."""
        other = copy.copy(self)
        other._share = share
        return other

    def moved(self: Risk, direction: Tensor, length: float) -> Risk:
        """The same risk at theta + length x direction; buffers are not compared."""
        other = copy.copy(self)
        other._theta = torch.add(self._theta, direction.to(self.dtype), alpha=length)
        return other

    def constant_entries(self) -> list[slice]:
        """Entries of the flat vector that torch keeps constant: padding rows of embeddings."""
        with self._places.undisturbed():
            return padding_rows(self._model, self._layout)

    @full_precision()
    def leaves(self) -> list[Tensor]:
        """The free parameters as fresh leaves of a graph, in the order of `names`."""
        # copies: a forward pass that writes to its parameters must not reach the risk's own
        theta = self._theta.clone()
        return [nn.Parameter(p.detach()) for p in self._layout.parts(theta)]

    def constants(self) -> list[Tensor]:
        """The free parameters, to be evaluated at; a model may differentiate in them."""
        return [nn.Parameter(p) for p in self._layout.parts(self._theta)]

    @contextmanager
    def bound(
        self, parameters: Sequence[Tensor] | None = None, *, differentiable: bool = True
    ) -> Iterator[None]:
        """Context in which the model holds `parameters` and copies of the risk's buffers.

        Kernels have second derivatives. A nested context with the same parameters has no effect.

        Args:
            parameters: in the order of `names`; by default those of the risk.
            differentiable: False for values alone, which takes less time.
        """
        if parameters is None:
            parameters = self.constants()
        if self._places.holds(parameters):
            yield
            return
        kernels = (
            twice_differentiable(self.device.type, self._convert_to)
            if differentiable
            else for_values(self._convert_to)
        )
        with deferred_interrupts(), kernels:
            values = {
                **self._fixed,
                **dict(zip(self.names, parameters, strict=True)),
                # a forward pass may write to its buffers: let it write to copies
                **{n: b.clone() for n, b in self._buffers.items()},
            }
            saving = nullcontext() if self._spread is None else self._spread.saving_shares()
            with self._places.hold(values, parameters), saving:
                yield

    def inside(self, parameters: Sequence[Tensor]) -> Callable[[], AbstractContextManager[None]]:
        """Context in which a backward pass of a graph in `parameters` must run.

        This is `bound` if the backward pass calls Python code or recomputes activations, which
        access parameters; otherwise a null context.
        """
        if self._survey.runs_python or self._survey.recomputes:
            return lambda: self.bound(parameters)
        return nullcontext

    @full_precision()
    def outputs(
        self, parameters: Sequence[Tensor], inputs: Any, *, differentiable: bool = True
    ) -> Tensor:
        """Outputs of the network for one batch, differentiable (twice) in `parameters`.

        Args:
            parameters: in the order of `names`.
            inputs: of the batch.
            differentiable: False computes without a graph, which is faster.
        """
        with torch.set_grad_enabled(differentiable), self.bound(parameters):
            outputs = self._forward(self._model, inputs)
        if not isinstance(outputs, Tensor):
            msg = (
                f"model: returned a {type(outputs).__name__}; a tensor is required "
                "(for example forward=lambda model, inputs: model(inputs).logits)"
            )
            raise InputError(msg)
        return outputs

    def total(
        self, parameters: Sequence[Tensor], batch: Batch, *, differentiable: bool = True
    ) -> Tensor:
        """Numerator of one batch: its loss summed, as a scalar (of a graph, by default)."""
        with self.bound(parameters), torch.set_grad_enabled(differentiable):
            outputs = self.outputs(parameters, batch[0], differentiable=differentiable)
            return self._loss.total(outputs, batch[1])

    def loss_of(self, outputs: Tensor, targets: Any) -> Tensor:
        """Numerator of one batch from its outputs, at the parameters of the risk."""
        with self.bound():
            return self._loss.total(outputs, targets)

    def output_gradient(self, outputs: Tensor, targets: Any) -> Tensor:
        r"""$e = \nabla_f \ell$ at the outputs of a batch, a constant tensor of their shape."""
        point = outputs.detach().requires_grad_()
        with torch.enable_grad(), self.bound():
            total = self._loss.total(point, targets)
            if not total.requires_grad:
                return torch.zeros_like(point)
            (gradient,) = torch.autograd.grad(total, point, materialize_grads=True)
        return gradient

    def output_hessian(self, outputs: Tensor, targets: Any) -> OutputHessian:
        r"""$\nabla_f^2 \ell$ at the outputs of a batch, sample by sample."""
        with self.bound():
            middle = self._loss.hessian(outputs, targets)
        if not isinstance(middle, Autodiff):
            return middle

        def total(f: Tensor) -> Tensor:
            with self.bound():
                return middle.total(f)

        return dataclasses.replace(middle, total=total)

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Context in which no other thread substitutes tensors in the model."""
        with self._places.undisturbed():
            yield
