"""Defaults are part of the interface, as in tests/estimate/test_defaults.py."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from hessium.linalg import SymmetricOperator
from hessium.linalg.krylov import KrylovSpace
from hessium.linalg.lanczos import LanczosProcess, lanczos_steps
from hessium.linalg.ldl import ShiftedLDL
from hessium.linalg.minres import minres
from hessium.linalg.operator import Combination, DenseOperator
from hessium.spectra import Spectrum

DEFAULTS: dict[Callable[..., Any], dict[str, Any]] = {
    SymmetricOperator.dense: {"max_bytes": 2**33},
    SymmetricOperator.dense_beside: {"max_bytes": 2**33},
    SymmetricOperator.prepare: {"columns": 1, "choice": None},
    Combination.dense: {"max_bytes": 2**33},
    Combination.__init__: {"shift": 0.0},
    DenseOperator.dense: {"max_bytes": 2**33},
    KrylovSpace.__init__: {},
    LanczosProcess.__init__: {"passes": 1, "shares": None},
    lanczos_steps: {"passes": 2},
    minres: {"tol": 1e-10, "steps": 200, "truncation": 1e-12},
    ShiftedLDL.nearest: {"iterations": 8},
    Spectrum.of.__func__: {  # type: ignore[attr-defined]
        "dim": None,
        "resolution": None,
        "unit": None,
        "num_matvecs": 0,
        "nonnegative": False,
        "rank_bound": None,
    },
    Spectrum.from_rules.__func__: {  # type: ignore[attr-defined]
        "nonnegative": False,
        "rank_bound": None,
    },
}


@pytest.mark.parametrize("function", DEFAULTS, ids=lambda function: function.__qualname__)
def test_defaults_are_those_documented(function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    assert {p.name: p.default for p in parameters if p.default is not p.empty} == DEFAULTS[function]
