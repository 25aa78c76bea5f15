"""Two-layer linear autoencoders: all critical classes are known in closed form.

L = tr((I - W2 W1) S (I - W2 W1)'), n inputs, p units; a class is a set I of m <= p eigenvectors of
S (Baldi & Hornik 1989). Loss: sum of the eigenvalues not in I. Index: (p - m)(n - m) plus the pairs
i in I, j not in I with lambda_j > lambda_i. Nullity: m (2p - m), the orbit of GL(p).
"""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.errors import ConvergenceWarning

N, P = 6, 3
CLASSES = [c for m in range(P + 1) for c in itertools.combinations(range(N), m)]


def autoencoder(eigenvalues: Tensor, seed: int) -> tuple[hs.EmpiricalRisk, Tensor]:
    """The risk, and the eigenvectors of S in columns."""
    g = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(N, N, generator=g, dtype=torch.float64))[0]
    rows = eigenvalues.sqrt()[:, None] * basis.mT
    layers = nn.Linear(N, P, bias=False), nn.Linear(P, N, bias=False)
    risk = hs.EmpiricalRisk(nn.Sequential(*layers).double(), hs.SquaredError(), (rows, rows))
    return risk, basis


def point_of(chosen: tuple[int, ...], basis: Tensor, change: Tensor) -> Tensor:
    m = len(chosen)
    first = torch.zeros(P, N, dtype=torch.float64)
    first[:m] = basis[:, list(chosen)].mT
    return torch.cat([(change @ first).reshape(-1), (first.mT @ change.inverse()).reshape(-1)])


def expected(chosen: tuple[int, ...], eigenvalues: Tensor) -> tuple[float, int, int]:
    m, rest = len(chosen), [j for j in range(N) if j not in chosen]
    loss = float(eigenvalues[rest].sum())
    pairs = sum(bool(eigenvalues[j] > eigenvalues[i]) for i in chosen for j in rest)
    return loss, (P - m) * (N - m) + pairs, m * (2 * P - m)


SLOW = [(False, 1), (True, 0), (True, 1)]


def spectra() -> list[Tensor]:
    g = torch.Generator().manual_seed(5)
    random = torch.rand(N, generator=g, dtype=torch.float64) + 0.1
    return [random, torch.logspace(0, 6, N, dtype=torch.float64)]


@pytest.mark.parametrize(
    ("ill_conditioned", "seed"),
    [(False, 0), *(pytest.param(*p, marks=pytest.mark.slow) for p in SLOW)],
)
def test_all_classes(ill_conditioned: bool, seed: int) -> None:
    eigenvalues = spectra()[ill_conditioned]
    risk, basis = autoencoder(eigenvalues, seed)
    g = torch.Generator().manual_seed(100 + seed)
    assert len(CLASSES) == 42
    for chosen in CLASSES:
        # a random change of basis in the hidden layer, condition number about 10
        change = torch.linalg.qr(torch.randn(P, P, generator=g, dtype=torch.float64))[0]
        change = change @ torch.diag(torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64))
        theta = point_of(chosen, basis, change)
        noise = torch.randn(theta.shape, generator=g, dtype=torch.float64)
        found = hs.find_critical_point(risk, theta + 1e-7 * noise, rng=1)
        loss, index, nullity = expected(chosen, eigenvalues)
        assert found.kind == "critical", (chosen, found)
        assert abs(found.loss - loss) <= 1e-12 * float(eigenvalues.sum()), chosen
        assert found.index == index, (chosen, found.index)
        assert found.index.exact, (chosen, found.index)
        assert found.certificate.symmetry_zeros == nullity, chosen


def test_searches_that_know_no_class_end_in_one() -> None:
    eigenvalues = spectra()[0]
    risk, _ = autoencoder(eigenvalues, seed=0)
    energies = np.array([expected(c, eigenvalues)[0] for c in CLASSES])
    indices = np.array([expected(c, eigenvalues)[1] for c in CLASSES])
    seen = set()
    for seed in range(12):
        draw = torch.from_numpy(0.4 * np.random.default_rng(seed).standard_normal(risk.dim))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = hs.find_critical_point(risk, draw, rng=seed)
        if found.kind != "critical":
            continue
        nearest = int(np.abs(energies - found.loss).argmin())
        assert abs(energies[nearest] - found.loss) < 1e-12
        assert int(found.index) == indices[nearest]
        assert found.index.exact
        seen.add(nearest)
    assert len(seen) >= 4
