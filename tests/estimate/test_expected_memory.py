"""The memory that is stated before a call, beside what the process takes in it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import hessium as hs
from hessium.errors import InputError
from support.child_memory import needs_status, numbers_of
from support.risk_cases import classes, draw, mlp

CALLS = {
    "eigenpairs": "hs.eigenpairs, H, 10, tol=1e-12, max_products=150",
    "limited": "hs.eigenpairs, H, 10, tol=1e-12, max_products=70, max_bytes=80 * 2**20",
    "spectral_measure": "hs.spectral_measure, H, 1, 110",
    "deflated": "hs.spectral_measure, H, 1, 20, deflate=8",
}
PROGRAM = """
import warnings
import torch
from torch import nn
import hessium as hs

warnings.simplefilter("ignore")
torch.manual_seed(0)
layers = nn.Linear(500, 600), nn.Tanh(), nn.Linear(600, 300), nn.Tanh(), nn.Linear(300, 10)
net = nn.Sequential(*layers)
data = torch.randn(32, 500), torch.randint(0, 10, (32,))
H = hs.Hessian(hs.EmpiricalRisk(net, nn.CrossEntropyLoss(), data))
expected = hs.expected_memory({call})
H.prepare(150)
before = memory("VmRSS")
def run(work, *args, **options):
    work(*args, **options)
run({call})
peak = memory("VmHWM")
# the graphs are part of what was stated, and cached by now
print(expected.total, peak - before + H.product_bytes, H.shape[0] * 4)
"""


@needs_status
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == "limited" else pytest.mark.slow) for name in CALLS],
)
def test_a_call_takes_what_was_stated(name: str) -> None:
    expected, taken, vector = numbers_of(PROGRAM.replace("{call}", CALLS[name]))
    # the allocator keeps up to a few vectors
    assert 0.7 * expected <= taken <= 1.1 * expected + 2 * vector


def operator() -> hs.Hessian:
    risk = hs.EmpiricalRisk(
        mlp(6, 12, 3), nn.CrossEntropyLoss(), (draw(30, 6), classes(30, high=3))
    )
    return hs.Hessian(risk)


def test_products_count_graphs_and_bases_count_vectors() -> None:
    H = operator()
    n, size = H.shape[0], H.dtype.itemsize
    found = hs.expected_memory(hs.spectral_measure, H, 1, 20)
    assert found.basis == (20 + 5) * n * size
    assert found.products >= H._products.graphs.nbytes + 3 * n * size
    assert found.total == found.basis + found.products
    both = hs.expected_memory(hs.spectral_measure, 2 * H + torch.eye(n, dtype=H.dtype), 1, 20)
    assert both.basis == found.basis
    assert both.products > found.products
    matrix = hs.expected_memory(hs.spectral_measure, H.dense(), 1, 20)
    assert (matrix.basis, matrix.products) == (found.basis, 0)


def test_the_limit_is_a_limit() -> None:
    H = operator()
    most = hs.expected_memory(hs.eigenpairs, H, 3)
    less = hs.expected_memory(hs.eigenpairs, H, 3, max_bytes=most.basis // 2)
    assert less.basis <= most.basis // 2
    with pytest.raises(InputError, match=r"max_bytes: .* 3 eigenpairs of an operator of size"):
        hs.expected_memory(hs.eigenpairs, H, 3, max_bytes=H.shape[0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((hs.trace,), "estimator: .* hs.eigenpairs or hs.spectral_measure is required"),
        ((hs.eigenpairs,), "arguments: missing a required argument: 'k'"),
        ((hs.eigenpairs, 10**6), "k: 1000000; 1 <= k <="),
        ((hs.spectral_measure, 0), "probes: 0"),
    ],
)
def test_bad_arguments(arguments: tuple[Any, ...], words: str) -> None:
    estimator, *others = arguments
    with pytest.raises(InputError, match=words):
        hs.expected_memory(estimator, operator(), *others)
