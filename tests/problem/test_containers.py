"""Tensors are found, checked and converted in every container, and the user's stay as they are."""

from __future__ import annotations

import types
from collections import OrderedDict, UserDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

import hessium as hs
from hessium.errors import InputError
from hessium.problem.containers import replaced, tensors
from support.risk_cases import draw, mlp

X, Y = draw(5, 3).float(), draw(5, 2, seed=1).float()
ONES = torch.ones(5, 3)


class Named(NamedTuple):
    x: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Frozen:
    x: Tensor
    more: dict[str, Any] = field(default_factory=dict)


class Slotted:
    __slots__ = ("empty", "x")

    def __init__(self, x: Tensor) -> None:
        self.x = x


class Circular:
    def __init__(self, x: Tensor) -> None:
        self.x, self.itself = x, self


class Stored:
    """Keeps its tensors one level down, and can be called, as graph batches are and can."""

    def __init__(self, x: Tensor) -> None:
        self._store = {"x": x}

    @property
    def x(self) -> Tensor:
        return self._store["x"]

    def __call__(self) -> list[str]:
        return list(self._store)


class Hidden:
    """Holds a tensor where nobody can find it."""

    def __init__(self, x: Tensor) -> None:
        self._make: Callable[[], Tensor] = lambda: x

    @property
    def x(self) -> Tensor:
        return self._make()


class Unique:
    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __copy__(self) -> Unique:
        msg = "there is one only"
        raise RuntimeError(msg)


