"""Logistic growth: which of three parameters do early samples determine?

    python -m hessium.examples.logistic_growth
    hessium identify hessium.examples.logistic_growth:question

The equation u' = r u (1 - u / K) is solved by Runge-Kutta steps. Samples taken before saturation
determine the initial value with a standard error of 4 % and the capacity K with 17 %; for K the
coverage check warns that the interval of the linear model is not reliable.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import hessium as hs

STEP = 0.25


class Growth(nn.Module):
    """Population at times (n, 1), which are multiples of a quarter."""

    def __init__(self, rate: float = 1.0, capacity: float = 2.0, start: float = 0.2) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(rate, dtype=torch.float64))
        self.capacity = nn.Parameter(torch.tensor(capacity, dtype=torch.float64))
        self.start = nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def forward(self, times: Tensor) -> Tensor:
        """Runge-Kutta steps of fourth order."""
        index = (times[:, 0] / STEP).round().long()
        u: Tensor = self.start
        history: list[Tensor] = [u]
        for _ in range(int(index.max())):
            k1 = self._slope(u)
            k2 = self._slope(u + STEP / 2 * k1)
            k3 = self._slope(u + STEP / 2 * k2)
            k4 = self._slope(u + STEP * k3)
            u = u + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            history.append(u)
        return torch.stack(history)[index][:, None]

    def _slope(self, u: Tensor) -> Tensor:
        return self.rate * u * (1 - u / self.capacity)


def make(last: float = 8.0, samples: int = 16, noise: float = 0.02) -> hs.EmpiricalRisk:
    """The model fitted to noisy samples up to a time, by L-BFGS."""
    quarters = torch.linspace(1, last / STEP, samples).round().double()
    times = (quarters * STEP)[:, None]
    with torch.no_grad():
        clean = Growth()(times)
    y = clean + noise * torch.from_numpy(np.random.default_rng(1).standard_normal((samples, 1)))
    model, loss = Growth(), hs.SquaredError()
    optimiser = torch.optim.LBFGS(
        model.parameters(), max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(model(times), y)
        value.backward()
        return value

    optimiser.step(closure)
    return hs.EmpiricalRisk(model, loss, (times, y))


def question() -> tuple[hs.EmpiricalRisk, dict[str, Any]]:
    """What `hessium identify` is asked of early samples: which parameters, and when next?"""
    return make(2.0), {
        "units": {"rate": "1/day", "capacity": "g/l", "start": "g/l"},
        "inputs": {"t": "day"},
        "outputs": {"population": "g/l"},
        "candidates": torch.arange(1, 41, dtype=torch.float64)[:, None] * STEP,
    }


def main() -> None:
    """Early and late samples beside each other."""
    for last in (8.0, 2.0):
        post = hs.GaussNewtonPosterior(make(last))
        print(f"samples up to t = {last:g}: {post}")
        print(post.identifiable(["rate", "capacity", "start"]))
        print(post.trust_radius(k=0, random=0))
        print(post.profile_likelihood("capacity"))
        later = torch.arange(1, 41, dtype=torch.float64)[:, None] * STEP
        best = post.next_measurements(later, 3)
        print("measure next at t =", later[best, 0].tolist(), "\n")


if __name__ == "__main__":
    main()
