"""Critical points of a wide network from those of a narrow one, by dead units."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from hessium.landscape.two_layer import TwoLayerSurface


def with_dead_units(
    narrow: TwoLayerSurface, theta: Float[Tensor, " n"], hidden: int
) -> Float[Tensor, " k"]:
    """Parameters of the same function in a network of `hidden` units; new units have zero weights.

    Critical points stay critical, with or without ridge (Fukumizu & Amari 2000).

    Args:
        narrow: the network of `theta`.
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

    The Hessian block of a dead unit is $rI$ with off-diagonal block $w\,E X^T$, decoupled from the
    others.
    """
    coupling = narrow._w * narrow.errors(theta) @ narrow._X.mT
    return int((torch.linalg.svdvals(coupling) > narrow.ridge).sum())
