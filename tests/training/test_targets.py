"""Which ends of which spectra belong to the quantities of a record."""

from __future__ import annotations

import pytest
import torch

from hessium.linalg.congruence import Diagonal
from hessium.training.stability import Preconditioner
from hessium.training.targets import SCALED, is_identity, near_threshold, sides_of
from hessium.training.warm_start import Warm

IDENTITY = Preconditioner(factor=None, threshold=20.0, decay=0.0)
DIAGONAL = Preconditioner(factor=Diagonal(torch.ones(3)), threshold=20.0, decay=0.0)


@pytest.mark.parametrize("given", [
    (("loss",), IDENTITY, []),
    (("sharpness", SCALED), None, [["sharpness"]]),
    (("sharpness", SCALED), IDENTITY, [["sharpness"]]),
    ((SCALED,), IDENTITY, [[SCALED]]),
    ((SCALED,), DIAGONAL, [[SCALED]]),
    (("sharpness", "most_negative", SCALED), DIAGONAL, [["sharpness", "most_negative"], [SCALED]]),
    (("gradient_share",), None, [["sharpness"]]),
    (("most_negative",), IDENTITY, [["most_negative"]]),
])  # fmt: skip
def test_sides(given: tuple[tuple[str, ...], Preconditioner | None, list[list[str]]]) -> None:
    track, preconditioner, names = given
    sides = sides_of(track, preconditioner, 1)
    assert [list(targets) for _, targets in sides] == names
    for factor, targets in sides:
        scaled = preconditioner is DIAGONAL and SCALED in targets
        assert factor is (DIAGONAL.factor if scaled else None)
        assert targets.get("most_negative", "smallest") == "smallest"
    assert is_identity(track, preconditioner) == (SCALED in track and preconditioner is IDENTITY)
    assert not sides_of(("gradient_share",), None, 2)  # its eigenvectors come from elsewhere


def test_ends_are_refined_from_a_fifth_below_the_threshold() -> None:
    assert near_threshold(None, Warm()) == {}
    assert near_threshold(IDENTITY, Warm()) == {SCALED: 16.0, "sharpness": 16.0}
    assert near_threshold(DIAGONAL, Warm()) == {SCALED: 16.0}
