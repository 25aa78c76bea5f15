"""Every case with its dense reference, both computed once for the whole session."""

from __future__ import annotations

import pytest

from support.risk_cases import CASES, Case

WITH_OUTPUTS = [c for c in CASES if c.make().closure is None]


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(params=WITH_OUTPUTS, ids=str)
def output_case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(
    params=[
        pytest.param(c, marks=() if i % 3 == 0 else pytest.mark.slow)
        for i, c in enumerate(WITH_OUTPUTS)
    ],
    ids=str,
)
def every_third_case(request: pytest.FixtureRequest) -> Case:
    """For comparisons of two routes whose numbers other tests assert: the rest is slow."""
    return request.param
