"""Models wrapped for training on many processes, with stand-ins that need no process."""

from __future__ import annotations

import pytest
from torch import nn

from hessium.errors import InputError
from hessium.problem import wrappers
from hessium.problem.ranks import Ranks


class Parallel(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


class Compiled(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._orig_mod = module


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {"DistributedDataParallel": Parallel, "OptimizedModule": Compiled}
    monkeypatch.setattr(wrappers, "_loaded", lambda module, name: kinds.get(name))


def test_what_is_inside() -> None:
    plain = nn.Linear(2, 1)
    for model in (plain, Parallel(plain), Compiled(Parallel(plain))):
        assert wrappers.unwrapped(model, Ranks()) == (plain, None)
    compiled = Compiled(plain)
    assert wrappers.unwrapped(compiled, Ranks()) == (compiled, None)
    assert wrappers.unwrapped(Parallel(compiled), Ranks()) == (compiled, None)


def test_a_wrapper_further_inside_is_refused() -> None:
    inside = nn.Sequential(Parallel(nn.Linear(2, 1)), nn.Tanh())
    with pytest.raises(InputError, match="its part '0' is in DistributedDataParallel"):
        wrappers.unwrapped(inside, Ranks())
