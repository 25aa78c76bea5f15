"""The tanh networks of the studies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from hessium._random import Rng, generator


def tanh_network(widths: Sequence[int], rng: Rng) -> nn.Sequential:
    r"""Fully connected tanh network with a linear output, float64.

    Weights are drawn from $N(0, 1/\text{fan-in})$, biases are 0: the initialisation of ADCME.jl's
    `fc_init`, drawn layer by layer with NumPy (Julia's own numbers are not portable).

    Args:
        widths: of the input, the hidden layers and the output.
        rng: seed of the weights.
    """
    random = generator(rng)
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layer = nn.utils.skip_init(nn.Linear, fan_in, fan_out, dtype=torch.float64)
        weight = random.standard_normal((fan_out, fan_in)) / math.sqrt(fan_in)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.zero_()
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers[:-1])
