"""A physics-informed loss by its terms: equation, boundary values and data.

    python -m hessium.examples.poisson_terms
    hessium spectrum hessium.examples.poisson_terms:make

kappa u'' = -2 pi^2 sin(pi x) on [0, 1] with u = 0 at both ends, an unknown conductivity kappa, and
six noisy measurements of u. The true conductivity is 2, where u = sin(pi x). The three terms have
their own points and weights. The table shows which term has which curvature before and after
training, where terms pull against each other, what L-BFGS has learnt, and how well kappa is known.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

import hessium as hs

NOISE = 0.02
WEIGHTS = {"equation": 1.0, "boundary": 100.0, "data": 10.0}


class Conductor(nn.Module):
    """A network for u, and the logarithm of the conductivity."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.u = nn.Sequential(
            nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )
        self.log_kappa = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Values of u at points (n, 1)."""
        values: Tensor = self.u(x)
        return values


def residual(model: nn.Module, points: Tensor) -> Tensor:
    """Kappa u'' + 2 pi^2 sin(pi x) at points (n, 1)."""
    assert isinstance(model, Conductor)
    x = points.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
    return model.log_kappa.exp() * bend + 2 * torch.pi**2 * torch.sin(torch.pi * x)


def terms(model: Conductor) -> hs.SumRisk:
    """The loss of the model as it is now."""
    inside = torch.linspace(0, 1, 22, dtype=torch.float64)[1:-1, None]
    ends = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    at = torch.linspace(0.1, 0.9, 6, dtype=torch.float64)[:, None]
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 1)))
    seen = torch.sin(torch.pi * at) + NOISE * noise
    mse = nn.MSELoss()
    return hs.SumRisk(
        {
            "equation": hs.EmpiricalRisk(
                model, mse, (inside, torch.zeros_like(inside)), forward=residual
            ),
            "boundary": hs.EmpiricalRisk(model, mse, (ends, torch.zeros_like(ends))),
            "data": hs.EmpiricalRisk(model, mse, (at, seen)),
        },
        WEIGHTS,
    )


def trained(steps: int = 300) -> tuple[Conductor, torch.optim.LBFGS]:
    """A network after some iterations of L-BFGS, and the optimiser."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Conductor().double()
    optimiser = torch.optim.LBFGS(
        model.parameters(), max_iter=steps, history_size=50, line_search_fn="strong_wolfe"
    )
    parts = [
        (WEIGHTS[name], term.batches, residual if name == "equation" else Conductor.__call__)
        for name, term in terms(model).terms.items()
    ]

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = torch.zeros((), dtype=torch.float64)
        for weight, batches, forward in parts:
            for x, y in batches():
                value = value + weight * nn.functional.mse_loss(forward(model, x), y)
        value.backward()
        return value

    if steps:
        optimiser.step(closure)
    return model, optimiser


def make() -> hs.SumRisk:
    """The risk after training."""
    return terms(trained()[0])


def main() -> None:
    """The terms before and after training, the optimiser's spectrum, and kappa."""
    for steps in (0, 300):
        model, optimiser = trained(steps)
        risk = terms(model)
        found = hs.compare.terms(risk)
        print(f"after {steps} iterations: loss {risk.value():.3g}")
        print(found)
        for a, b, cosine in found.opposed():
            print(f"gradients of {a} and {b}: cosine {cosine:.2f}")
        for a, b, down, up in found.conflicts()[:3]:
            print(f"where {a} has its most negative curvature {down:.2g}, {b} has {up:.2g}")
        print("stiffest direction:", found.pairs.by_parameter().by_layer(), "\n")
    H = hs.Hessian(risk)
    plain, learnt = hs.spectrum(H).nodes, hs.spectrum(hs.precondition(H, optimiser)).nodes
    print("largest eigenvalue over the tenth: ", f"{plain[-1] / plain[-10]:.3g} as it is,",
          f"{learnt[-1] / learnt[-10]:.3g} as L-BFGS sees it")  # fmt: skip
    # of a measurement of each term, as the weights per point say beside the noise of the data
    per_point = {name: WEIGHTS[name] / term.num_outputs for name, term in risk.terms.items()}
    noise = {name: NOISE * (per_point["data"] / one) ** 0.5 for name, one in per_point.items()}
    post = hs.GaussNewtonPosterior(risk, noise=noise, prior_precision=1e-2)
    print("log kappa:", f"{float(model.log_kappa.detach()):.3f}",
          f"+- {post.parameter_std(['log_kappa'])[0]:.3f}; true: {np.log(2):.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
