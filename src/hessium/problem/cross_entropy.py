"""Cross-entropy and negative log-likelihood, with their denominators and output Hessians."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from hessium.errors import InputError
from hessium.problem.losses import Loss, check_reduction, not_negative, rows, summed
from hessium.problem.output_hessian import Diagonal, OutputHessian, Softmax


class CrossEntropy(Loss):
    """`nn.CrossEntropyLoss` with class weights, `ignore_index`, label smoothing, soft targets.

    Args:
        module: the torch loss.
    """

    samples_first = True

    def __init__(self, module: nn.CrossEntropyLoss | nn.NLLLoss) -> None:
        self.reduction = check_reduction(module.reduction)
        self._module = summed(module)

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Weighted sum over all positions that are not ignored."""
        return self._module(outputs, targets)

    def count(self, outputs: Tensor, targets: Tensor) -> float:
        """Total class weight of targets not ignored; positions, if targets are probabilities."""
        if targets.is_floating_point():
            return outputs.numel() / outputs.shape[1]
        return float(_class_weight(self._module, targets, outputs).sum(dtype=torch.float64))

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """One row of class scores for each sample is required."""
        if outputs.dim() < 2:
            msg = (
                f"data: outputs have shape {tuple(outputs.shape)}; cross-entropy needs "
                "(samples, classes, ...)"
            )
            raise InputError(msg)
        if not targets.is_floating_point() and targets.numel():
            valid = targets[targets != self._module.ignore_index]
            classes = outputs.shape[1]
            if valid.numel() and not 0 <= int(valid.min()) <= int(valid.max()) < classes:
                msg = (
                    f"data: class targets span [{int(valid.min())}, {int(valid.max())}]; "
                    f"the model has {classes} outputs, so 0 to {classes - 1} are allowed"
                )
                raise InputError(msg)

    def convex(self, targets: Tensor) -> bool:
        """Where no class and no target has a negative weight."""
        chances = targets if targets.is_floating_point() else None
        return not_negative(self._module.weight) and not_negative(chances)

    def hessian(self, outputs: Tensor, targets: Tensor) -> OutputHessian:
        r"""$q (\mathrm{diag}(p) - p p^T)$ with q the total weight of the (smoothed) target."""
        f = outputs.detach()
        samples, classes = f.shape[:2]
        smoothing: float = self._module.label_smoothing
        weight = self._module.weight
        ones = f.new_ones(classes) if weight is None else weight.to(f)
        if targets.is_floating_point():
            smoothed = (1 - smoothing) * targets + smoothing / classes
            q = torch.einsum("c,nc...->n...", ones, smoothed)
        else:
            own = _class_weight(self._module, targets, f)
            valid = (targets != self._module.ignore_index).to(f)
            q = (1 - smoothing) * own + smoothing * ones.mean() * valid
        p = F.softmax(f, dim=1)
        return Softmax(p.reshape(samples, classes, -1), q.reshape(samples, -1))

    def __repr__(self) -> str:
        return f"CrossEntropyLoss(reduction={self.reduction!r})"


class NegativeLogLikelihood(CrossEntropy):
    """`nn.NLLLoss`: the weights of cross-entropy, linear in the outputs."""

    def hessian(self, outputs: Tensor, targets: Tensor) -> OutputHessian:
        """Zero."""
        return Diagonal(torch.zeros_like(rows(outputs.detach())))

    def __repr__(self) -> str:
        return f"NLLLoss(reduction={self.reduction!r})"


def _class_weight(module: Any, targets: Tensor, outputs: Tensor) -> Tensor:
    """Weight of each target's class, zero where ignored; shape of targets."""
    valid = targets != module.ignore_index
    if module.weight is None:
        return valid.to(outputs)
    weight = module.weight.to(outputs)
    return weight[torch.where(valid, targets, torch.zeros_like(targets))] * valid
