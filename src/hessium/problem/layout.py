"""Layout of the free parameters in the flat vector."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import accumulate
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from hessium._finite import all_finite
from hessium.errors import InputError, NonFiniteInputError


@dataclass(frozen=True, slots=True)
class Layout:
    """Ordered named parameters, concatenated to one flat vector.

    Attributes:
        names: as in `model.named_parameters()`: tied ones appear once, under their first name.
        shapes: one for each name.
        offsets: start of each parameter in the flat vector.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    offsets: tuple[int, ...] = field(init=False)
    sizes: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        sizes = tuple(prod(shape) for shape in self.shapes)
        object.__setattr__(self, "sizes", sizes)
        object.__setattr__(self, "offsets", tuple(accumulate((0, *sizes)))[:-1])

    @property
    def dim(self) -> int:
        """Number of entries of the flat vector."""
        return sum(self.sizes)

    @property
    def named_shapes(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Pairs of names and shapes."""
        return tuple(zip(self.names, self.shapes, strict=True))

    def slice(self, name: str) -> slice:
        """Where `name` lies in the flat vector."""
        position = self.names.index(name)
        return slice(self.offsets[position], self.offsets[position] + self.sizes[position])

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Named tensors as one flat vector (a detached copy)."""
        return torch.cat([tensors[name].detach().reshape(-1) for name in self.names])

    def unflatten(self, vector: Tensor) -> list[Tensor]:
        """A flat vector (dim,) to views with the parameters' shapes."""
        parts = torch.split(vector, list(self.sizes))
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def parts(self, vectors: Tensor) -> list[Tensor]:
        """Flat vectors (..., dim) to tensors (..., shape).

        Views, except for pairs that could not be viewed as complex numbers: these are copies.
        """
        lead = vectors.shape[:-1]
        pieces = torch.split(vectors, list(self.sizes), dim=-1)
        parts = [p.reshape((*lead, *s)) for p, s in zip(pieces, self.shapes, strict=True)]
        return [p.clone(memory_format=torch.contiguous_format) if _askew(p) else p for p in parts]

    def select(self, patterns: Sequence[str]) -> Layout:
        """The layout of those parameters only that match a name or a glob pattern.

        Raises:
            InputError: if a pattern matches no parameter, or `patterns` is a lone string or no
                sequence.
        """
        if isinstance(patterns, str) or not isinstance(patterns, Collection) or not len(patterns):
            msg = f"names: {patterns!r}; a non-empty list of parameter names or globs is required"
            raise InputError(msg)
        chosen = set[str]()
        for pattern in patterns:
            if not isinstance(pattern, str):
                msg = f"names: {pattern!r}; names or globs of parameters are required"
                raise InputError(msg)
            # a parameter, everything that a glob matches, or everything inside a module
            hits = [n for n in self.names if fnmatchcase(n, pattern) or n.startswith(f"{pattern}.")]
            if not hits:
                msg = f"names: {pattern!r} matches none of {', '.join(self.names)}"
                raise InputError(msg)
            chosen.update(hits)
        keep = [(n, s) for n, s in zip(self.names, self.shapes, strict=True) if n in chosen]
        return Layout(names=tuple(n for n, _ in keep), shapes=tuple(s for _, s in keep))


def _askew(part: Tensor) -> bool:
    """Pairs whose places in memory are not those of complex numbers."""
    odd = any(number % 2 for number in (part.storage_offset(), *part.stride()[:-1]))
    return part.dim() > 0 and part.shape[-1] == 2 and odd


def trainable(
    model: nn.Module, dtype: torch.dtype | None = None, *, part: bool = False
) -> dict[str, nn.Parameter]:
    """The parameters that require gradients, tied ones once.

    Args:
        model: the module.
        dtype: dtype of the conversion, if any.
        part: whether other processes hold entries, so that this one may hold none.

    Raises:
        InputError: if there is none, or one has an unsupported dtype, device or value.
    """
    parameters = dict(model.named_parameters())
    for name, tensor in (*parameters.items(), *model.named_buffers()):
        _require_values(name, tensor)
    for name, parameter in parameters.items():
        if parameter.is_inference():
            msg = f"model: parameter '{name}' was made under inference_mode; make it outside"
            raise InputError(msg)
        if parameter.layout is not torch.strided:
            msg = f"model: parameter '{name}' is sparse ({parameter.layout}); make it dense"
            raise InputError(msg)
        if parameter.is_complex():
            msg = (
                f"model: parameter '{name}' has dtype {parameter.dtype}; a Hessian needs a "
                "function of real numbers: make torch.view_as_real of it the parameter, and call "
                "torch.view_as_complex in the forward pass"
            )
            raise InputError(msg)
        if not parameter.is_floating_point():
            msg = (
                f"model: parameter '{name}' has dtype {parameter.dtype}; parameters are float32 or "
                "float64 (register integer tables as buffers)"
            )
            raise InputError(msg)
    free = {name: p for name, p in parameters.items() if p.requires_grad}
    if not free:
        msg = f"model: all {len(parameters)} parameters are frozen; at least one must require grad"
        raise InputError(msg)
    if not part and not any(p.numel() for p in free.values()):
        msg = "model: its trainable parameters have no entries; at least one number is required"
        raise InputError(msg)
    for name, parameter in free.items():
        if dtype is None and parameter.dtype not in (torch.float32, torch.float64):
            msg = (
                f"model: parameter '{name}' has dtype {parameter.dtype}; second derivatives need "
                "float32 or float64 (pass dtype=torch.float32; the model is not changed)"
            )
            raise InputError(msg)
        if not all_finite(parameter.detach()):
            bad = int((~torch.isfinite(parameter)).sum())
            msg = f"model: parameter '{name}' has {bad} entries that are NaN or infinite"
            raise NonFiniteInputError(msg)
    if dtype is None:
        _one_value("dtype", {name: p.dtype for name, p in free.items()})
    _one_value("device", {name: p.device for name, p in free.items()})
    return free


def _require_values(name: str, tensor: Tensor) -> None:
    """Check that a parameter or buffer is materialised.

    Raises:
        InputError: if it has no shape or no values yet.
    """
    if is_lazy(tensor):
        msg = f"model: '{name}' has no shape yet; run one batch through the model first"
        raise InputError(msg)
    if tensor.is_meta:
        msg = (
            f"model: '{name}' is on the meta device and has no values; load the model with its "
            "weights (to_empty and load_state_dict)"
        )
        raise InputError(msg)


def _one_value(what: str, values: Mapping[str, object]) -> None:
    kinds: dict[object, str] = {}
    for name, value in values.items():
        kinds.setdefault(value, name)
    if len(kinds) > 1:
        listed = ", ".join(f"'{name}' {value}" for value, name in kinds.items())
        remedy = " (pass dtype=torch.float32 or float64)" if what == "dtype" else ""
        msg = (
            f"model: trainable parameters differ in {what} ({listed}); "
            f"one {what} is required{remedy}"
        )
        raise InputError(msg)


def layout_of(named: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]) -> Layout:
    """The layout of named tensors in their own order."""
    items = list(named.items() if isinstance(named, Mapping) else named)
    return Layout(names=tuple(n for n, _ in items), shapes=tuple(tuple(t.shape) for _, t in items))
