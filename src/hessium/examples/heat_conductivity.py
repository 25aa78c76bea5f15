"""The heat equation with an unknown conductivity: a network, and a source strength beside it.

    python -m hessium.examples.heat_conductivity
    hessium identify hessium.examples.heat_conductivity:question

u_t = (kappa(x) u_x)_x + q s(x) on [0, 1] with u = 0 at both ends, by implicit steps. kappa is the
softplus of a small network; its weights are nuisance parameters for q. Sensors at four places.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import hessium as hs

CELLS, STEPS, DT = 24, 16, 0.02
NOISE = 0.002


class Heat(nn.Module):
    """Temperatures at (step, cell) pairs, shape (n, 2) to (n, 1)."""

    cells: Tensor

    def __init__(self, width: int = 6, seed: int = 0) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(1.0))
        self.network = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, 1))
        self.register_buffer("cells", torch.arange(1, CELLS + 1) / (CELLS + 1))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.network.parameters():
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
        self.double()

    def conductivity(self, x: Tensor) -> Tensor:
        """Kappa at places (n,)."""
        found: Tensor = 0.1 * F.softplus(self.network(x[:, None]))[:, 0]
        return found

    def forward(self, sensors: Tensor) -> Tensor:
        """Implicit Euler steps from a cold start."""
        faces = (torch.arange(CELLS + 1, dtype=torch.float64) + 0.5) / (CELLS + 1)
        kappa = self.conductivity(faces) * (CELLS + 1) ** 2 * DT
        matrix = torch.diag(1 + kappa[:-1] + kappa[1:])
        matrix = matrix - torch.diag(kappa[1:-1], 1) - torch.diag(kappa[1:-1], -1)
        source = DT * self.strength * torch.exp(-30 * (self.cells - 0.35) ** 2)
        inverse = torch.linalg.inv(matrix)
        u, history = torch.zeros_like(source), []
        for _ in range(STEPS):
            u = inverse @ (u + source)
            history.append(u)
        return torch.stack(history)[sensors[:, 0].long(), sensors[:, 1].long()][:, None]


def make(noise: float = NOISE, prior_precision: float = 1.0) -> hs.EmpiricalRisk:
    """Fitted by L-BFGS with a penalty on the parameters, which is the prior."""
    steps, cells = torch.meshgrid(
        torch.arange(1, STEPS, 2), torch.tensor([3, 9, 14, 20]), indexing="ij"
    )
    sensors = torch.stack([steps.flatten(), cells.flatten()], dim=1).double()
    with torch.no_grad():
        clean = Heat(seed=5)(sensors)
    draws = np.random.default_rng(2).standard_normal(clean.shape)
    y = clean + noise * torch.from_numpy(draws)
    model, loss = Heat(), hs.SquaredError()
    optimiser = torch.optim.LBFGS(
        model.parameters(), max_iter=300, tolerance_grad=1e-10, tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = 0.5 * loss(model(sensors), y) / noise**2
        value = value + 0.5 * prior_precision * sum(p.square().sum() for p in model.parameters())
        value.backward()
        return value

    optimiser.step(closure)
    return hs.EmpiricalRisk(model, loss, (sensors, y))


def question() -> tuple[hs.EmpiricalRisk, dict[str, Any]]:
    """What `hessium identify` is asked: the source strength, the network's weights as nuisance."""
    steps, cells = torch.meshgrid(torch.arange(STEPS), torch.arange(0, CELLS, 2), indexing="ij")
    return make(), {
        "names": ["strength"],
        "noise": NOISE,
        "prior_precision": 1.0,
        "units": {"strength": "K/s"},
        "inputs": {"time step": "", "cell": ""},
        "outputs": {"temperature": "K"},
        "candidates": torch.stack([steps.flatten(), cells.flatten()], dim=1).double(),
    }


def main() -> None:
    """The source strength with the network as nuisance, and the conductivity."""
    risk = make()
    post = hs.GaussNewtonPosterior(risk, noise=NOISE, prior_precision=1.0)
    print(post)
    print(post.parameters(["strength"]).to_dataframe())
    alone = hs.GaussNewtonPosterior(risk.restrict(["strength"]), NOISE, 1.0)
    print("with the conductivity known:", alone.parameter_std())
    print(post.trust_radius(["strength"], k=2, random=2))
    print(post.by_parameter(3))


if __name__ == "__main__":
    main()
