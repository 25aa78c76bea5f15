"""Networks and risks of Pennington & Bahri (2017): no biases, squared error, random weights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.problem import EmpiricalRisk, SquaredError

ACTIVATIONS: dict[str, type[nn.Module] | None] = {
    "linear": None,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
}


def written(activation: str) -> str:
    """The name of an activation in a sentence."""
    return {"relu": "ReLU", "gelu": "GELU"}.get(activation, activation)


def plain_network(widths: Sequence[int], activation: str, rng: Rng) -> nn.Sequential:
    """A fully connected network without biases, weights N(0, 1/fan-in), linear output, float64.

    Raises:
        InputError: if the activation has no such name.
    """
    if activation not in ACTIVATIONS:
        msg = f"activation: {activation!r}; one of {', '.join(ACTIVATIONS)} is required"
        raise InputError(msg)
    kind, random = ACTIVATIONS[activation], generator(rng)
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layer = nn.utils.skip_init(nn.Linear, fan_in, fan_out, bias=False, dtype=torch.float64)
        weight = random.standard_normal((fan_out, fan_in)) / np.sqrt(fan_in)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight))
        layers += [layer, *([kind()] if kind else [])]
    return nn.Sequential(*(layers[:-1] if kind else layers))


def squared_risk(network: nn.Module, x: FloatArray, y: FloatArray) -> EmpiricalRisk:
    r"""$(2m)^{-1} \sum_{\mu i} (f_i(x_\mu) - y_{i\mu})^2$ (eq. 2)."""
    loss = SquaredError(scale=0.5, reduction="mean")
    return EmpiricalRisk(network, loss, (torch.from_numpy(x), torch.from_numpy(y)))


def with_residuals(network: nn.Module, x: FloatArray, errors: FloatArray) -> EmpiricalRisk:
    """The risk whose residuals f(x) - y are `errors`: the targets are moved, not the network."""
    with torch.no_grad():
        outputs = network(torch.from_numpy(x)).numpy()
    return squared_risk(network, x, outputs - errors)
