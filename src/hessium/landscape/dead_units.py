"""Saddles of a wide network from critical points of a narrow one: units that do nothing."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from hessium.landscape.two_layer import TwoLayerSurface


def with_dead_units(
    narrow: TwoLayerSurface, theta: Float[Tensor, " n"], hidden: int
) -> Float[Tensor, " k"]:
    """The same function in a network of `hidden` units, the new ones with zero weights.

    A critical point stays one, with or without ridge (Fukumizu & Amari 2000).

    Args:
        narrow: whose parameters `theta` are.
        theta: parameters.
        hidden: units of the wide network, no fewer.
    """
    first, second = narrow.split(theta)
    extra = hidden - narrow.hidden
    first = torch.cat([first, first.new_zeros(extra, first.shape[1])])
    second = torch.cat([second, second.new_zeros(second.shape[0], extra)], dim=1)
    return torch.cat([first.reshape(-1), second.reshape(-1)])


def dead_unit_index(narrow: TwoLayerSurface, theta: Float[Tensor, " n"]) -> int:
    r"""Negative eigenvalues that a dead unit adds: singular values of $w\,E X^T$ above the ridge.

    The Hessian of a dead unit is $rI$ with $w\,E X^T$ off its diagonal, apart from all others.
    """
    coupling = narrow._w * narrow.errors(theta) @ narrow._X.mT
    return int((torch.linalg.svdvals(coupling) > narrow.ridge).sum())
