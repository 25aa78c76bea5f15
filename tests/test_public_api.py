"""What outside code relies on: names, lightness of import, no global state."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import hessium as hs

ROOT = Path(__file__).parents[1]
NAMES = [
    "Audit", "Certificate", "Count", "CriticalPoint", "DiagonalEstimate", "DiscreteMeasure",
    "Eigenpairs", "EmpiricalFisher", "EmpiricalRisk", "Estimate", "GaussNewton", "Gram",
    "Hessian", "Inertia", "Linearization", "NormEstimate", "Profile", "RankProfile",
    "ResidualHessian", "Spectrum", "SpectralSum", "SquaredError", "audit", "compare",
    "continue_ridge", "diagonal",
    "effective_dimension", "eigenpairs", "find_critical_point", "frobenius_norm", "inertia",
    "load_sweep", "log_determinant", "profile", "rank", "rank_profile", "spectral_measure",
    "spectrum", "theory", "trace",
]  # fmt: skip


def test_names_are_there_and_documented() -> None:
    for name in NAMES:
        assert (getattr(hs, name).__doc__ or "").strip(), name


def test_import_draws_nothing_and_changes_no_random_state() -> None:
    code = """
import random, sys, torch, numpy
states = torch.get_rng_state(), numpy.random.get_state()[1].copy(), random.getstate()
threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
import hessium
assert not {"matplotlib", "jinja2", "rich", "sklearn"} & set(sys.modules), sorted(sys.modules)
assert "hessium.studies.registry" not in sys.modules  # it imports every experiment
assert torch.equal(states[0], torch.get_rng_state())
assert (states[1] == numpy.random.get_state()[1]).all()
assert states[2] == random.getstate()
assert (threads, dtype) == (torch.get_num_threads(), torch.get_default_dtype())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_versions_agree() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited is not None
    assert cited[1] == declared
    assert f"## [{declared}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_installed_version_is_declared() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    try:
        installed = version("hessium")
    except PackageNotFoundError:
        pytest.skip("hessium is imported from its sources and not installed")
    assert installed == declared