class TakesOne(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp(3, 4, 2).float()

    def forward(self, batch: Any) -> Tensor:
        return self.inner(batch.x if hasattr(batch, "x") else batch["x"])


class TakesTwo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp(3, 4, 2).float()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.inner(x * mask)


class TakesOneOrTwo(TakesTwo):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.inner(x if mask is None else x * mask)


class TakesImages(nn.Module):
    """One argument, a list."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp(3, 4, 2).float()

    def forward(self, images: list[Tensor]) -> Tensor:
        return torch.stack([self.inner(image) for image in images])


HOLDERS: dict[str, tuple[Callable[[], nn.Module], Callable[[Tensor], Any]]] = {
    "tuple": (TakesTwo, lambda x: (x, ONES)),
    "list": (TakesTwo, lambda x: [x, ONES]),
    "dict as keywords": (TakesTwo, lambda x: {"x": x, "mask": ONES}),
    "one keyword": (TakesOneOrTwo, lambda x: {"x": x}),
    "mapping as keywords": (TakesTwo, lambda x: UserDict(x=x, mask=ONES)),
    "named tuple as arguments": (TakesTwo, lambda x: Named(x, ONES)),
    "named tuple as some arguments": (TakesOneOrTwo, lambda x: Named(x, ONES)),
    "dict as the argument": (TakesOne, lambda x: {"x": x}),
    "mapping as the argument": (TakesOne, lambda x: UserDict(x=x)),
    "read-only mapping": (TakesOne, lambda x: types.MappingProxyType({"x": x})),
    "ordered dict": (TakesOne, lambda x: OrderedDict(x=x)),
    "named tuple as the argument": (TakesOne, lambda x: Named(x, ONES)),
    "list as the argument": (TakesImages, lambda x: list(x)),
    "dataclass": (TakesOne, Frozen),
    "nested": (TakesOne, lambda x: Frozen(x, {"more": [Slotted(x)]})),
    "slots": (TakesOne, Slotted),
    "namespace": (TakesOne, lambda x: types.SimpleNamespace(x=x)),
    "circle": (TakesOne, Circular),
    "stored": (TakesOne, Stored),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_converted_in_a_copy(name: str) -> None:
    make, hold = HOLDERS[name]
    model, inputs = make(), hold(X)
    before = [(id(t), t._version, t.dtype) for t in tensors(inputs)]
    there = torch.nn.utils.parameters_to_vector(model.parameters()).detach().double()
    plain = hs.EmpiricalRisk(model, nn.MSELoss(), (inputs, Y))
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (inputs, Y), dtype=torch.float64)
    exact = mlp(3, 4, 2)
    torch.nn.utils.vector_to_parameters(there, exact.parameters())
    expected = nn.MSELoss()(exact(X.double()), Y.double()).item()
    assert plain.value() == pytest.approx(expected, rel=1e-5)
    assert risk.value() == pytest.approx(expected, rel=1e-14)
    assert risk.num_samples == plain.num_samples == 5
    hs.Hessian(risk)
    assert [(id(t), t._version, t.dtype) for t in tensors(inputs)] == before


@pytest.mark.parametrize("name", HOLDERS)
def test_nan_and_complex_are_found(name: str) -> None:
    make, hold = HOLDERS[name]
    bad = X.clone()
    bad[3, 1] = float("nan")
    with pytest.raises(InputError, match=r"inputs of batch 0 have 1 of .* NaN"):
        hs.EmpiricalRisk(make(), nn.MSELoss(), (hold(bad), Y))
    with pytest.raises(InputError, match="inputs of batch 0 are complex"):
        hs.EmpiricalRisk(make(), nn.MSELoss(), (hold(X.to(torch.complex64)), Y))
    if name in ("dataclass", "slots", "namespace", "dict as the argument"):
        with pytest.raises(InputError, match="inputs of batch 0 are on meta"):
            hs.EmpiricalRisk(make(), nn.MSELoss(), (hold(X.to("meta")), Y))


def test_what_cannot_be_converted_is_said() -> None:
    model = TakesOne()
    assert hs.EmpiricalRisk(model, nn.MSELoss(), (Hidden(X), Y)).num_samples == 5
    with pytest.raises(InputError, match="no tensor was found in the Hidden, so it was not conv"):
        hs.EmpiricalRisk(model, nn.MSELoss(), (Hidden(X), Y), dtype=torch.float64)
    assert hs.EmpiricalRisk(model, nn.MSELoss(), (Unique(X), Y)).num_samples == 5
    with pytest.raises(InputError, match="a Unique holds tensors but could not be copied"):
        hs.EmpiricalRisk(model, nn.MSELoss(), (Unique(X), Y), dtype=torch.float64)


def test_packed_sequences_are_one_argument_and_converted() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.GRU(3, 2)

        def forward(self, sequences: Any, start: Tensor | None = None) -> Tensor:
            return self.layer(sequences, start)[1][0]

    inputs = pack_sequence([draw(n, 3).float() for n in (4, 3, 1)])
    risk = hs.EmpiricalRisk(Packed(), nn.MSELoss(), (inputs, draw(3, 2)), dtype=torch.float64)
    assert (risk.num_samples, risk.dtype) == (3, torch.float64)
    assert inputs.data.dtype == torch.float32


def test_a_sparse_matrix_beside_the_features() -> None:
    class Convolution(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 2)

        def forward(self, x: Tensor, neighbours: Tensor) -> Tensor:
            return torch.sparse.mm(neighbours, torch.tanh(self.inner(x)))

    graph = torch.eye(5).roll(1, 0) + torch.eye(5)
    model = Convolution()
    dense = hs.EmpiricalRisk(model, nn.MSELoss(), ((X, graph), Y), dtype=torch.float64)
    sparse = hs.EmpiricalRisk(model, nn.MSELoss(), ((X, graph.to_sparse()), Y), dtype=torch.float64)
    torch.testing.assert_close(
        hs.Hessian(sparse).dense(), hs.Hessian(dense).dense(), rtol=1e-10, atol=1e-13
    )


def test_where_nothing_changes_the_same_object_comes_back() -> None:
    holder = Frozen(X, {"a": deque([ONES])})
    assert replaced(holder, lambda t: t) is holder
    doubled = replaced(holder, lambda t: t.double() if t is ONES else t)
    assert doubled is not holder
    assert doubled.x is X
    assert doubled.more["a"][0].dtype == torch.float64
    assert holder.more["a"][0] is ONES


def test_a_key_that_the_model_does_not_take() -> None:
    inputs = {"x": X, "mask": ONES, "length": torch.tensor(3)}
    with pytest.raises(
        InputError, match=r"keyword argument 'length'.*forward=lambda model, inputs"
    ):
        hs.EmpiricalRisk(TakesTwo(), nn.MSELoss(), (inputs, Y))
