"""How often the radius that a slice states holds, on slices of small trained networks.

Run: python benchmarks/slice_radius.py [slices [first seed]]. Each slice has its own network (tanh,
ReLU, GELU or sigmoid, other widths, data and length of training), random or eigenvector directions,
and an extent and a number of points drawn at random. The model is then compared with the loss in 47
directions of the plane at 1, .6 and .3 of the radius: none of them was used to find it. The last
line counts the slices in which the stated error is kept everywhere, and those in which it is kept
at twice the radius, a control that should be near zero.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import torch
from torch import Tensor, nn

import hessium as hs

DIRECTIONS = 47
NOT_SEEN = 0.123  # radians between these directions and those of the search
ACTIVATIONS = (nn.Tanh, nn.ReLU, nn.GELU, nn.Sigmoid)


def trained(seed: int) -> hs.EmpiricalRisk:
    """A small classifier or regression, after a random number of steps of Adam."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    inputs, width, outputs = (int(v) for v in rng.integers((3, 4, 2), (9, 20, 5)))
    act = ACTIVATIONS[seed % len(ACTIVATIONS)]
    hidden = (nn.Linear(width, width), act()) if seed % 3 else ()
    model = nn.Sequential(
        nn.Linear(inputs, width), act(), *hidden, nn.Linear(width, outputs)
    ).double()
    x = torch.randn(60, inputs, dtype=torch.float64)
    regression = bool(rng.integers(2))
    y = torch.randn(60, outputs, dtype=torch.float64) if regression else torch.arange(60) % outputs
    loss: nn.Module = nn.MSELoss() if regression else nn.CrossEntropyLoss()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(int(rng.integers(0, 400))):
        optimiser.zero_grad()
        loss(model(x), y).backward()
        optimiser.step()
    return hs.EmpiricalRisk(model, loss, (x, y))


def kept(found: hs.LossSlice, risk: hs.EmpiricalRisk, factors: tuple[float, ...]) -> bool:
    """Whether the model is right to the stated fraction at these parts of the radius."""
    basis = torch.linalg.qr(found.directions)[0]
    slope = basis.mT @ risk.gradient()
    bend = basis.mT @ (hs.Hessian(risk, check=False) @ basis)
    value = risk.value()
    fine = _units(720, 0.0)
    for factor in factors:
        r = factor * found.validity_radius
        largest = (r * (fine @ slope).abs() + r**2 / 2 * ((fine @ bend) * fine).sum(1).abs()).max()
        for u in _units(DIRECTIONS, NOT_SEEN):
            model = value + r * float(u @ slope) + r**2 / 2 * float(u @ bend @ u)
            error = abs(risk.at(risk.theta + r * basis @ u).value() - model)
            if not error <= found.within * float(largest):
                return False
    return True


def _units(number: int, first: float) -> Tensor:
    angles = first + 2 * math.pi * torch.arange(number, dtype=torch.float64) / number
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def main(slices: int, first: int = 0) -> None:
    """Print one line for each slice that fails, and the counts."""
    holds = control = finite = 0
    for seed in range(first, first + slices):
        rng = np.random.default_rng(1000 + seed)
        risk = trained(seed)
        found = hs.loss_slice(
            risk,
            ("random", "eigenvectors")[int(rng.integers(2))],
            extent=float(10 ** rng.uniform(-1, 0.5)),
            num=int(rng.choice([11, 21])),
            rng=seed,
        )
        if not math.isfinite(found.validity_radius):
            holds += 1
            continue
        finite += 1
        good = kept(found, risk, (1.0, 0.6, 0.3))
        holds += good
        control += kept(found, risk, (2.0,))
        if not good:
            print(f"seed {seed}: {found}")
    print(f"the radius holds in {holds} of {slices} slices ({finite} finite)")
    print(f"twice the radius holds in {control} of {finite}")


if __name__ == "__main__":
    main(*(map(int, sys.argv[1:] or ["100"])))
