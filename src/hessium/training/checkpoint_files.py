"""Checkpoints of a training as files: tensors without unpickling, and the optimiser in them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, optim

from hessium.errors import InputError
from hessium.problem import EmpiricalRisk

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_OPTIMIZER = "optimizer.pt"
_STATES = ("optimizer", "optimizer_state_dict", "optimizer_state", "optim", "optimizer_states")

logger = logging.getLogger(__name__)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint; nothing is unpickled but tensors and plain containers.

    Args:
        path: a file of `torch.save` (read with `weights_only=True`, on the CPU), a file that ends
            in .safetensors, or a folder with model.safetensors or pytorch_model.bin, as the
            transformers Trainer writes it.

    Returns:
        What was saved, such as a state dict.

    Raises:
        InputError: if the file is missing, is damaged, or holds other objects.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.pt"
        >>> torch.save(model.state_dict(), path)
        >>> sorted(hs.training.read_checkpoint(path))[0]
        '0.bias'
    """
    file = Path(path)
    if file.is_dir():
        inside = [file / name for name in _WEIGHTS if (file / name).is_file()]
        if not inside:
            msg = f"path: {file} holds neither {' nor '.join(_WEIGHTS)}; give the file itself"
            raise InputError(msg)
        file = inside[0]
    if not file.is_file():
        msg = f"path: {file} does not exist; the path of a checkpoint is required"
        raise InputError(msg)
    if file.suffix == ".safetensors":
        return _safetensors(file)
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its reader does
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        msg = (
            f"path: {file} is not a file of tensors and plain containers ({reason}); "
            "save state dicts, not objects"
        )
        raise InputError(msg) from error
    if not isinstance(found, Mapping):
        msg = f"path: {file} holds a {type(found).__name__}; a dictionary is required"
        raise InputError(msg)
    return dict(found)


def _safetensors(file: Path) -> dict[str, Any]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        msg = "path: safetensors is not installed; pip install safetensors does that"
        raise InputError(msg) from error
    try:
        return dict(load_file(file))
    except Exception as error:  # its errors are those of its Rust library
        msg = f"path: {file} is not a safetensors file ({error})"
        raise InputError(msg) from error


def optimizer_in(path: str | Path, risk: EmpiricalRisk) -> optim.Optimizer | None:
    """The optimiser whose state is in a checkpoint, for the parameters of a risk's model.

    Its kind follows from the settings in the state. Only states of one parameter group that holds
    the parameters in the order of the model are taken: a group more or another order cannot be
    told from the file.

    Args:
        path: of the checkpoint, or a folder with optimizer.pt.
        risk: of the model, with the parameters of the checkpoint.

    Returns:
        The optimiser, or None if there is no such state; the reason is logged.
    """
    file = Path(path)
    file = file / _OPTIMIZER if file.is_dir() else file
    if not file.is_file() or file.suffix == ".safetensors":
        return None
    try:
        state = _state(read_checkpoint(file))
    except InputError:
        return None  # the user's function reads it by other means
    if state is None:
        return None
    reason = _reason(state, risk)
    if reason:
        logger.info("%s: the state of the optimiser is not used: %s", file, reason)
        return None
    kind = _kind(state["param_groups"][0])
    assert kind is not None
    optimizer = kind(_parameters(risk, state), lr=1e-3)
    optimizer.load_state_dict(dict(state))
    return optimizer


def _state(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for candidate in (found, *(found.get(name) for name in _STATES)):
        one = candidate[0] if isinstance(candidate, list) and candidate else candidate
        if isinstance(one, Mapping) and {"state", "param_groups"} <= set(one):
            return one
    return None


def _kind(group: Mapping[str, Any]) -> Callable[..., optim.Optimizer] | None:
    """The class whose settings a parameter group has."""
    names = set(group)
    if "ns_steps" in names:
        return getattr(optim, "Muon", None)
    if {"betas", "amsgrad"} <= names:
        return optim.AdamW if group.get("decoupled_weight_decay") else optim.Adam
    if {"alpha", "centered"} <= names:
        return optim.RMSprop
    if "lr_decay" in names:
        return optim.Adagrad
    if {"momentum", "dampening", "nesterov"} <= names:
        return optim.SGD
    return None


def _parameters(risk: EmpiricalRisk, state: Mapping[str, Any]) -> list[nn.Parameter]:
    """All parameters of the model, or those that are trained, as many as the state has."""
    known = len(state["param_groups"][0]["params"])
    everything = list(risk.model.parameters())
    trained = [p for p in everything if p.requires_grad]
    return everything if len(everything) == known else trained


def _reason(state: Mapping[str, Any], risk: EmpiricalRisk) -> str:
    """Why a state cannot be used; "" if it can."""
    groups = state["param_groups"]
    if len(groups) != 1:
        return f"{len(groups)} parameter groups, so the order of the parameters is not known"
    if _kind(groups[0]) is None:
        return "of no optimiser that is known"
    numbers, parameters = groups[0]["params"], _parameters(risk, state)
    if len(numbers) != len(parameters):
        return f"{len(numbers)} parameters, the model has {len(parameters)}"
    for number, parameter in zip(numbers, parameters, strict=True):
        for value in state["state"].get(number, {}).values():
            if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
                return f"shape {tuple(value.shape)} for a parameter of {tuple(parameter.shape)}"
    return ""
