r"""The regression problem of the rank experiment: $y = \sin \pi x$ on 100 points of [0, 1]."""

from __future__ import annotations

import numpy as np
import torch

from hessium._typing import FloatArray, IntArray
from hessium.errors import InputError
from hessium.problem import EmpiricalRisk, SquaredError
from hessium.studies.networks import tanh_network

POINTS = 100
WIDTHS = (1, 20, 20, 20, 1)


def subset(samples: int) -> IntArray:
    """Which of the 100 points are used, from 0.

    `round.(LinRange(1, 100, samples + 2))[2:end-1]` of the ADCME.jl code, halves to even: the
    endpoints are left out, which the text of the tutorial does not say.
    """
    if not 1 <= samples <= POINTS - 2:
        msg = f"samples: {samples}; between 1 and {POINTS - 2} are required"
        raise InputError(msg)
    return np.round(np.linspace(1, POINTS, samples + 2))[1:-1].astype(np.int64) - 1


def inputs(samples: int) -> FloatArray:
    """The points of `subset` in [0, 1], shape (samples,)."""
    return np.linspace(0.0, 1.0, POINTS)[subset(samples)]


def sine_risk(x: FloatArray, seed: int, widths: tuple[int, ...] = WIDTHS) -> EmpiricalRisk:
    r"""$L(\theta) = \sum_i (f(x_i, \theta) - \sin \pi x_i)^2$, without 1/2 and without 1/m.

    Args:
        x: sample points, shape (m,).
        seed: of the initial weights.
        widths: of the tanh network.
    """
    column = torch.from_numpy(x.reshape(-1, 1).copy())
    data = (column, torch.sin(torch.pi * column))
    return EmpiricalRisk(tanh_network(widths, seed), SquaredError(), data)
