"""A classifier of scikit-learn's digits: `hessium spectrum hessium.examples.digits:make`."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import nn

import hessium as hs


def make(width: int = 16, steps: int = 200, images: int = 600, seed: int = 0) -> hs.EmpiricalRisk:
    """The risk of a 64-16-10 tanh network after 200 steps of Adam on 600 images."""
    pixels, labels = load_digits(return_X_y=True)
    x = torch.as_tensor(pixels[:images] / 16.0, dtype=torch.float64)
    y = torch.as_tensor(labels[:images])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(64, width), nn.Tanh(), nn.Linear(width, 10)).double()
    loss = nn.CrossEntropyLoss()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(model(x), y).backward()
        optimiser.step()
    return hs.EmpiricalRisk(model, loss, (x, y))
