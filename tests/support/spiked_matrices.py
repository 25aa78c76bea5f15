"""Matrices with and without spikes whose laws are known, for fits and their coverage."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessium.theory import (
    MarchenkoPastur,
    Semicircle,
    goe,
    relu_hessian,
    relu_residual,
    spiked,
    wishart,
    wishart_wigner,
)

ENERGY, RATIO, SCALE = 0.1, 0.5, 1.0
LAW = wishart_wigner(ENERGY, RATIO, SCALE)


def matrix(n: int, rng: np.random.Generator) -> Any:
    """Wishart + Wigner of the law above."""
    return wishart(n, round(n / RATIO), SCALE, rng) + goe(n, 2 * ENERGY, rng)


def factor(n: int, m: int, count: int, kind: str, rng: np.random.Generator) -> Any:
    """A factor of normal entries with signals of 1.8 times the critical size, or rows as large."""
    drawn, ratio, steps = rng.standard_normal((n, m)), n / m, np.arange(count)
    if kind == "signal":
        left, right = (np.linalg.qr(rng.standard_normal((d, count)))[0] for d in (n, m))
        return drawn + (left * (m**0.5 * ratio**0.25 * (1.8 + 0.5 * steps))) @ right.T
    if kind == "population":
        drawn[:count] *= np.sqrt(1 + ratio**0.5 * (3 + 2 * steps))[:, None]
    return drawn


def spiky(
    family: str, ratio: float, count: int, kind: str, rng: np.random.Generator, n: int = 120
) -> tuple[Any, dict[str, float]]:
    """Eigenvalues of a matrix with spikes 1.8 times the critical ones and more, and the truth."""
    if family == "relu-residual":
        return _residual(ratio, count, kind, rng, n)
    m = round(n / ratio)
    ratio = n / m
    drawn = factor(n, m, count, kind, rng)
    own = drawn @ drawn.T / m
    truth = {"scale": 1.0, "ratio": ratio}
    law: Any = MarchenkoPastur(ratio=ratio)
    if family == "wishart-wigner":
        own, law = own + goe(n, 0.2, rng), wishart_wigner(0.1, ratio)
        truth |= {"energy": 0.1}
    elif family == "relu":
        own, law = own + relu_residual(0.2, ratio).matrix(n, rng), relu_hessian(0.2, ratio)
        truth |= {"energy": 0.2}
    elif family == "semicircle":
        law, truth = Semicircle(variance=0.3), {"variance": 0.3}
        own = goe(n, 0.3, rng)
    return np.linalg.eigvalsh(_added(own, law, count, kind, rng)), truth


def _residual(
    ratio: float, count: int, kind: str, rng: np.random.Generator, n: int
) -> tuple[Any, dict[str, float]]:
    """A difference of two Wishart matrices, with spikes in the factor of the first."""
    half = round(n / (2 * ratio))
    ratio = n / (2 * half)
    law = relu_residual(1.0, ratio)
    one, two = factor(n, half, count, kind, rng), rng.standard_normal((n, half))
    own = ratio / 2**0.5 / n * (one @ one.T - two @ two.T)
    truth = {"ratio": ratio, "energy": 1.0}
    return np.linalg.eigvalsh(_added(own, law, count, kind, rng)), truth


def _added(own: Any, law: Any, count: int, kind: str, rng: np.random.Generator) -> Any:
    if kind != "added" or not count:
        return own
    critical = 1 / float(law.stieltjes(law.support()[1] * (1 + 1e-9)).real)
    return spiked(own, (critical * (1.8 + 0.4 * np.arange(count))).tolist(), rng)[0]
