"""Operators that are not quite what they say: counts are brackets that hold the truth, or refused.

Every operator is a matrix with half of its eigenvalues zero, and some defect far below what a check
of two products would refuse; counts of a matrix that was rounded so would be wrong by dozens.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

import hessium as hs
from hessium.errors import InputError
from hessium.estimate.inertia import Method
from support.chosen_spectra import with_eigenvalues
from support.risk_cases import draw

N = 80
EXACT = with_eigenvalues(np.concatenate([np.zeros(N // 2), np.linspace(1, 2, N // 2)]), seed=4)
SKEWED = torch.triu(draw(N, N, seed=5), 1) / N**0.5
LONE = draw(N, 2, seed=6) / N**0.5
Product = Callable[["Wrong", Tensor], Tensor]


class Wrong:
    """An operator of a user's own whose products go through `product`."""

    shape, device = (N, N), torch.device("cpu")

    def __init__(self, product: Product, dtype: torch.dtype = torch.float64) -> None:
        self.product, self.dtype = product, dtype
        self.calls = 0
        self.rng = np.random.default_rng(1)

    def __matmul__(self, vector: Tensor) -> Tensor:
        self.calls += 1
        return self.product(self, vector)

    def noise(self, size: float, vector: Tensor) -> Tensor:
        return size * vector.norm() * torch.as_tensor(self.rng.standard_normal(N)) / N**0.5


def noisy(size: float) -> Product:
    """Noise of that length beside a unit vector."""
    return lambda self, v: EXACT @ v + self.noise(size, v)


def skewed_by(size: float) -> Product:
    """Not symmetric."""
    return lambda self, v: EXACT @ v + size * (SKEWED @ v)


def inside(dtype: torch.dtype) -> Product:
    """Arithmetic in fewer digits."""
    rounded = EXACT.to(dtype)
    return lambda self, v: (rounded @ v.to(dtype)).to(v.dtype)


def once(call: int, size: float) -> Product:
    """A product that goes wrong, one time."""
    return lambda self, v: EXACT @ v + size * v.norm() * LONE[:, 0] * (self.calls == call)


KINDS: dict[str, Product] = {
    **{
        f"noise {size:g}": noisy(size)
        for size in (1e-12, 1e-10, 1e-9, 1e-8)
    },
    "noise in proportion": lambda self, v: (EXACT @ v) * (
        1 + 1e-9 * torch.as_tensor(self.rng.standard_normal(N))
    ),
    **{
        f"asymmetry {size:g}": skewed_by(size)
        for size in (1e-11, 1e-9, 1e-8)
    },
    "asymmetry of rank one": lambda self, v: EXACT @ v + 1e-9 * LONE[:, 0] * (LONE[:, 1] @ v),
    "float32": inside(torch.float32),
    "bfloat16": inside(torch.bfloat16),
    "once in a product of columns": once(37, 1e-3),
    "once, small": once(31, 1e-8),
    "not linear": lambda self, v: EXACT @ v + 1e-9 * v * v.abs(),
    "a counter": lambda self, v: EXACT @ v * (1 + 1e-10 * self.calls),
    "a counter added": lambda self, v: EXACT @ v + 1e-11 * self.calls * v,
}  # fmt: skip


def holds(count: hs.Count, truth: int) -> bool:
    return count.lower <= truth <= count.upper


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tol", [0.0, 1e-13, 1e-10, 1e-8])
def test_exact_counts(kind: str, tol: float) -> None:
    try:
        found = hs.inertia(Wrong(KINDS[kind]), tol, method="exact")
    except InputError:
        assert kind in ("float32", "bfloat16")
        return
    # at tol 0 rounding alone leaves zeros open
    assert holds(found.zero, N // 2)
    assert holds(found.negative, 0)
    assert holds(found.positive, N // 2)
    assert holds(found.rank, N // 2)


@pytest.mark.sampled
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::hessium.errors.ConvergenceWarning")
def test_counts_by_quadrature(kind: str) -> None:
    try:
        found = hs.inertia(
            Wrong(KINDS[kind]), 1e-10, method="quadrature", probes=3, steps=30, deflate=3
        )
    except InputError:
        assert kind in ("float32", "bfloat16")
        return
    assert holds(found.zero, N // 2)
    assert holds(found.negative, 0)
    assert holds(found.positive, N // 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::hessium.errors.ConvergenceWarning")
def test_residuals_and_spectra(kind: str) -> None:
    values = np.linalg.eigvalsh(EXACT)
    try:
        pairs = hs.eigenpairs(Wrong(KINDS[kind]), 4, tol=1e-10)
        measure = hs.spectrum(Wrong(KINDS[kind]))
    except InputError:
        assert kind in ("float32", "bfloat16")
        return
    near = np.abs(pairs.values[:, None] - values).min(axis=1)
    assert bool((near <= pairs.residuals).all())
    assert float(np.abs(measure.nodes - values).max()) <= measure.resolution


@pytest.mark.parametrize("method", ["exact", pytest.param("quadrature", marks=pytest.mark.slow)])
def test_a_sound_operator_is_not_blamed(method: Method) -> None:
    """Control: no defect opens nothing."""
    sound = hs.inertia(Wrong(lambda self, v: EXACT @ v), 1e-10, method=method)
    assert sound.resolution < 1e-13
    worst = hs.inertia(Wrong(KINDS["noise 1e-09"]), 1e-10, method=method)
    assert worst.resolution > 1e-9
    assert worst.zero.upper - worst.zero.lower > 10


@pytest.mark.parametrize(
    ("product", "word"),
    [
        (lambda self, v: EXACT @ v + self.noise(1e-6, v), "deterministic|must be equal"),
        (lambda self, v: EXACT @ v * (1 + 1e-3 * self.calls), "deterministic|must be equal"),
        (lambda self, v: EXACT @ v + 1e-3 * v.abs(), "linear|must be equal"),
        (lambda self, v: EXACT @ v + 1e-3 * v.norm() * LONE[:, 0], "linear|must be equal"),
        (inside(torch.float32), "linear|must be equal"),
        (lambda self, v: (EXACT @ v).numpy(), "its product is ndarray"),
        (lambda self, v: (EXACT @ v).float(), "float32"),
        (lambda self, v: (EXACT @ v)[:4], r"\(4,\)"),
        (lambda self, v: None, "NoneType"),
    ],
)
def test_gross_defects_are_refused(product: Product, word: str) -> None:
    with pytest.raises(InputError, match=word):
        hs.spectral_measure(Wrong(product))


def test_asymmetry_of_a_matrix_is_part_of_the_resolution() -> None:
    skewed = EXACT + 1e-9 * SKEWED
    found = hs.inertia(skewed, 1e-12)
    assert holds(found.zero, N // 2)
    assert not found.zero.exact
    # large enough to be factorised
    n = 600
    large = torch.diag(torch.cat([torch.zeros(n // 2), torch.ones(n // 2)]).double())
    skewed = large + 1e-9 * torch.triu(draw(n, n, seed=3), 1) / n**0.5
    assert holds(hs.inertia(skewed, 1e-12).zero, n // 2)
    assert hs.inertia(skewed, 1e-6).zero == n // 2
    assert hs.inertia(skewed, 1e-6).method == "ldl"
