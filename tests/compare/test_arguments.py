"""Every public function of `hessium.compare` with arguments of the wrong kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hessium as hs
from hessium import compare
from hessium.compare.normality import critical
from hessium.errors import InputError
from hessium.theory import Semicircle, goe

VALUES = np.linalg.eigvalsh(goe(30, rng=0))
LAW = Semicircle(variance=1.0)
MATRICES = torch.tensor(goe(8, rng=1)), torch.tensor(goe(8, rng=2))
torch.manual_seed(0)
RISK = hs.EmpiricalRisk(
    nn.Linear(3, 2, bias=False).double(),
    hs.SquaredError(),
    (torch.randn(9, 3, dtype=torch.float64), torch.randn(9, 2, dtype=torch.float64)),
)
ESTIMATE = hs.spectral_measure(torch.tensor(goe(30, rng=3)), probes=2, steps=6, rng=0)

NO_SPECTRA: dict[str, Any] = {
    "None": None,
    "text": "abc",
    "texts": ["a", "b"],
    "matrix": np.eye(12),
    "number": 1.0,
    "complex": np.arange(12) + 1j,
    "NaN": np.append(VALUES, np.nan),
    "infinite": np.append(VALUES, np.inf),
    "empty": [],
    "booleans": [True, False] * 10,
    "ragged": [[1.0], [2.0, 3.0]],
    "a function": np.sin,
    "a law": LAW,
    "differentiable": torch.zeros(3, requires_grad=True),
}
OF_SPECTRA: dict[str, Callable[[Any], Any]] = {
    "cumulants": compare.cumulants,
    "distance": lambda x: compare.distance(x, LAW),
    "distance of two": lambda x: compare.distance(x, VALUES),
    "distance, second": lambda x: compare.distance(VALUES, x),
    "fit": compare.fit,
    "fit of one parameter": lambda x: compare.fit(x, "semicircle"),
    "nonzero": compare.nonzero,
    "normality": compare.normality,
    "outliers": lambda x: compare.outliers(x, LAW),
}


NO_OPERATORS: dict[str, Any] = {
    "None": None,
    "text": "abc",
    "number": 1.0,
    "a function": np.sin,
    "list": [1.0, 2.0],
    "a law": LAW,
    "oblong": torch.ones(2, 3),
}


def _levels_of_sectors(x: Any) -> Any:
    sectors: Any = 5 if x is None else x
    return compare.levels(MATRICES[0], sectors=sectors)


OF_OPERATORS: dict[str, Callable[[Any], Any]] = {
    "levels": compare.levels,
    "levels, sectors": _levels_of_sectors,
    "freeness": lambda x: compare.freeness(x, MATRICES[0]),
    "freeness, second": lambda x: compare.freeness(MATRICES[0], x),
    "mixed_moments": lambda x: compare.mixed_moments(x, MATRICES[0]),
    "assumptions": compare.assumptions,
    "ranks": compare.ranks,
    "symmetries": compare.symmetries,
}
NUMBERS: dict[str, Callable[[Any], Any]] = {
    "cumulants count": lambda v: compare.cumulants(VALUES, count=v),
    "cumulants beta": lambda v: compare.cumulants(VALUES, beta=v),
    "cumulants size": lambda v: compare.cumulants(VALUES, size=v),
    "distance draws": lambda v: compare.distance(VALUES, LAW, draws=v),
    "distance beta": lambda v: compare.distance(VALUES, VALUES, beta=v),
    "distance size": lambda v: compare.distance(VALUES, LAW, size=v),
    "distance rng": lambda v: compare.distance(VALUES, LAW, draws=2, rng=v),
    "fit confidence": lambda v: compare.fit(VALUES, "semicircle", confidence=v),
    "fit beta": lambda v: compare.fit(VALUES, "semicircle", beta=v),
    "fit fixed": lambda v: compare.fit(VALUES, fixed={"energy": v}),
    "fit family": lambda v: compare.fit(VALUES, v),
    "fit spikes": lambda v: compare.fit(VALUES, spikes=v),
    "outliers alpha": lambda v: compare.outliers(VALUES, LAW, alpha=v),
    "outliers beta": lambda v: compare.outliers(VALUES, LAW, beta=v),
    "nonzero tol": lambda v: compare.nonzero(VALUES, v),
    "levels tol": lambda v: compare.levels(MATRICES[0], tol=v),
    "freeness rotations": lambda v: compare.freeness(*MATRICES, rotations=v),
    "mixed_moments probes": lambda v: compare.mixed_moments(*MATRICES, probes=v),
    "assumptions alpha": lambda v: compare.assumptions(RISK, alpha=v),
    "assumptions draws": lambda v: compare.assumptions(RISK, draws=v),
    "assumptions rotations": lambda v: compare.assumptions(RISK, rotations=v),
    "assumptions tol": lambda v: compare.assumptions(RISK, tol=v),
    "ranks tol": lambda v: compare.ranks(RISK, v),
    "symmetries tol": lambda v: compare.symmetries(RISK, tol=v),
    "critical alpha": critical,
}


NO_NUMBERS = {"text": "abc", "list": [1.0], "complex": 1j, "NaN": np.nan, "negative": -1.0}
OF_LAWS: dict[str, Callable[[Any], Any]] = {
    "outliers": lambda x: compare.outliers(VALUES, x),
    "cumulants": lambda x: compare.cumulants(VALUES, law=x),
}
NO_LAWS = {"text": "semicircle", "number": 1.0, "list": VALUES, "matrix": np.eye(2)}
RIGHT = {("normality", "matrix"), ("distance, second", "a law")}  # these are allowed
WALKS = (
    (OF_SPECTRA, NO_SPECTRA),
    (OF_OPERATORS, NO_OPERATORS),
    (NUMBERS, NO_NUMBERS),
    (OF_LAWS, NO_LAWS),
)


def walk() -> list[str]:
    """What was not refused, in words."""
    wrong = []
    for functions, arguments in WALKS:
        for name, function in functions.items():
            for kind, argument in arguments.items():
                if (name, kind) in RIGHT:
                    continue
                try:
                    function(argument)
                except InputError:
                    continue
                except Exception as error:
                    wrong.append(f"{name}, {kind}: {type(error).__name__} {error}"[:200])
                else:
                    wrong.append(f"{name}, {kind}: accepted")
    return wrong


@pytest.mark.unchecked
def test_wrong_arguments_are_input_errors() -> None:
    assert sum(len(functions) * len(arguments) for functions, arguments in WALKS) > 250
    assert walk() == []


@pytest.mark.parametrize(
    "function",
    [
        compare.fit,
        lambda x: compare.outliers(x, LAW),
        compare.levels,
        lambda x: compare.distance(x, LAW, draws=3),
        lambda x: compare.distance(x, LAW, size=29),
        lambda x: compare.distance(compare.nonzero(x), LAW),
    ],
)
def test_estimates_are_refused_where_eigenvalues_are_required(
    function: Callable[[Any], Any],
) -> None:
    with pytest.raises(InputError, match=r"Spectrum|DiscreteMeasure"):
        function(ESTIMATE)
    assert compare.distance(ESTIMATE, LAW).p_value > 0


@pytest.mark.sampled
@pytest.mark.parametrize(
    "values",
    [
        np.geomspace(1e-300, 1e-290, 20),
        np.geomspace(1e100, 1e300, 20),
        pytest.param(np.geomspace(1e-12, 1e12, 40), marks=pytest.mark.slow),
        np.append(np.zeros(30), [1.0, 2.0, 3.0]),
        np.append(np.zeros(30), 1.0),
        np.repeat([0.0, 1.0], 10),
        np.repeat([1.0, 2.0], 10),
        np.append(np.ones(19), 1 + 1e-15),
        -np.arange(1.0, 30.0),
        np.arange(30.0) + 1e9,
        np.tan(np.linspace(-1.57, 1.57, 60)),
        np.sinh(np.linspace(-12, 12, 41)),
    ],
)
@pytest.mark.parametrize("family", ["marchenko-pastur", "semicircle"])
def test_odd_spectra_are_refused_or_rejected(values: Any, family: str) -> None:
    try:
        found = compare.fit(values, family)
    except InputError:
        return
    assert found.verdict.startswith(("rejected", "not "))
    assert all(np.isfinite(one.value) for one in found.parameters.values())
