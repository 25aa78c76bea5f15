"""Eigenpairs of an operator of a risk know the names of its parameters."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import hessium as hs
from hessium.errors import InputError
from support.risk_cases import draw


def risk_of(width: int = 4) -> hs.EmpiricalRisk:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 2)).double()
    return hs.EmpiricalRisk(model, hs.SquaredError(), (draw(30, 3), draw(30, 2, seed=1)))


def test_shares_are_squared_lengths_in_each_parameter() -> None:
    risk = risk_of()
    pairs = hs.eigenpairs(hs.Hessian(risk), 3, which="LA")
    found = pairs.by_parameter()
    assert found.names == risk.names
    start, expected = 0, []
    for shape in ((4, 3), (4,), (2, 4), (2,)):
        stop = start + int(np.prod(shape))
        expected.append(pairs.vectors[start:stop].square().sum(dim=0).numpy())
        start = stop
    assert np.allclose(found.shares, expected, atol=1e-15)
    assert np.array_equal(found.values, pairs.values)
    assert np.allclose(found.by_layer().shares[0], found.shares[0] + found.shares[1])
    assert hs.by_parameter(pairs, risk).names == found.names


def test_sums_shifts_and_preconditioned_operators_keep_the_names() -> None:
    risk = risk_of()
    scale = hs.linalg.Diagonal(torch.ones(risk.dim, dtype=torch.float64))
    for op in (
        hs.GaussNewton(risk) + 0.5 * hs.ResidualHessian(risk),
        2.0 * hs.Hessian(risk).shifted(1.0),
        hs.Hessian(risk) + torch.eye(risk.dim, dtype=torch.float64),
        scale @ hs.Hessian(risk) @ scale,
    ):
        assert hs.eigenpairs(op, 1).by_parameter().names == risk.names
    part = risk.restrict(["2"])
    assert hs.eigenpairs(hs.Hessian(part), 1).by_parameter().names == ("2.weight", "2.bias")


def test_directions_without_names_ask_for_a_risk() -> None:
    risk = risk_of()
    pairs = hs.eigenpairs(hs.Hessian(risk).dense(), 2)
    with pytest.raises(InputError, match="pass the risk"):
        pairs.by_parameter()
    assert hs.by_parameter(pairs, risk).names == risk.names
    for wrong in ([1.0], torch.ones(()), torch.full((risk.dim,), torch.nan), 1j * risk.theta):
        with pytest.raises(InputError, match=r"directions: .* required"):
            hs.by_parameter(wrong, risk)  # type: ignore[arg-type]
    # 6 * 3 + 6 = 24 numbers of one layer beside 24 of another: the names contradict each other
    one = hs.EmpiricalRisk(nn.Linear(5, 4).double(), hs.SquaredError(), (draw(9, 5), draw(9, 4)))
    two = hs.EmpiricalRisk(nn.Linear(3, 6).double(), hs.SquaredError(), (draw(9, 3), draw(9, 6)))
    with pytest.raises(InputError, match="pass the risk"):
        hs.eigenpairs(hs.Hessian(one) + hs.Hessian(two), 1).by_parameter()


def test_files_keep_the_names_and_older_files_have_none(tmp_path: Path) -> None:
    pairs = hs.eigenpairs(hs.Hessian(risk_of()), 2)
    path = tmp_path / "pairs"
    hs.save(pairs, path)
    found = hs.load(path)
    assert found.named_shapes == pairs.named_shapes
    assert np.array_equal(found.by_parameter().shares, pairs.by_parameter().shares)
    hs.save(pairs.by_parameter(), tmp_path / "shares")
    assert hs.load(tmp_path / "shares").names == found.by_parameter().names
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    document = json.loads(members["document.json"])
    del document["result"]["fields"]["mapping"]["named_shapes"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | {"document.json": json.dumps(document).encode()}).items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match="pass the risk"):
        hs.load(path).by_parameter()
