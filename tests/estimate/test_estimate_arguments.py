"""Every argument of every estimator refuses what it cannot mean: one sentence that names it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch

import hessium as hs
from hessium.errors import InputError
from hessium.linalg import as_operator
from support.chosen_spectra import with_eigenvalues

A = with_eigenvalues(np.linspace(0.5, 3, 40))
MEASURE = hs.spectral_measure(A, 2, 5)
TRACE = hs.trace(A, 20)
SUM = hs.log_determinant(A)
SPECTRUM = hs.spectrum(A)


class Words:
    """What no argument means."""

    def __repr__(self) -> str:
        return "Words()"


# name of an argument -> values that it refuses
WRONG: dict[str, list[Any]] = {
    "op": [None, "A", 3, [[1.0]], np.eye(3, dtype=object), np.eye(3, dtype=complex),
           torch.eye(3).to_sparse(), torch.zeros(3, 3, device="meta"), torch.eye(3).half(),
           torch.ones(3), torch.ones(2, 3), torch.full((2, 2), torch.nan), np.array([["a"]]),
           torch.tensor([[0.0, 1.0], [0.0, 0.0]]), scipy.sparse.eye_array(3)],
    "k": [0, -1, 41, 1.5, True, "a", None, Words()],
    "which": ["XX", None, 3],
    "method": ["best", None, 3],
    "tol": ["1e-6", "a", -1.0, 1.0, np.nan, np.inf, 1j, Words(), True],
    "tols": ["a", [2.0], [np.nan], [[0.1]], [], 1j, [None]],
    "start": ["a", 3, Words()],
    "probes": [0, -1, 1.5, True, "a", None, Words()],
    "matvecs": [0, -1, 1.5, True, "a", None, Words()],
    "steps": [0, -1, 1.5, True, "a", None, Words()],
    "deflate": [-1, 1.5, "a", None, Words()],
    "block": [0, 1.5, "a", None],
    "max_products": [0, 1.5, "a"],
    "until": [0.0, 1.0, "a", np.nan],
    "reorthogonalize": [0, 3, "a", None],
    "max_bytes": ["x", "8GiB", None, np.nan, np.inf, -1, 0, 1j, True, Words()],
    "confidence": [0.0, 1.0, 95, "a", None, np.nan, 1j],
    "shift": ["a", "1", None, np.nan, np.inf, 1j, Words()],
    "smallest": ["a", np.nan, 1j, -5.0],
    "rng": [-1, "a", 1.5, True],
    "checkpoint": [3, Words()],
    "checkpoint_every": [-1, "a", None, np.nan],
    "progress": [3, None, "a"],
    "a": ["a", np.nan, None, 1j],
    "b": ["a", np.nan, None, -1.0],
    "margin": ["a", -1, np.nan],
    "x": ["a", [np.nan], [1j], [None]],
    "width": ["a", 0.0, -1, np.nan, None],
    "linear": ["a", 0.0, -1, np.nan],
    "f": [3, "a"],
    "q": ["a", 2.0, np.nan, 1j],
    "order": [-1, 0.5, "a", None],
    "dim": [0, 0.5, "a"],
    "resolution": ["a", -1.0, np.nan],
    "unit": ["a", 0.0, np.nan],
    "num_matvecs": [-1, 0.5, "a"],
    "rank_bound": [-1, 0.5, "a"],
    "eigenvalues": ["a", [1j], [np.nan], [[1.0]], [None], []],
}  # fmt: skip
CALLS: dict[Callable[..., Any], dict[str, Any]] = {
    hs.spectrum: {"op": A},
    hs.rank: {"op": A},
    hs.inertia: {"op": A},
    hs.rank_profile: {"op": A},
    hs.eigenpairs: {"op": A, "k": 3},
    hs.spectral_measure: {"op": A},
    hs.trace: {"op": A, "matvecs": 30},
    hs.frobenius_norm: {"op": A, "matvecs": 30},
    hs.diagonal: {"op": A, "matvecs": 30},
    hs.log_determinant: {"op": A},
    hs.effective_dimension: {"op": A, "shift": 0.1},
    MEASURE.count: {"a": 0.0, "b": 1.0},
    MEASURE.cdf_band: {"x": [0.0]},
    MEASURE.density: {"x": [0.0], "width": 0.1},
    MEASURE.integral: {"f": abs},
    MEASURE.inertia: {},
    MEASURE.rank: {},
    MEASURE.rank_profile: {},
    SPECTRUM.rank_profile: {"tols": [1e-3]},
    TRACE.interval: {},
    SUM.interval: {},
    hs.diagonal(A, 20).interval: {},
    SPECTRUM.mass: {"a": 0.0, "b": 1.0},
    SPECTRUM.quantile: {"q": 0.5},
    SPECTRUM.moment: {"order": 1},
    hs.Spectrum.of: {"eigenvalues": [1.0]},
    as_operator: {"operator": A},
}


def failures() -> list[str]:
    """Where something else than one sentence of ours comes back."""
    found = []
    for call, good in CALLS.items():
        for name in inspect.signature(call).parameters:
            wrong = WRONG.get("op" if name == "operator" else name)
            if wrong is None and name != "nonnegative":
                found.append(f"{call.__qualname__}: no wrong values are known for {name}")
            for value in wrong or []:
                if value is None and name in (
                    "until",
                    "tols",
                    "linear",
                    "smallest",
                    "width",
                    "unit",
                    "resolution",
                ):
                    continue  # the default
                said = _said(call, {**good, name: value})
                if said:
                    found.append(f"{call.__qualname__}({name}={value!r}): {said}")
    return found


def _said(call: Callable[..., Any], arguments: dict[str, Any]) -> str:
    try:
        call(**arguments)
    except InputError as error:
        return "" if 10 < len(str(error)) < 400 and "\n" not in str(error) else str(error)
    except BaseException as error:
        return repr(error)
    return "accepted"


@pytest.mark.unchecked
def test_wrong_arguments() -> None:
    # a cheap call for each of about 700 wrong values
    assert failures() == []


def test_the_walk_notices_what_is_accepted_and_what_is_raw() -> None:
    """Control."""
    assert _said(hs.spectrum, {"op": A}) == "accepted"
    assert "ZeroDivisionError" in _said(lambda: 1 / 0, {})


@pytest.mark.parametrize("unit", [1e200, 1e-200])
def test_matrices_far_from_one(unit: float) -> None:
    values = np.linspace(1.0, 2.0, 60)
    matrix = torch.diag(torch.as_tensor(values)) * unit
    spectrum = hs.spectrum(matrix)
    np.testing.assert_allclose(spectrum.nodes / unit, values, rtol=1e-12)
    pairs = hs.eigenpairs(matrix, 2)
    assert pairs.values[0] / unit == pytest.approx(2.0, rel=1e-5)
    assert hs.rank(matrix) == 60
    for method in ("exact", "quadrature"):
        found = hs.log_determinant(matrix, method=method, steps=60)
        truth = float(np.log(values).sum() + 60 * np.log(unit))
        assert found.value == pytest.approx(truth, rel=1e-3)
    for estimate in (hs.trace, hs.diagonal, hs.frobenius_norm):
        with pytest.raises(InputError, match="divide the operator by"):
            estimate(matrix, 30)
    with pytest.raises(InputError, match="divide the operator by"):
        hs.frobenius_norm(matrix, method="exact")
    assert hs.trace(matrix, method="exact").value / unit == pytest.approx(90.0)
