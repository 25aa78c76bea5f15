"""A cantilever beam with 12 deflection samples: what they determine, and where to measure next.

    python -m hessium.examples.beam
    hessium identify hessium.examples.beam:question

The flexural rigidity EI(x) = exp(s(x)) is unknown, with s piecewise linear on nine knots. The
deflection under a uniform load follows from two integrations of M(x) / EI(x). The samples lie on
the half near the support, the wanted deflections everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import hessium as hs

NOISE = 0.002  # metres
PRIOR = 4.0  # precision of s at a knot: s is known to about 0.5 beforehand
GRID = 200


class Beam(nn.Module):
    """Deflection in metres at positions x in [0, 1], for a beam that is fixed at x = 0."""

    grid: Tensor

    def __init__(self, knots: int = 9) -> None:
        super().__init__()
        self.log_rigidity = nn.Parameter(torch.zeros(knots, dtype=torch.float64))
        self.register_buffer("grid", torch.linspace(0, 1, GRID + 1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Positions (n, 1) to deflections (n, 1)."""
        moment = 0.5 * (1 - self.grid) ** 2
        bend = moment * torch.exp(-_interpolated(self.log_rigidity, self.grid))
        slope = _integral(bend)
        return _interpolated(_integral(slope), x[:, 0])[:, None]


def _interpolated(values: Tensor, at: Tensor) -> Tensor:
    """Piecewise linear on equidistant knots of [0, 1]."""
    position = at * (len(values) - 1)
    left = position.detach().floor().clamp(0, len(values) - 2).long()
    share = position - left
    return values[left] * (1 - share) + values[left + 1] * share


def _integral(values: Tensor) -> Tensor:
    """Trapezoidal rule from 0 to every point of the grid."""
    steps = (values[1:] + values[:-1]) / (2 * GRID)
    return torch.cat([values.new_zeros(1), steps.cumsum(0)])


def fitted(beam: Beam, x: Tensor, y: Tensor, noise: float = NOISE) -> Beam:
    """The maximum of the posterior by Gauss-Newton steps, in place."""
    theta = beam.log_rigidity
    for _ in range(20):
        residual = y - beam(x)
        rows = [torch.autograd.grad(f, theta, retain_graph=True)[0] for f in beam(x).flatten()]
        J = torch.stack(rows)
        precision = J.mT @ J / noise**2 + PRIOR * torch.eye(len(theta), dtype=theta.dtype)
        slope = J.mT @ residual.detach()[:, 0] / noise**2 - PRIOR * theta.detach()
        step = torch.linalg.solve(precision, slope)
        with torch.no_grad():
            theta.add_(step)
        if float(step.norm()) < 1e-10:
            break
    return beam


def data(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Twelve samples of a beam that is softer towards its end."""
    x = torch.linspace(0.05, 0.5, 12, dtype=torch.float64)[:, None]
    beam = Beam()
    with torch.no_grad():
        beam.log_rigidity.copy_(0.5 * torch.cos(3 * torch.linspace(0, 1, 9)))
        clean = beam(x)
    noise = np.random.default_rng(seed).standard_normal((12, 1))
    return x, clean + NOISE * torch.from_numpy(noise)


def make(seed: int = 0) -> hs.EmpiricalRisk:
    """The fitted beam with its samples."""
    x, y = data(seed)
    return hs.EmpiricalRisk(fitted(Beam(), x, y), hs.SquaredError(), (x, y))


def question() -> tuple[hs.EmpiricalRisk, dict[str, Any]]:
    """What `hessium identify` is asked: the fitted beam, and arguments of `hs.identify`."""
    return make(), {
        "noise": NOISE,
        "prior_precision": PRIOR,
        "inputs": {"x": "m"},
        "outputs": {"deflection": "m"},
        "candidates": torch.linspace(0.02, 1.0, 50, dtype=torch.float64)[:, None],
    }


def main() -> None:
    """What the samples say."""
    post = hs.GaussNewtonPosterior(make(), noise=NOISE, prior_precision=PRIOR)
    print(post)
    print(post.parameters().to_dataframe())
    candidates = torch.linspace(0.05, 1.0, 20, dtype=torch.float64)[:, None]
    print("deflection in mm:", np.round(1e3 * post.prediction_std(candidates)[:, 0], 2))
    design = post.design(candidates, 3, criterion="A")
    print("measure next at x =", candidates[design.indices, 0].tolist())
    print(design)
    print(post.trust_radius())


if __name__ == "__main__":
    main()
