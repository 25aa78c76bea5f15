"""Copies of the parameters and buffers of a model, and detection of later changes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hessium.errors import InputError, StaleStateWarning
from hessium.problem.data import converted
from hessium.problem.layout import Layout, layout_of, trainable


class ModelState:
    """Copies of the trainable parameters and buffers of a model; frozen parameters are shared.

    Args:
        model: the module.
        dtype: dtype to which floating-point tensors are converted, if given.
        part: whether other processes hold entries of its parameters.

    Attributes:
        layout: of the trainable parameters.
        theta: the trainable parameters, flat.
        frozen: frozen parameters by name; the model's own if no dtype is given.
        buffers: by name.

    Raises:
        InputError: if the model has no trainable parameter, or an unsupported one.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype | None, *, part: bool = False) -> None:
        free = trainable(model, dtype, part=part)
        self.layout: Layout = layout_of(free)
        self.theta = converted(self.layout.flatten(free), dtype)
        frozen = {n: p for n, p in model.named_parameters() if not p.requires_grad}
        self.frozen: Mapping[str, Tensor] = {
            n: p if dtype is None else converted(p.detach(), dtype) for n, p in frozen.items()
        }
        self.buffers = {n: converted(b.detach().clone(), dtype) for n, b in model.named_buffers()}
        self._model = model
        self._dtype = dtype
        self._frozen = [(n, p, p._version, _sample(p)) for n, p in frozen.items()]
        self._live = {n: (b, b._version, _sample(b)) for n, b in model.named_buffers()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        # the tensors are copies, whose versions count from zero
        self._frozen = [(n, p, p._version, sample) for n, p, _, sample in self._frozen]
        self._live = {n: (b, b._version, sample) for n, (b, _, sample) in self._live.items()}

    def require_frozen(self) -> None:
        """Check that frozen parameters are unchanged, by versions and a few entries of each.

        Raises:
            InputError: with one that was trained or overwritten since.
        """
        for name, parameter, version, sample in self._frozen:
            # fused optimisers do not count versions
            if parameter._version != version or not _same(_sample(parameter), sample):
                msg = (
                    f"model: the frozen parameter '{name}' has changed since the risk was made; "
                    "use risk.refreshed(), or make a new hessium.EmpiricalRisk"
                )
                raise InputError(msg)

    def warn_of_changed_buffers(self) -> bool:
        """Warn if buffers of the model differ from the copies; returns whether they do."""
        live = dict(self._model.named_buffers())
        changed = [name for name in self.buffers if self._differs(name, live.get(name))]
        if changed:
            msg = (
                "risk.at(theta) keeps the buffers that the risk was made with, but the model has "
                f"changed {len(changed)} since ({', '.join(changed[:3])}); risk.refreshed() takes "
                "parameters and buffers as they are now"
            )
            warnings.warn(msg, StaleStateWarning, stacklevel=4)
        return bool(changed)

    def _differs(self, name: str, now: Tensor | None) -> bool:
        """Whether a buffer of the model has changed since it was copied."""
        before, version, sample = self._live[name]
        if now is None:
            return True
        # not all kernels that write to buffers count versions
        if now is before and now._version == version and _same(_sample(now), sample):
            return False
        return not _same(converted(now.detach(), self._dtype), self.buffers[name])


def padding_rows(model: nn.Module, layout: Layout) -> list[slice]:
    """Mask of the padding rows of embeddings in the flat vector; torch keeps them constant."""
    own = {id(p): name for name, p in model.named_parameters()}
    found = []
    for module in model.modules():
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and module.padding_idx is not None:
            name = own.get(id(module.weight))
            if name in layout.names:
                width = module.weight.shape[1]
                start = layout.slice(name).start + module.padding_idx * width
                found.append(slice(start, start + width))
    return found


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether tensors are equal, NaN included; tensors that cannot be compared count as equal."""
    try:
        return one.shape == other.shape and torch.equal(one.nan_to_num(), other.nan_to_num())
    except (RuntimeError, NotImplementedError):  # sparse, or of eight bits
        return True


def _sample(tensor: Tensor) -> Tensor:
    """About 64 equidistant entries of a tensor."""
    if tensor.layout is not torch.strided:
        return torch.empty(0)
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // 64)].clone()
