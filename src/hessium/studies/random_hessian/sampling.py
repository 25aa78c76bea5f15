"""The random matrices behind the laws, and the three computations on them.

Kept apart from words and charts, so that a changed sentence recomputes nothing.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import brentq

from hessium._typing import FloatArray
from hessium.runs.experiment import Result, Task
from hessium.theory import goe, hessian_law, product_wishart, wishart

MODELS = {"linear": "without activation", "relu": "ReLU"}
"""The two models of Pennington & Bahri (2017), with their names on the pages."""


def parts(task: Task, size: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """H0 and H1 at energy one, of size `size`: H at an energy is H0 + sqrt(energy) H1.

    H0 is Wishart. H1 is GOE of variance 2 ("linear") or one block of the ReLU residual ("relu"),
    with as many samples as make the ratio; sizes are even.
    """
    samples = round(size / task["ratio"])
    first = wishart(size, samples, rng=rng)
    if task["activation"] == "linear":
        return first, goe(size, 2.0, rng)
    return first, product_wishart(size // 2, samples, 1.0, rng)


def _generator(task: Task) -> np.random.Generator:
    # each case has a stream of its own, so that cases are independent
    millionths = [round(1e6 * task[name]) for name in ("ratio", "energy") if name in task]
    return np.random.default_rng([task["seed"], len(task["activation"]), *millionths])


def spectra(task: Task) -> Result:
    """Eigenvalues of one draw at each of the sizes."""
    rng, found = _generator(task), {}
    for size in task["sizes"]:
        first, second = parts(task, size, rng)
        matrix = first + np.sqrt(task["energy"]) * second
        found[f"size{size}"] = np.linalg.eigvalsh(matrix)
    return found


def negatives(task: Task) -> Result:
    """Negative eigenvalues of one draw at each of the sizes, shape (sizes,)."""
    found = spectra(task)
    counts = [int((found[f"size{size}"] < 0).sum()) for size in task["sizes"]]
    return {"negatives": np.array(counts, dtype=np.float64)}


def critical(task: Task) -> Result:
    """The energy at which the smallest eigenvalue is zero: of the law, or of one draw."""
    return {"energy": _of_law(task) if "seed" not in task else _of_matrices(task)}


def _of_law(task: Task) -> FloatArray:
    """No closed form enters: the root of the lower edge as a function of the energy."""

    def edge(log_energy: float) -> float:
        law = hessian_law(float(np.exp(log_energy)), task["ratio"], task["activation"])
        return law.support()[0]

    root = brentq(edge, np.log(1e-15), np.log(1e3), xtol=1e-14, rtol=1e-14)
    return np.array([np.exp(root)])


def _of_matrices(task: Task) -> FloatArray:
    """H0 + t H1 becomes singular first at t = -1/lambda_min(L^-1 H1 L^-T), H0 = L L^T."""
    rng, found = _generator(task), []
    for size in task["sizes"]:
        first, second = parts(task, size, rng)
        factor = cholesky(first, lower=True)
        half = solve_triangular(factor, second, lower=True)
        white = solve_triangular(factor, half.T, lower=True)
        found.append(1 / np.linalg.eigvalsh(white)[0] ** 2)
    return np.array(found)
