"""Sharpness while a network trains
================================

Gradient descent with a large step: the sharpness rises until it reaches 2 / lr and stays
there.
"""

import torch
from torch import nn

import hessium as hs

torch.manual_seed(0)
x = torch.linspace(-2, 2, 40, dtype=torch.float64)[:, None]
y = torch.sin(2 * x)
model, loss = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1)).double(), nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.15)
monitor = hs.Monitor(model, loss, (x, y), optimizer, every=25, bound_steps=15)
for _ in range(1500):
    optimizer.zero_grad()
    loss(model(x), y).backward()
    optimizer.step()
    monitor.step()
monitor.plot()
