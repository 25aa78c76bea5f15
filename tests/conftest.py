"""Every case with its dense reference, both computed once for the whole session."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

from support import type_checker as type_checker  # isort: skip  # before anything that it is to check
from support.risk_cases import CASES, Case

# what a background job of a shell ignores, the processes that tests interrupt would ignore too
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# the same examples in every run, and no verdict by the clock of a shared machine
settings.register_profile("suite", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("suite")


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


WITH_OUTPUTS = [c for c in CASES if c.make().closure is None]


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
