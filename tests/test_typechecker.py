"""The checker of `pytest --shapes` does check, with dimensions and without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jaxtyping
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from hessium.landscape.noise_floor import norm_of
from support.type_checker import check

if TYPE_CHECKING:
    from decimal import Decimal

hooked = jaxtyping.jaxtyped(typechecker=check)


@hooked
def plain(x: float, wrong: bool = False) -> str:
    return x if wrong else str(x)  # type: ignore[return-value]


@hooked
def shaped(a: Float[Tensor, "n k"], b: Float[Tensor, " n"]) -> Float[Tensor, " k"]:
    return a.mT @ b


@hooked
def unknown(x: int, y: Decimal | None = None) -> int:
    return x


@hooked
@dataclass(frozen=True)
class Record:
    x: int

    @hooked
    def plus(self, y: int) -> Record:
        return Record(self.x + y)


def test_types_are_checked() -> None:
    wrong: Any = "1"
    assert plain(1) == "1"
    for call in (
        lambda: plain(wrong),
        lambda: plain(1.0, wrong=True),
        lambda: Record(wrong),
        lambda: Record(1).plus(wrong),
        lambda: unknown(wrong),
    ):
        with pytest.raises(TypeError, match=r"'1'|1\.0"):
            call()
    assert Record(1).plus(2) == Record(3)
    assert unknown(1) == 1


def test_names_of_dimensions_are_checked() -> None:
    assert shaped(torch.ones(3, 2), torch.ones(3)).shape == (2,)
    with pytest.raises(jaxtyping.TypeCheckError):
        shaped(torch.ones(3, 2), torch.ones(2))
    with pytest.raises(jaxtyping.TypeCheckError):
        shaped(torch.ones(3, 2).int(), torch.ones(3))


def test_the_library_is_checked_where_the_session_says_so(request: pytest.FixtureRequest) -> None:
    wrong = torch.ones(2, 3)  # for a square matrix
    if request.config.option.shapes:
        with pytest.raises(jaxtyping.TypeCheckError, match="n n"):
            norm_of(wrong)
    else:  # negative control: nothing stops the call before torch does
        with pytest.raises(RuntimeError, match=r"linalg\.eigh"):
            norm_of(wrong)
