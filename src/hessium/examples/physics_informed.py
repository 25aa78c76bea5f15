"""A physics-informed network: `hessium spectrum hessium.examples.physics_informed:make`.

The equation is u'' = -pi^2 sin(pi x) on [0, 1] with u(0) = u(1) = 0. Its residuals are the outputs,
so the loss is a sum of squares of outputs, and H = H0 + H1 as for any regression. However many
parameters the network has, H0 has no more non-zero eigenvalues than there are residuals: `large`
has 132,353 parameters and 32 residuals.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

import hessium as hs


class PoissonResiduals(nn.Module):
    """Residual of the equation at interior points, and of the boundary values."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for d_in, d_out in itertools.pairwise((1, *widths)):
            layers += [nn.Linear(d_in, d_out), nn.Tanh()]
        self.network = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, points: Tensor) -> Tensor:
        """One residual for each point, then the two ends."""
        x = points.detach().clone().requires_grad_()
        u = self.network(x)
        (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        (bend,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
        equation = bend + torch.pi**2 * torch.sin(torch.pi * x)
        ends = self.network(torch.tensor([[0.0], [1.0]], dtype=x.dtype))
        return torch.cat([equation, 10.0 * ends])


def make(widths: tuple[int, ...] = (16, 16), steps: int = 300) -> hs.EmpiricalRisk:
    """The risk after training with L-BFGS on 30 points."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = PoissonResiduals(*widths).double()
    points = torch.linspace(0, 1, 32, dtype=torch.float64)[1:-1, None]
    targets = torch.zeros(32, 1, dtype=torch.float64)
    loss = hs.SquaredError()
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(model(points), targets)
        value.backward()
        return value

    optimiser.step(closure)
    return hs.EmpiricalRisk(model, loss, (points, targets))


def large() -> hs.EmpiricalRisk:
    """The same with three hidden layers of 256."""
    return make(widths=(256, 256, 256), steps=100)
