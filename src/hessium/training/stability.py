r"""Preconditioners and stability thresholds of optimisers, read from their state.

An optimiser with the preconditioner P held fixed takes gradient descent steps on a quadratic with
the Hessian $P^{-1/2} H P^{-1/2}$. A direction of curvature a is stable while a is below a threshold
(Cohen et al. 2021, 2022): with step size $\eta$, momentum $\beta$, weight of the gradient $\gamma$
and shrinkage $s = 1 - \eta\lambda$ of decoupled weight decay, the characteristic polynomial has the
root -1 at

$$a = \frac{(1 + \beta)(1 + s)}{\eta\gamma}, \quad\text{Nesterov:}\quad
a = \frac{(1 + \beta)(1 + s)}{\eta\,(1 + \beta + \beta\gamma)}.$$

Coupled weight decay (an L2 penalty) adds $\lambda P^{-1}$ to the operator.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn, optim

from hessium.errors import InputError
from hessium.linalg.congruence import BlockKronecker, Diagonal, Factor, KroneckerBlock
from hessium.problem.layout import Layout

logger = logging.getLogger(__name__)

_SMALLEST = 1e-7  # of the largest singular value of a momentum buffer of Muon


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One parameter group.

    Attributes:
        threshold: largest stable curvature of the preconditioned Hessian, without coupled decay.
        decay: of an L2 penalty.
        preconditioner: from a parameter and its state to the entries of P, to a Kronecker block of
            P, or to None where P is the identity; raises KeyError if there is no state yet.
    """

    threshold: float
    decay: float
    preconditioner: Callable[[Tensor, Mapping[str, Any]], Tensor | KroneckerBlock | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preconditioner:
    r"""$D = P^{-1/2}$ on the flat vector of a risk, and the threshold that belongs to D H D.

    Parameters with other thresholds are scaled to that of the first one, so that one number serves
    all. Parameters that the optimiser does not move have zero rows.

    Attributes:
        factor: D; None for the identity.
        threshold: of D H D, without coupled weight decay.
        decay: of an L2 penalty, for each entry, or one number for all.
    """

    factor: Factor | None
    threshold: float
    decay: float | Tensor

    def threshold_along(self, vector: Tensor | None) -> float:
        r"""Threshold of D H D in a direction y: less $\lambda\,|D y|^2$ for an L2 penalty."""
        if isinstance(self.decay, float) and (self.factor is None or self.decay == 0.0):
            return self.threshold - self.decay
        if vector is None:
            return self.threshold
        moved = vector if self.factor is None else self.factor @ vector
        return self.threshold - float((self.decay * moved.square()).sum())


def preconditioner_of(
    optimizer: Any, layout: Layout, parameters: Mapping[str, nn.Parameter], like: Tensor
) -> Preconditioner | None:
    """Read D and its threshold; None before the first step of an adaptive optimiser.

    The threshold is that of the first parameter of the model that is moved.

    Args:
        optimizer: SGD, Adam, AdamW, RMSprop, Adagrad or Muon of torch.optim, a wrapper of one, or a
            list of several.
        layout: of the flat vector.
        parameters: of the model, by name.
        like: a tensor with dtype and device of the flat vector.

    Raises:
        InputError: for another optimiser, or one that holds none of the parameters.
    """
    rules = {
        id(p): (rule_of(one, group), p, one.state)
        for one in optimizers_of(optimizer)
        for group in one.param_groups
        for p in group["params"]
    }
    chosen = [rules.get(id(parameters[name])) for name in layout.names]
    finite = [entry[0].threshold for entry in chosen if entry and entry[0].threshold < math.inf]
    if not any(chosen):
        msg = "optimizer: it holds none of the parameters of the model"
        raise InputError(msg)
    reference = finite[0] if finite else math.inf
    blocks: list[Tensor | KroneckerBlock] = []
    plain, ready = True, False
    for entry, size in zip(chosen, layout.sizes, strict=True):
        if entry is None or (finite and entry[0].threshold == math.inf):
            blocks.append(like.new_zeros(size))
            plain = False
            continue
        rule, parameter, state = entry
        scale = (reference / rule.threshold) ** 0.5 if finite else 1.0
        plain &= scale == 1.0
        try:
            found = rule.preconditioner(parameter, state.get(parameter, {}))
        except KeyError:
            blocks.append(like.new_zeros(size))
            plain = False
            continue
        ready = True
        if found is None:
            blocks.append(like.new_full((size,), scale))
        elif isinstance(found, KroneckerBlock):
            plain = False
            blocks.append(found.to(like).power(-0.5, scale))
        else:
            plain = False
            entries = found.detach().reshape(-1).to(like)
            root = torch.where(entries > 0, entries, torch.inf).rsqrt()
            blocks.append(root if scale == 1.0 else scale * root)
    if not ready:
        return None
    rates = [entry[0].decay if entry else 0.0 for entry in chosen]
    decay: float | Tensor = rates[0]
    if len(set(rates)) > 1:
        pairs = zip(layout.sizes, rates, strict=True)
        decay = torch.cat([like.new_full((size,), rate) for size, rate in pairs])
    diagonal = [block for block in blocks if isinstance(block, Tensor)]
    factor: Factor | None = None
    if not plain:
        whole = len(diagonal) == len(blocks)
        factor = Diagonal(torch.cat(diagonal)) if whole else BlockKronecker(blocks)
    return Preconditioner(factor=factor, threshold=reference, decay=decay)


def unwrapped(optimizer: Any) -> optim.Optimizer:
    """The torch optimiser inside the wrappers of trainers.

    Raises:
        InputError: if there is none.
    """
    inner, seen = optimizer, 0
    while not isinstance(inner, optim.Optimizer) or type(inner).__module__.startswith("accelerate"):
        inner, seen = getattr(inner, "optimizer", None), seen + 1
        if inner is None or seen > 4:
            msg = f"optimizer: {type(optimizer).__name__}; a torch.optim.Optimizer is required"
            raise InputError(msg)
    return inner


def optimizers_of(optimizer: Any) -> list[optim.Optimizer]:
    """One optimiser, or those of a list, each without wrappers.

    Raises:
        InputError: if there is none.
    """
    several = list(optimizer) if isinstance(optimizer, (list, tuple)) else [optimizer]
    if not several:
        msg = "optimizer: an empty list; one optimiser at least is required, or None"
        raise InputError(msg)
    return [unwrapped(one) for one in several]


def require_rules(optimizer: Any) -> None:
    """Check that preconditioner and threshold of an optimiser are known.

    A subclass with a step of its own is taken for its parent, which is logged.

    Raises:
        InputError: if not.
    """
    for inner in optimizers_of(optimizer):
        for group in inner.param_groups:
            rule_of(inner, group)
        kind = type(inner)
        if not getattr(kind.step, "__module__", "").startswith("torch.optim"):
            parent = next(known for known, _ in _RULES if isinstance(inner, known))
            logger.warning(
                "optimizer: %s has a step of its own; preconditioner and threshold are those of %s",
                kind.__name__, parent.__name__,
            )  # fmt: skip


def rule_of(optimizer: optim.Optimizer, group: Mapping[str, Any]) -> Rule:
    """Threshold and preconditioner of one parameter group.

    Raises:
        InputError: for an optimiser without a rule, or one that maximises.
    """
    if group.get("maximize"):
        msg = "optimizer: maximize=True; minimise the negative loss instead"
        raise InputError(msg)
    for kind, rule in _RULES:
        if isinstance(optimizer, kind):
            return rule(group)
    names = ", ".join(kind.__name__ for kind, _ in _RULES)
    msg = f"optimizer: {type(optimizer).__name__}; one of {names} is required; "
    if isinstance(optimizer, optim.LBFGS):
        msg += "L-BFGS has no fixed step size, so no threshold: monitor it with optimizer=None, "
        msg += "and take hs.precondition(hs.Hessian(risk), optimizer) where its matrix matters"
    else:
        msg += "optimizer=None records the curvature of H alone"
    raise InputError(msg)


def threshold(
    lr: float, *, beta: float = 0.0, weight: float = 1.0, nesterov: bool = False, decay: float = 0.0
) -> float:
    """The formula of the module; `decay` is decoupled. Infinite for step size zero."""
    gain = 1 + beta + beta * weight if nesterov else weight
    if lr * gain <= 0:
        return math.inf
    return (1 + beta) * (2 - lr * decay) / (lr * gain)


def _wide(state: Tensor) -> Tensor:
    """A tensor of the state in single precision at least."""
    return state.detach().to(torch.promote_types(state.dtype, torch.float32))


def _sgd(group: Mapping[str, Any]) -> Rule:
    lr, beta = float(group["lr"]), float(group["momentum"])
    weight = 1 - float(group["dampening"]) if beta else 1.0
    return Rule(
        threshold=threshold(lr, beta=beta, weight=weight, nesterov=bool(group["nesterov"])),
        decay=float(group["weight_decay"]),
        preconditioner=lambda parameter, state: None,
    )


def _adam(group: Mapping[str, Any], *, decoupled: bool = False) -> Rule:
    lr, (beta1, beta2) = float(group["lr"]), (float(beta) for beta in group["betas"])
    decoupled = bool(group.get("decoupled_weight_decay", decoupled))
    decay, eps = float(group["weight_decay"]), float(group["eps"])

    def preconditioner(parameter: Tensor, state: Mapping[str, Any]) -> Tensor:
        t = float(state["step"])
        second = _wide(state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"])
        root = (second / (1 - beta2**t)).sqrt_().add_(eps)
        return root.mul_(1 - beta1**t)

    return Rule(
        threshold=threshold(lr, beta=beta1, weight=1 - beta1, decay=decay if decoupled else 0.0),
        decay=0.0 if decoupled else decay,
        preconditioner=preconditioner,
    )


def _adamw(group: Mapping[str, Any]) -> Rule:
    return _adam(group, decoupled=True)


def _rmsprop(group: Mapping[str, Any]) -> Rule:
    def preconditioner(parameter: Tensor, state: Mapping[str, Any]) -> Tensor:
        second = _wide(state["square_avg"])
        if group["centered"]:
            second = (second - _wide(state["grad_avg"]).square()).clamp(min=0.0)
        return second.sqrt() + float(group["eps"])

    return Rule(
        threshold=threshold(float(group["lr"]), beta=float(group["momentum"])),
        decay=float(group["weight_decay"]),
        preconditioner=preconditioner,
    )


def _adagrad(group: Mapping[str, Any]) -> Rule:
    lr, slowing = float(group["lr"]), float(group["lr_decay"])

    def preconditioner(parameter: Tensor, state: Mapping[str, Any]) -> Tensor:
        t = float(state["step"])
        if t < 1:
            raise KeyError  # Adagrad makes its state before the first step
        return (1 + (t - 1) * slowing) * (_wide(state["sum"]).sqrt() + float(group["eps"]))

    return Rule(
        threshold=threshold(lr), decay=float(group["weight_decay"]), preconditioner=preconditioner
    )


def _muon(group: Mapping[str, Any]) -> Rule:
    beta, lr = float(group["momentum"]), float(group["lr"])

    def preconditioner(parameter: Tensor, state: Mapping[str, Any]) -> KroneckerBlock:
        buffer = state["momentum_buffer"].detach()
        gradient = parameter.grad
        # one that was set to zero since is not that of the step
        if group["nesterov"] and gradient is not None and bool(gradient.any()):
            buffer = gradient.lerp(buffer, beta)
        rows, columns = buffer.shape
        ratio = {"match_rms_adamw": 0.2 * math.sqrt(max(rows, columns))}.get(
            group["adjust_lr_fn"] or "original", math.sqrt(max(1.0, rows / columns))
        )
        left = rows <= columns
        gram = (buffer @ buffer.mT if left else buffer.mT @ buffer).double()
        values, vectors = torch.linalg.eigh(gram)
        sizes = values.clamp(min=float(values[-1]) * _SMALLEST**2).sqrt() / ratio
        if not float(sizes[-1]) > 0:
            raise KeyError  # no gradient yet
        root = vectors * sizes @ vectors.mT
        return KroneckerBlock(matrix=root, rows=rows, columns=columns, left=left)

    return Rule(
        threshold=(1 + beta)
        * (2 - lr * float(group["weight_decay"]))
        / max(lr * (1 - beta) * (1 + 2 * beta if group["nesterov"] else 1.0), 1e-300),
        decay=0.0,
        preconditioner=preconditioner,
    )


_RULES: list[tuple[type[optim.Optimizer], Callable[[Mapping[str, Any]], Rule]]] = [
    (optim.AdamW, _adamw),
    (optim.Adam, _adam),
    (optim.SGD, _sgd),
    (optim.RMSprop, _rmsprop),
    (optim.Adagrad, _adagrad),
]
if hasattr(optim, "Muon"):
    _RULES.append((optim.Muon, _muon))
