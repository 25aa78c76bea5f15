"""Non-zero spectrum of the Gauss-Newton matrix through the Gram matrix, without a Jacobian."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import hessium as hs
from race import note, race

MILLION = """
import resource, time, torch, hessium as hs
from torch import nn
torch.manual_seed(0)
layers = nn.Linear(784, 1024), nn.Tanh(), nn.Linear(1024, 256), nn.Tanh(), nn.Linear(256, 10)
model = nn.Sequential(*layers).double()
data = torch.randn(100, 784).double(), torch.randint(0, 10, (100,))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
before, start = peak(), time.perf_counter()
risk = hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), data)
measure = hs.spectrum(hs.GaussNewton(risk))
rank = int((measure.nodes > 1e-9 * measure.nodes[-1]).sum())
print(risk.dim, rank, time.perf_counter() - start, peak() - before)
"""


@pytest.mark.parametrize("with_eigenvalues", [False, True])
def bench_gram_of_270k_parameters(with_eigenvalues: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(784, 256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, 10)
    )
    x, y = torch.randn(64, 784), torch.randint(0, 10, (64,))
    loss = nn.CrossEntropyLoss()
    risk = hs.EmpiricalRisk(model, loss, (x, y))
    parameters = dict(model.named_parameters())

    def matrix() -> Tensor:
        return hs.Gram(risk).dense()

    def eigenvalues() -> Tensor:
        return torch.linalg.eigvalsh(matrix())

    def gradient() -> Any:
        return torch.autograd.grad(loss(model(x), y), list(parameters.values()))

    def jacobian() -> Tensor:
        rows: Any = torch.func.jacrev(
            lambda values: torch.func.functional_call(model, values, (x,))
        )(parameters)
        J = torch.cat([rows[name].reshape(640, -1) for name in parameters], dim=1)
        columns = risk.loss.hessian(model(x), y).columns(0, 10, 64)
        J = torch.einsum("rnc,ncp->nrp", columns, J.view(64, 10, -1)).reshape(640, -1)
        return J @ J.mT / 64

    expected = jacobian()
    assert float((matrix() - expected).norm()) < 1e-5 * float(expected.norm())
    made = eigenvalues if with_eigenvalues else matrix
    what = "Gram matrix and its eigenvalues" if with_eigenvalues else "Gram matrix"
    contestants = {"hessium": made, "one gradient": gradient, "torch.func.jacrev": jacobian}
    race(f"{what}, 270k parameters, 640 rows", contestants, unit="one gradient")


def bench_million_parameters() -> None:
    def run() -> list[float]:
        done = subprocess.run(
            [sys.executable, "-c", MILLION], capture_output=True, text=True, check=True
        )
        return [float(word) for word in done.stdout.split()]

    dim, rank, seconds, gigabytes = run()
    assert dim >= 1e6
    assert rank == 900
    note(
        f"exact non-zero spectrum of H0, {dim:,.0f} parameters, 100 samples x 10 outputs: rank "
        f"{rank:.0f}, {seconds:.2f} s, {gigabytes:.2f} GiB above the start (goals: 60 s, 2 GiB)"
    )


class SmallGPT(nn.Module):
    """Two blocks of attention with a tied head, on 16 tokens of 32 kinds."""

    def __init__(self, width: int = 64, blocks: int = 2) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(32, width), nn.Embedding(16, width)
        self.blocks: Any = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm": nn.LayerNorm(width), "qkv": nn.Linear(width, 3 * width),
                    "mix": nn.Linear(width, width), "last": nn.LayerNorm(width),
                    "up": nn.Linear(width, 4 * width), "down": nn.Linear(4 * width, width),
                }
            )
            for _ in range(blocks)
        )  # fmt: skip
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 32, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        n, t = tokens.shape
        x = self.tokens(tokens) + self.places(torch.arange(t)[None])
        for block in self.blocks:
            q, k, v = block["qkv"](block["norm"](x)).view(n, t, 3, 4, -1).permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + block["mix"](mixed.transpose(1, 2).reshape(n, t, -1))
            x = x + block["down"](F.gelu(block["up"](block["last"](x))))
        return self.head(self.norm(x[:, -4:])).transpose(1, 2)


def image_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.GroupNorm(4, 32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip


def gram_risk(name: str) -> hs.EmpiricalRisk:
    torch.manual_seed(0)
    if name == "conv net":
        data = torch.randn(32, 3, 16, 16), torch.randint(0, 10, (32,))
        return hs.EmpiricalRisk(image_net(), nn.CrossEntropyLoss(), data)
    tokens = torch.randint(0, 32, (8, 17))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return hs.EmpiricalRisk(SmallGPT(), nn.CrossEntropyLoss(), (tokens[:, :-1], tokens[:, -4:]))


@pytest.mark.parametrize("name", ["conv net", "transformer"])
def bench_gram_of_real_layers(name: str) -> None:
    """Layer by layer against whole rows of the Jacobian, one backward pass for each."""
    risk = gram_risk(name)
    operator = hs.Gram(risk)
    rows = operator._from_rows(2**33)
    assert float((operator.dense() - rows).norm()) < 1e-5 * float(rows.norm())
    assert "layer-wise" not in risk.refuted
    contestants = {
        "hessium": operator.dense,
        "one gradient": risk.gradient,
        "whole rows": lambda: operator._from_rows(2**33),
    }
    title = f"Gram matrix, {name}, {risk.dim:,} parameters, {operator.shape[0]} rows"
    race(title, contestants, unit="one gradient", rounds=3)


def bench_gram_equals_dense() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 4)).double()
    data = torch.randn(40, 20).double(), torch.randint(0, 4, (40,))
    operator = hs.GaussNewton(hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), data))
    dense = torch.linalg.eigvalsh(operator.dense()).numpy()
    np.testing.assert_allclose(hs.spectrum(operator).nodes, dense, atol=1e-13 * dense[-1])
    race(
        "spectrum of H0, 754 parameters, 160 rows, through Gram",
        {
            "hessium": lambda: hs.spectrum(operator),
            "dense eigenvalues": lambda: torch.linalg.eigvalsh(operator.dense()),
        },
    )
