"""The loss of a DeepXDE model (PyTorch backend) as a sum of terms with residuals.

Nothing in hessium imports this module, and it does not import DeepXDE: it uses the package that
made the model.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hessium.errors import InputError
from hessium.problem.closures import Evaluated, Loose
from hessium.problem.risk import EmpiricalRisk
from hessium.problem.sum_risk import SumRisk


def risk_of(
    model: Any,
    *,
    loss: Any = None,
    names: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    dtype: torch.dtype | None = None,
) -> SumRisk:
    """The terms of `model.data.losses_train`, one for each equation and boundary condition.

    Each term has residuals, so that a Gauss-Newton part and a posterior exist. The points are those
    of `model.train_state`, or of `model.data` before training. External trainable variables given
    to `model.compile` are free parameters named "variable_0", "variable_1", ...; those of the
    network begin with "model.".

    Args:
        model: a compiled `deepxde.Model` with the PyTorch backend.
        loss: of the residuals: `nn.MSELoss()` by default, as `model.compile(loss="MSE")`, or one
            for each term.
        names: of the terms; by default "residual 0", ..., and the classes of the conditions with
            their numbers, such as "DirichletBC 1".
        weights: by default the `loss_weights` of `model.compile`. Terms of weight zero are left
            out.
        dtype: as in `EmpiricalRisk`; `torch.float64` removes the rounding of DeepXDE's float32.

    Raises:
        InputError: if it is not a compiled DeepXDE model, has a regulariser, or names, losses or
            weights differ in number from the terms.

    Cost: three evaluations of all terms for each term. Each product with a matrix of a term
        evaluates the residuals of all terms and differentiates its own.

    Example:
        >>> from hessium.problem.deepxde import risk_of
        >>> terms = risk_of(model, dtype=torch.float64)  # doctest: +SKIP
        >>> hs.spectrum(hs.Hessian(terms)), hs.compare.terms(terms)  # doctest: +SKIP
    """
    dde = _package_of(model)
    free = list(getattr(model, "external_trainable_variables", []))
    module: nn.Module = model.net
    if free:
        module = Loose({f"variable_{number}": v for number, v in enumerate(free)}, model.net)
    residuals = _Residuals(dde, model, dtype)
    with torch.enable_grad():
        shapes = [tuple(r.shape) for r in residuals(module)]
    count = len(shapes)
    named = _listed("names", names, count) or _names(model, count)
    losses = [nn.MSELoss()] * count if loss is None else _listed("loss", loss, count) or []
    chosen = _listed("weights", weights, count) or list(model.loss_weights or [1.0] * count)
    if len(chosen) != count:
        msg = f"weights: {len(chosen)} loss_weights of the model for {count} terms"
        raise InputError(msg)
    kind = next(module.parameters()).dtype if dtype is None else dtype
    device = next(module.parameters()).device
    terms = {
        name: EmpiricalRisk(
            module, one, [(None, torch.zeros(shape, dtype=kind, device=device))],
            forward=residuals.of(number), dtype=dtype,
        )
        for number, (name, one, shape) in enumerate(zip(named, losses, shapes, strict=True))
        if float(chosen[number]) != 0
    }  # fmt: skip
    kept = {n: float(w) for n, w in zip(named, chosen, strict=True) if n in terms}
    return SumRisk(terms, kept)


class _Residuals:
    """Residuals of all terms at the parameters that the module holds."""

    def __init__(self, dde: Any, model: Any, dtype: torch.dtype | None) -> None:
        self._dde, self._model, self._dtype = dde, model, dtype
        state = model.train_state
        data = (state.X_train, state.y_train, state.train_aux_vars)
        if data[0] is None:
            data = (*model.data.train_next_batch(model.batch_size), None)  # some have two parts
        self._inputs, self._targets, self._auxiliary = data[:3]

    def of(self, number: int) -> Callable[[nn.Module, Any], Tensor]:
        """The forward function of one term."""
        return lambda module, _: self(module)[number]

    def __call__(self, module: nn.Module) -> list[Tensor]:
        """Tensors (points, 1) or (points, outputs), one for each term."""
        net, found = self._model.net, list[Tensor]()

        def keep(wanted: Tensor, given: Tensor) -> Tensor:
            found.append(given - wanted)
            return found[-1].square().mean()

        kept = net.auxiliary_vars if hasattr(net, "auxiliary_vars") else None
        free = next(module.parameters())
        loose = module.present() if isinstance(module, Loose) else {}
        try:
            with Evaluated(loose, self._dtype):
                net.auxiliary_vars = self._tensor(self._auxiliary, free)
                inputs = self._inputs
                if isinstance(inputs, tuple):
                    x: Any = tuple(self._tensor(part, free).requires_grad_() for part in inputs)
                else:
                    x = self._tensor(inputs, free).requires_grad_()
                aux = [net] if self._dde.config.autodiff == "forward" else None
                self._model.data.losses_train(
                    self._tensor(self._targets, free), net(x), keep, x, self._model, aux=aux
                )
        finally:
            net.auxiliary_vars = kept
            self._dde.gradients.clear()  # DeepXDE keeps the derivatives of the last inputs
        if not found:
            msg = f"model: {type(self._model.data).__name__} evaluates no residual by its loss"
            raise InputError(msg)
        return found

    @staticmethod
    def _tensor(array: Any, like: Tensor) -> Any:
        if array is None:
            return None
        return torch.as_tensor(array).detach().clone().to(like.device, like.dtype)


def _package_of(model: Any) -> Any:
    """The DeepXDE that made a model.

    Raises:
        InputError: if it is none, or has another backend or a regulariser.
    """
    dde = sys.modules.get("deepxde")
    if dde is None or not isinstance(model, dde.Model):
        msg = f"model: {type(model).__name__}; a deepxde.Model is required"
        raise InputError(msg)
    backend = dde.backend.backend_name
    if backend != "pytorch":
        msg = f"model: DeepXDE runs on {backend}; set DDE_BACKEND=pytorch before it is imported"
        raise InputError(msg)
    if getattr(model.net, "regularizer", None) is not None:
        msg = (
            "model: its network has a regulariser, which is not a loss of residuals; set "
            "net.regularizer = None, and add the penalty as a term of hs.SumRisk"
        )
        raise InputError(msg)
    return dde


def _names(model: Any, count: int) -> list[str]:
    conditions = [type(bc).__name__ for bc in getattr(model.data, "bcs", [])]
    equations = ["residual"] * (count - len(conditions))
    return [f"{name} {number}" for number, name in enumerate([*equations, *conditions])]


def _listed(argument: str, values: Any, count: int) -> list[Any] | None:
    if values is None:
        return None
    found = list(values) if isinstance(values, (list, tuple)) else [values] * count
    if len(found) != count:
        msg = f"{argument}: {len(found)} given; the model has {count} terms"
        raise InputError(msg)
    return found
