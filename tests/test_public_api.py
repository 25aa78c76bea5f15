"""What outside code relies on: names, lightness of import, no global state."""

from __future__ import annotations

import pkgutil
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
    "Audit", "Bracket", "Certificate", "CheckpointSeries", "Count", "CriticalPoint",
    "DiagonalEstimate", "DiscreteMeasure", "Eigenpairs", "EmpiricalFisher", "EmpiricalRisk",
    "Estimate", "ExpectedMemory", "GaussNewton", "GaussNewtonPosterior", "Gram", "Hessian",
    "Identification", "Inertia", "Jacobian", "Linearization", "LossPath", "LossSlice", "Monitor",
    "NormEstimate",
    "Profile", "RankProfile", "ResidualHessian", "Solution", "SpectralSum", "Spectrum",
    "SquaredError", "SumRisk", "audit", "by_parameter", "compare", "continue_ridge", "diagonal",
    "effective_dimension", "eigenpairs", "expected_memory", "find_critical_point",
    "frobenius_norm", "from_matvec", "identify",
    "inertia", "load", "load_sweep", "log_determinant", "loss_path", "loss_slice", "precondition",
    "profile", "rank", "rank_profile", "save", "solve", "spectral_measure", "spectrum", "theory",
    "trace", "track", "trust_radius",
]  # fmt: skip
SUBPACKAGES = [
    "curvature", "errors", "estimate", "landscape", "linalg", "posterior", "problem", "progress",
    "runs", "spectra", "training",
]  # fmt: skip


def test_names_are_there_and_documented() -> None:
    for name in NAMES:
        assert (getattr(hs, name).__doc__ or "").strip(), name


def test_dir_and_star_give_the_names_and_the_subpackages() -> None:
    everything: dict[str, object] = {}
    exec("from hessium import *", everything)
    everything.pop("__builtins__")
    assert sorted(everything) == dir(hs) == sorted([*NAMES, *SUBPACKAGES])


def test_no_submodule_has_the_name_of_a_public_class_or_function() -> None:
    """The import of such a module would put it in the place of the name."""
    submodules = {module.name for module in pkgutil.iter_modules(hs.__path__)}
    assert {"estimate", "theory", "errors"} < submodules
    assert submodules & set(dir(hs)) == {*SUBPACKAGES, "compare", "theory"}


def test_import_draws_nothing_and_changes_no_random_state() -> None:
    code = """
import random, sys, torch, numpy
states = torch.get_rng_state(), numpy.random.get_state()[1].copy(), random.getstate()
threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
import hessium
for name in dir(hessium):
    getattr(hessium, name)
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
    assert cited[1] == declared == hs.__version__
    assert f"## [{declared}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_installed_version_is_declared() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    try:
        installed = version("hessium")
    except PackageNotFoundError:
        pytest.skip("hessium is imported from its sources and not installed")
    assert installed == declared
