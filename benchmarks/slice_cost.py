"""What a slice of 51 x 51 points costs, in forward passes of its network.

Run: OMP_NUM_THREADS=1 python benchmarks/slice_cost.py [repetitions] [samples]. A convolutional
network of 98k parameters; the passes are `model(x)` with the loss and without gradients, each at
parameters of their own, which are copied in. Slices and passes take turns in one process; the
ratios are those of processor time. The last line is a network of 5k parameters against calls of
`risk.at(theta).value()`.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from torch import nn

import hessium as hs

NUM = 51


def convolutional(samples: int) -> tuple[nn.Module, nn.Module, torch.Tensor, torch.Tensor]:
    """A classifier of images of 16 x 16 in three colours, after 20 steps of Adam."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1024, 74), nn.ReLU(), nn.Linear(74, 10),
    )  # fmt: skip
    x, y = torch.randn(samples, 3, 16, 16), torch.arange(samples) % 10
    loss = nn.CrossEntropyLoss()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(20):
        optimiser.zero_grad()
        loss(model(x), y).backward()
        optimiser.step()
    return model, loss, x, y


def passes(model: nn.Module, loss: nn.Module, x: torch.Tensor, y: torch.Tensor, n: int) -> float:
    """Processor time of n forward passes with the loss, after parameters are copied in."""
    flat = nn.utils.parameters_to_vector(model.parameters()).detach()
    start = time.process_time()
    with torch.no_grad():
        for _ in range(n):
            nn.utils.vector_to_parameters(flat, model.parameters())
            float(loss(model(x), y))
    return time.process_time() - start


def main(repetitions: int, samples: int) -> None:
    """Print the ratios."""
    model, loss, x, y = convolutional(samples)
    dim = sum(p.numel() for p in model.parameters())
    columns = None
    ratios, rests = [], []
    for i in range(repetitions):
        risk = hs.EmpiricalRisk(model, loss, (x, y))  # a fresh one has its full self-check
        columns = hs.landscape.filter_normalised(risk, 2)
        before = passes(model, loss, x, y, NUM**2 // 4)
        start = time.process_time()
        hs.loss_slice(risk, columns, num=NUM)
        spent = time.process_time() - start
        start = time.process_time()
        hs.loss_slice(hs.EmpiricalRisk(model, loss, (x, y)), columns, num=3)
        rest = time.process_time() - start
        after = passes(model, loss, x, y, NUM**2 // 4)
        one = (before + after) / (2 * (NUM**2 // 4))
        ratios.append(spent / one / NUM**2)
        rests.append(rest / one)
        print(f"{i}: {ratios[-1]:.3f} of {NUM**2} passes of {1e3 * one:.2f} ms; with 3 x 3 points "
              f"{rests[-1]:.0f} passes")  # fmt: skip
    print(f"{dim} parameters, {samples} samples: median {np.median(ratios):.3f} "
          f"[{min(ratios):.3f}, {max(ratios):.3f}] times {NUM**2} passes")  # fmt: skip
    small()


def small() -> None:
    """A network of 5k parameters against single values."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 60), nn.Tanh(),
                          nn.Linear(60, 10)).double()  # fmt: skip
    x, y = torch.randn(64, 20, dtype=torch.float64), torch.arange(64) % 10
    risk = hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (x, y))
    columns = hs.landscape.filter_normalised(risk, 2)
    start = time.process_time()
    found = hs.loss_slice(risk, columns, num=NUM)
    spent = time.process_time() - start
    c = torch.from_numpy(np.stack(np.meshgrid(*found.coordinates, indexing="ij"), -1))
    moves = c.reshape(-1, 2)
    start = time.process_time()
    singly = [risk.at(risk.theta + columns @ move).value() for move in moves]
    each = time.process_time() - start
    error = np.abs(found.values.reshape(-1) / np.array(singly) - 1).max()
    print(f"{risk.dim} parameters: {each / spent:.1f} times faster than single values, largest "
          f"relative difference {error:.1g}")  # fmt: skip


if __name__ == "__main__":
    main(*(int(v) for v in sys.argv[1:]), *(3, 64)[len(sys.argv) - 1 :])
