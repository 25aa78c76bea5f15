"""Permutation of the hidden units of one network to those of another (Ainsworth et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.optimize
import torch
from torch import Tensor, nn

from hessium._random import Rng, generator
from hessium.errors import InputError
from hessium.problem import EmpiricalRisk

_SWEEPS = 100
_ELEMENTWISE = (
    nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.Softplus,
    nn.Identity, nn.Dropout, nn.Flatten,
)  # fmt: skip


def align_permutation(
    risk: EmpiricalRisk, theta: Tensor, reference: Tensor, *, rng: Rng = 0
) -> Tensor:
    r"""Parameters of the same function as `theta`, with hidden units ordered as in `reference`.

    Permutations of the units of each hidden layer are chosen to minimise
    $|\pi(\theta) - \theta_{\mathrm{ref}}|$ by weight matching: one layer at a time, exactly, by the
    linear assignment problem, until no layer changes (Ainsworth et al. 2023, arXiv:2209.04836,
    algorithm 1). A local minimum over all layers, exact for one hidden layer.

    Args:
        risk: of an `nn.Sequential` of linear layers and elementwise activations, all of whose
            parameters are free.
        theta: parameters to be permuted (P,).
        reference: parameters to which they are brought close (P,).
        rng: order in which the layers are visited.

    Returns:
        The permuted parameters (P,); the loss is unchanged.

    Raises:
        InputError: for another kind of model.

    Example:
        >>> other = hs.landscape.align_permutation(risk, risk.theta, risk.theta)
        >>> bool(torch.equal(other, risk.theta))
        True
    """
    layers = _linear_layers(risk)
    moved = [part.clone() for part in risk.layout.parts(risk.at(theta).theta)]
    fixed = risk.layout.parts(risk.at(reference).theta)
    places = {name: i for i, name in enumerate(risk.names)}
    order = generator(rng)
    for _ in range(_SWEEPS):
        changed = False
        for k in order.permutation(len(layers) - 1):
            changed |= _match(moved, fixed, places, layers[k], layers[k + 1])
        if not changed:
            break
    return torch.cat([part.reshape(-1) for part in moved])


def _linear_layers(risk: EmpiricalRisk) -> list[str]:
    model = risk.model
    if not isinstance(model, nn.Sequential) or not all(
        isinstance(module, (nn.Linear, *_ELEMENTWISE)) for module in model
    ):
        msg = (
            f"risk: its model is a {type(model).__name__}; an nn.Sequential of linear layers and "
            "elementwise activations is required"
        )
        raise InputError(msg)
    names = [name for name, module in model.named_children() if isinstance(module, nn.Linear)]
    wanted = {f"{name}.weight" for name in names}
    if len(names) < 2 or not wanted <= set(risk.names):
        msg = "risk: two linear layers or more with free weights are required"
        raise InputError(msg)
    return names


def _match(
    moved: list[Tensor], fixed: Sequence[Tensor], places: dict[str, int], inner: str, outer: str
) -> bool:
    """Permute the units between two layers; whether anything changed."""
    rows = [i for name in ("weight", "bias") if (i := places.get(f"{inner}.{name}", -1)) >= 0]
    column = places[f"{outer}.weight"]
    units = moved[column].shape[1]
    gain = moved[column].new_zeros(units, units)
    for i in rows:
        gain += fixed[i].reshape(units, -1) @ moved[i].reshape(units, -1).mT
    gain += fixed[column].mT @ moved[column]
    found = scipy.optimize.linear_sum_assignment(gain.double().cpu().numpy(), maximize=True)[1]
    now, best = float(gain.trace()), float(gain[torch.arange(units), torch.as_tensor(found)].sum())
    if best <= now + 1e-12 * abs(now) or np.array_equal(found, np.arange(units)):
        return False
    index = torch.as_tensor(found, device=gain.device)
    for i in rows:
        moved[i] = moved[i][index]
    moved[column] = moved[column][:, index]
    return True
