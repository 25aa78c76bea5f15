"""Everything of the user's that a library could change, before and after."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from composed.setup import Setup, tensors_of


class Traces:
    """A record of modules, tensors and global settings.

    Args:
        setup: whose.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._before = self._now()

    def damage(self) -> list[str]:
        """What has changed since."""
        now = self._now()
        gone = [f"{key} is gone" for key in self._before if key not in now]
        new = [f"{key} is new" for key in now if key not in self._before]
        return gone + new + [
            f"{key} has changed"
            for key, value in self._before.items()
            if key in now and not _same(value, now[key])
        ]  # fmt: skip

    def _now(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for number, module in enumerate(self._setup.modules()):
            where = f"module {number} {type(module).__name__}"
            found[f"{where} attributes"] = [(k, id(v)) for k, v in vars(module).items()]
            for key, value in vars(module).items():
                if isinstance(value, list) and all(isinstance(v, float) for v in value):
                    found[f"{where} list {key}"] = list(value)
            found[f"{where} training"] = module.training
            for part in ("_parameters", "_buffers", "_modules"):
                held = getattr(module, part)
                found[f"{where} {part}"] = [(k, id(v)) for k, v in held.items()]
            for part in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks"):
                found[f"{where} {part}"] = list(getattr(module, part))
            for key, tensor in {**module._parameters, **module._buffers}.items():
                if tensor is not None:
                    found[f"{where} {key}"] = _tensor(tensor)
        for number, (inputs, targets) in enumerate(self._setup.batches):
            for index, tensor in enumerate((*tensors_of(inputs), *tensors_of(targets))):
                found[f"tensor {index} of batch {number}"] = _tensor(tensor)
        for name, value in vars(self._setup.ns).items():
            if isinstance(value, Tensor):
                found[f"constant {name}"] = _tensor(value)
        numpy_state = np.random.get_state()  # noqa: NPY002 - the global one is watched
        found["random state of torch"] = torch.get_rng_state()
        found["random state of NumPy"] = tuple(map(str, numpy_state[1:])), numpy_state[1].tobytes()  # type: ignore[index]
        if not any(type(one).__module__.startswith("jaxtyping") for one in sys.meta_path):
            # the checks of types and shapes (`pytest --shapes`) draw from it
            found["random state of Python"] = random.getstate()
        found["settings"] = (
            torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
            torch.is_autocast_enabled("cpu"), torch.backends.mha.get_fastpath_enabled(),
            torch.backends.cuda.math_sdp_enabled(), torch.backends.cuda.flash_sdp_enabled(),
            torch.backends.cuda.mem_efficient_sdp_enabled(), torch.get_float32_matmul_precision(),
            torch.are_deterministic_algorithms_enabled(), torch.get_num_threads(),
            torch.is_anomaly_enabled(), len(torch.overrides._get_current_function_mode_stack()),
        )  # fmt: skip
        return found


def _tensor(tensor: Tensor) -> tuple[Any, ...]:
    hooks = getattr(tensor, "_backward_hooks", None)
    grad = None if isinstance(tensor.grad_fn, object) and not tensor.is_leaf else tensor.grad
    return (
        tensor.detach().clone(), tensor._version, tensor.dtype, tensor.requires_grad, id(grad),
        None if grad is None else grad.clone(), list(hooks or ()), type(tensor), tensor.data_ptr(),
    )  # fmt: skip


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and torch.allclose(one, other, 0, 0, equal_nan=True)
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(map(_same, one, other))
    return one is other or bool(one == other)  # NaN is the same NaN


def leave_gradients(setup: Setup) -> None:
    """A step of training before the library is called: gradients, and whatever the model keeps."""
    try:
        value = setup.whole()
        value.backward()
    except Exception:  # kernels that the dtype of the model does not have
        for parameter in setup.parameters():
            parameter.grad = torch.full_like(parameter, 0.5)
