"""A convolutional network: `hessium spectrum hessium.examples.digits_cnn:make`.

What a training script leaves behind: a model of the digits with batch normalisation, a DataLoader
whose last batch is smaller, float32. `make` has 640 parameters, so that all eigenvalues are at
hand; `large` has more than a hundred thousand.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import hessium as hs


def network(first: int, second: int, third: int) -> nn.Module:
    """Three convolutions of these widths; 8 x 8 pixels become 4 x 4, then 2 x 2."""
    return nn.Sequential(
        nn.Conv2d(1, first, 3, padding=1), nn.BatchNorm2d(first), nn.ReLU(),
        nn.Conv2d(first, second, 3, padding=1), nn.BatchNorm2d(second), nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(second, third, 3, padding=1), nn.BatchNorm2d(third), nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(4 * third, 10),
    )  # fmt: skip


def make(
    widths: tuple[int, int, int] = (3, 4, 6), count: int = 200, epochs: int = 40
) -> hs.EmpiricalRisk:
    """The risk on the first images after training on them."""
    images, labels = load_digits(return_X_y=True)
    x = torch.as_tensor(images[:count] / 16.0, dtype=torch.float32).view(-1, 1, 8, 8)
    data = TensorDataset(x, torch.as_tensor(labels[:count]))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = network(*widths)
        loader = DataLoader(data, batch_size=64, shuffle=True)
        loss = nn.CrossEntropyLoss()
        optimiser = torch.optim.Adam(model.parameters(), lr=0.003)
        for _ in range(epochs):
            for inputs, targets in loader:
                optimiser.zero_grad()
                loss(model(inputs), targets).backward()
                optimiser.step()
    # the statistics of training are constants of the network that is measured
    model.eval()
    return hs.EmpiricalRisk(model, loss, DataLoader(data, batch_size=128))


def large() -> hs.EmpiricalRisk:
    """109,794 parameters, 600 images."""
    return make(widths=(32, 72, 128), count=600, epochs=5)
