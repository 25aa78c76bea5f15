"""A classifier of scikit-learn's digits: `hessium spectrum examples/digits.py:make`."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import nn

import hessium as hs


def make() -> hs.EmpiricalRisk:
    """The risk of a 64-16-10 tanh network after 200 steps of Adam on 600 images."""
    images, labels = load_digits(return_X_y=True)
    x = torch.as_tensor(images[:600] / 16.0, dtype=torch.float64)
    y = torch.as_tensor(labels[:600])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10)).double()
    loss = nn.CrossEntropyLoss()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(200):
        optimiser.zero_grad()
        loss(model(x), y).backward()
        optimiser.step()
    return hs.EmpiricalRisk(model, loss, (x, y))
