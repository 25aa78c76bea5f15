"""Every result of a posterior shows itself, and is the same after it has been stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch

import hessium as hs
from support.posterior_cases import line_of_product

mpl.use("Agg")
X = torch.linspace(0, 1, 6, dtype=torch.float64)[:, None]
ANSWERS: dict[str, Callable[[hs.GaussNewtonPosterior], Any]] = {
    "parameters": lambda post: post.parameters(),
    "identifiable": lambda post: post.identifiable(["a", "b", "c"]),
    "undetermined": lambda post: post.undetermined(),
    "design": lambda post: post.design(X, 2),
    "trust_radius": lambda post: post.trust_radius(),
    "profile": lambda post: post.profile_likelihood("a"),
    "shares": lambda post: post.by_parameter(2),
}


def test_a_posterior_shows_its_parameters() -> None:
    model = line_of_product()
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, model(X).detach()))
    post = hs.GaussNewtonPosterior(risk, noise=0.01, prior_precision=1.0)
    axes = post.plot()
    assert axes.get_title() == post.parameters().plot().get_title() != ""
    mpl.pyplot.close("all")


@pytest.mark.sampled
@pytest.mark.parametrize("name", ANSWERS)
def test_a_result_shows_itself_and_is_stored(name: str, tmp_path: Path) -> None:
    model = line_of_product()
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, model(X).detach()))
    found = ANSWERS[name](hs.GaussNewtonPosterior(risk, noise=0.01))
    assert "\n" not in repr(found)
    assert "<table>" in found._repr_html_()
    assert len(found.to_dataframe())
    if name in ("parameters", "design", "trust_radius", "profile"):
        axes = found.plot()
        assert axes.get_title()
        mpl.pyplot.close(axes.figure)
    hs.save(found, tmp_path / "result")
    again = hs.load(tmp_path / "result")
    assert type(again) is type(found)
    for field in dataclasses.fields(found):
        one, other = getattr(found, field.name), getattr(again, field.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
        else:
            assert one == other
