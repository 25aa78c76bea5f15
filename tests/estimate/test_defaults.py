"""Defaults are part of the interface: a number on a page depends on them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from hessium import estimate
from hessium.estimate import Estimate, SpectralSum
from hessium.spectra import Spectrum

GIB = 2**30
PROBES = {"matvecs": 100, "method": "auto", "rng": 0, "max_bytes": 8 * GIB}
SUMS = {"method": "auto", "probes": 10, "steps": 80, "smallest": None, "deflate": 0, "rng": 0}
CHECKPOINTS = {"checkpoint": None, "checkpoint_every": 60.0}
SIGNS = {"tol": 1e-6, "method": "auto", "probes": 10, "steps": 80, "confidence": 0.999, "rng": 0}

DEFAULTS: dict[Callable[..., Any], dict[str, Any]] = {
    estimate.trace: PROBES,
    estimate.diagonal: PROBES,
    estimate.frobenius_norm: PROBES,
    estimate.log_determinant: {**SUMS, "shift": 0.0, "max_bytes": 8 * GIB},
    estimate.effective_dimension: {**SUMS, "max_bytes": 8 * GIB},
    estimate.spectrum: {"max_bytes": 8 * GIB},
    estimate.rank_profile: {"tols": None, "max_bytes": 8 * GIB},
    estimate.inertia: {**SIGNS, "deflate": 10, "max_bytes": 8 * GIB},
    estimate.rank: {**SIGNS, "max_bytes": 8 * GIB},
    estimate.eigenpairs: {
        **CHECKPOINTS,
        "start": None,
        "gather": True,
        "which": "LM",
        "tol": None,
        "block": 1,
        "max_products": None,
        "max_bytes": 8 * GIB,
        "rng": 0,
    },
    estimate.spectral_measure: {
        **CHECKPOINTS,
        "probes": 10,
        "steps": 80,
        "deflate": 0,
        "until": None,
        "reorthogonalize": 1,
        "max_bytes": 8 * GIB,
        "rng": 0,
    },
    Estimate.interval: {"confidence": 0.95},
    SpectralSum.interval: {"confidence": 0.95},
    Spectrum.count: {"confidence": 0.95, "margin": 0.0},
    Spectrum.inertia: {"tol": 1e-6, "confidence": 0.999},
    Spectrum.rank: {"tol": 1e-6, "confidence": 0.999},
    Spectrum.rank_profile: {"tols": None, "confidence": 0.999},
    Spectrum.cdf_band: {"confidence": 0.95},
    Spectrum.integral: {"confidence": 0.95},
    Spectrum.density: {"width": None, "confidence": 0.95, "linear": None},
}


@pytest.mark.parametrize("function", DEFAULTS, ids=lambda function: function.__qualname__)
def test_defaults_are_those_documented(function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    found = {p.name: p.default for p in parameters if p.default is not p.empty}
    found.pop("progress", None)
    assert found == DEFAULTS[function]
