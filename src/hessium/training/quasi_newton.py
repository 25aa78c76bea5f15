"""The matrix of an L-BFGS optimiser, read from its state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy.optimize import LbfgsInvHessProduct
from torch import Tensor, nn, optim

from hessium.errors import InputError
from hessium.linalg.low_rank import IdentityPlusLowRank, lbfgs_root
from hessium.problem.layout import Layout


def quasi_newton_root(
    optimizer: Any, layout: Layout, parameters: Mapping[str, nn.Parameter], like: Tensor
) -> IdentityPlusLowRank | None:
    """$B^{1/2}$ on the flat vector of a risk; None for any other optimiser.

    Args:
        optimizer: `torch.optim.LBFGS`, or `hess_inv` of `scipy.optimize.minimize`.
        layout: of the flat vector.
        parameters: of the model, by name.
        like: a tensor with dtype and device of the flat vector.

    Raises:
        InputError: if it has taken no second step, or moves other parameters than the flat vector.
    """
    if isinstance(optimizer, LbfgsInvHessProduct):
        # SciPy's matrix begins with the identity; its vectors are in the order of the risk
        return _root(list(optimizer.sk), list(optimizer.yk), 1.0, None, like)
    if not isinstance(optimizer, optim.LBFGS):
        return None
    moved = optimizer.param_groups[0]["params"]
    # torch keeps the state of all parameters with the first
    state: Mapping[str, Any] = optimizer.state.get(moved[0], {})
    if not state.get("old_stps"):
        msg = "optimizer: L-BFGS has no pair of steps and gradients yet; let it take two steps"
        raise InputError(msg)
    places = {id(parameters[name]): layout.slice(name) for name in layout.names}
    if set(places) != {id(p) for p in moved if p.requires_grad}:
        msg = (
            "optimizer: L-BFGS moves other parameters than the operator has, and its matrix "
            "couples them all; use an operator of the same parameters (restrict)"
        )
        raise InputError(msg)
    order = torch.cat(
        [torch.arange(places[id(p)].start, places[id(p)].stop, device=like.device) for p in moved]
    )
    return _root(state["old_stps"], state["old_dirs"], float(state["H_diag"]), order, like)


def _root(
    steps: list[Any], changes: list[Any], scale: float, order: Tensor | None, like: Tensor
) -> IdentityPlusLowRank:
    """The root from pairs in the order of the optimiser."""

    def placed(vector: Any) -> Tensor:
        flat = torch.as_tensor(np.array(vector)) if isinstance(vector, np.ndarray) else vector
        flat = flat.detach().to(like)
        if flat.shape != like.shape:
            msg = f"optimizer: moves {flat.numel()} numbers; the operator has {like.numel()}"
            raise InputError(msg)
        if order is None:
            return flat
        found = torch.empty_like(like)
        found[order] = flat
        return found

    return lbfgs_root([placed(s) for s in steps], [placed(y) for y in changes], scale)
