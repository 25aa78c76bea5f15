"""Nothing of the user's changes: every way of sharing modules, in every use, also on failure."""

from __future__ import annotations

import copy
import gc
import os
import random
import signal
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import hessium as hs
from hessium import _interrupts
from hessium._arithmetic import _FULL_PRODUCTS
from hessium.errors import InputError
from support.risk_cases import draw

X, Y = draw(12, 3), draw(12, 3, seed=3)


class Aliased(nn.Module):
    """One feature extractor under three names."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Linear(3, 4)
        self.policy, self.value = self.features, self.features
        self.out = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.policy(x)) * torch.sigmoid(self.value(x)))


class Tied(nn.Module):
    """One weight in two modules."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(3, 3), nn.Linear(3, 3)
        self.decoder.weight = self.encoder.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(torch.tanh(self.encoder(x)))


class Remembering(nn.Module):
    """Keeps activations and counts calls in attributes and in containers."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.calls = nn.Linear(3, 3), 0
        self.history: list[float] = []
        self.cache: dict[str, int] = {}
        self.seen: set[int] = set()

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.history.append(float(x.detach().sum()))
        self.cache["last"] = self.calls
        self.seen.add(self.calls)
        self.last = torch.tanh(self.inner(x))
        return self.last


class WritingToBuffers(nn.Module):
    """Updates running statistics, in place and by assignment."""

    mean: Tensor
    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        self.mean.mul_(0.9).add_(0.1 * x.detach().mean(0))
        self.steps = self.steps + 1
        return torch.tanh(self.inner(x))


class Failing(nn.Module):
    """Raises in the middle of its forward pass of a small batch; shares a layer."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.Linear(3, 3)
        self.layers = nn.Sequential(layer, nn.Tanh(), layer)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.layers[:2](x)
        if len(x) < 6:
            msg = "no luck"
            raise ValueError(msg)
        return self.layers[2](hidden)


class Drawing(nn.Module):
    """Draws random numbers whose values do not matter."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.rand(3) + np.random.rand() + random.random()  # noqa: NPY002
        return self.inner(x) + 0 * noise


def twice() -> nn.Module:
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.Tanh(), layer)


def frozen_twice() -> nn.Module:
    layer = nn.Linear(3, 3).requires_grad_(False)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(3, 3))


def normalised_twice() -> nn.Module:
    norm = nn.BatchNorm1d(3)
    norm(3 * torch.randn(9, 3) + 1)
    return nn.Sequential(norm, nn.Linear(3, 3), nn.Tanh(), norm).eval()


def weight_normed() -> nn.Module:
    with pytest.warns(FutureWarning):
        return nn.Sequential(nn.utils.weight_norm(nn.Linear(3, 3)), nn.Tanh(), nn.Linear(3, 3))


def parametrized() -> nn.Module:
    return nn.Sequential(nn.utils.parametrizations.orthogonal(nn.Linear(3, 3)), nn.Tanh())


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    model[0].register_forward_hook(lambda module, args, out: 2 * out)
    model.register_buffer("unused", torch.ones(2))
    return model


MODELS: dict[str, Callable[[], nn.Module]] = {
    "layer twice": twice,
    "frozen layer twice": frozen_twice,
    "batch norm twice": normalised_twice,
    "three names": Aliased,
    "tied weights": Tied,
    "remembers activations": Remembering,
    "writes to buffers": WritingToBuffers,
    "old weight norm": weight_normed,
    "orthogonal": parametrized,
    "forward hook": hooked,
    "recurrent": lambda: nn.Sequential(nn.RNN(3, 3), First()),
    "nested": lambda: nn.Sequential(twice(), Aliased()),
    "draws": Drawing,
    "fails": Failing,
}


class First(nn.Module):
    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        return pair[0]


def snapshot(model: nn.Module) -> list[Any]:
    """Identity of every attribute of every module, values and versions of tensors, global state."""
    modules = list(model.modules())
    tensors = [*model.parameters(), *model.buffers()]
    return [
        [(id(m), {k: id(v) for k, v in vars(m).items()}) for m in modules],
        [
            [(k, id(v)) for k, v in part.items()]
            for m in modules
            for part in (m._parameters, m._buffers, m._modules)
        ],
        [(id(t), t.dtype, t.requires_grad, t.grad, t._version, t.tolist()) for t in tensors],
        [type(t) for t in model.parameters()],
        [copy.copy(v) for m in modules for v in vars(m).values() if type(v) in (list, dict, set)],
        torch.get_rng_state().tolist(),
        str(np.random.get_state()),  # noqa: NPY002
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.backends.mha.get_fastpath_enabled(),
    ]


def use(risk: hs.EmpiricalRisk) -> None:
    v = torch.ones(risk.dim, dtype=risk.dtype)
    for kind in (hs.Hessian, hs.GaussNewton, hs.ResidualHessian, hs.EmpiricalFisher):
        operator = kind(risk, route="retained")
        operator @ v
        operator.dense()
    hs.Gram(risk).dense()
    hs.Linearization(risk).outputs(risk.theta + 1e-3 * v)
    risk.at(0.9 * risk.theta).gradient()
    risk.restrict(risk.names[:1]).value()
    hs.eigenpairs(hs.Hessian(risk.refreshed()), 1, rng=0)


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", [None, torch.float64])
@pytest.mark.parametrize("name", MODELS)
def test_nothing_of_the_model_changes(name: str, dtype: torch.dtype | None) -> None:
    torch.manual_seed(0)
    model = MODELS[name]()
    model = model if dtype else model.double()
    data = [(X[:5], Y[:5]), (X[5:], Y[5:])]
    if dtype:
        data = [(x.float(), y.float()) for x, y in data]
    before = snapshot(model)
    if name == "fails":
        with pytest.raises(InputError, match="no luck"):
            hs.EmpiricalRisk(model, nn.MSELoss(), data, dtype=dtype)
    else:
        use(hs.EmpiricalRisk(model, nn.MSELoss(), data, dtype=dtype))
    assert snapshot(model) == before
    if name != "fails":
        model(data[0][0]).sum().backward()  # the model still works


class Counting(nn.Module):
    """A loss that keeps its last value, a running mean and a count."""

    reduction = "mean"
    running: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running", torch.zeros(()))
        self.count = 0

    def forward(self, f: Tensor, y: Tensor) -> Tensor:
        self.last = (f - y).square().sum(1).mean()
        self.running.mul_(0.9).add_(0.1 * self.last.detach())
        self.count += 1
        return self.last


@pytest.mark.parametrize("dtype", [None, torch.float64])
def test_nothing_of_the_loss_changes(dtype: torch.dtype | None) -> None:
    model, loss = nn.Linear(3, 3), Counting()
    loss(model(X.float()), Y.float()).backward()
    model.zero_grad()
    before = snapshot(model), snapshot(loss)
    risk = hs.EmpiricalRisk(model, loss, (X.float(), Y.float()), reduction="mean", dtype=dtype)
    use(risk)
    assert (snapshot(model), snapshot(loss)) == before


def random_states() -> tuple[Any, ...]:
    torch_state = torch.get_rng_state().tolist()
    return random.getstate(), str(np.random.get_state()), torch_state  # noqa: NPY002


@pytest.mark.unchecked  # the checks of types draw from `random`
def test_random_states_are_kept() -> None:
    model = Drawing().double()
    before = random_states()
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (X, Y))
    assert random_states() == before
    hs.Hessian(risk).dense()
    risk.at(2 * risk.theta).value()
    assert random_states() == before
    model(X)
    assert random_states() != before


def test_the_snapshot_sees_what_torch_leaves_behind() -> None:
    """Control: a module under two names keeps the tensors of torch's own substitution."""
    model = twice().double()
    before = snapshot(model)
    values = {name: p.detach().clone() for name, p in model.named_parameters()}
    torch.func.functional_call(model, values, (X,))
    assert snapshot(model) != before


def test_training_continues_with_the_same_parameters() -> None:
    torch.manual_seed(0)
    model: Any = twice().double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hs.Hessian(hs.EmpiricalRisk(model, nn.MSELoss(), (X, Y)))
    before = model[0].weight.detach().clone()
    F.mse_loss(model(X), Y).backward()
    optimizer.step()
    assert not torch.equal(model[0].weight, before)


def test_an_exception_in_a_backward_pass_restores_the_model() -> None:
    class Fragile(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            msg = "interrupted"
            raise KeyboardInterrupt(msg)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = twice().double()

        def forward(self, x: Tensor) -> Tensor:
            hidden: Tensor = Fragile.apply(self.layers(x))  # type: ignore[no-untyped-call]
            return hidden

    model = Net()
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (X, Y))
    before = snapshot(model)
    with pytest.raises(KeyboardInterrupt):
        risk.gradient()
    assert snapshot(model) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGALRM])
def test_interrupts_leave_nothing_behind(number: signal.Signals) -> None:
    """Signals at 150 random moments: the model, the locks and the settings are as before."""

    def raises(*_: object) -> None:
        raise KeyboardInterrupt

    layers = [nn.Sequential(nn.Linear(3, 3), nn.Tanh()) for _ in range(8)]
    model = nn.Sequential(*layers).double()
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (X, Y))
    before, generator, hits = snapshot(model), random.Random(0), 0
    handler = signal.signal(number, raises)
    try:
        for _ in range(150):
            timer = threading.Timer(generator.uniform(0, 4e-3), os.kill, (os.getpid(), number))
            try:
                timer.start()
                for _ in range(4):
                    risk.gradient()
                timer.join()
            except KeyboardInterrupt:
                hits += 1
            timer.join()
    finally:
        signal.signal(number, handler)
    assert hits > 30
    assert snapshot(model) == before
    assert not _interrupts._inside
    gc.collect()  # of contexts that a traceback held
    assert not _FULL_PRODUCTS._users
    released: list[bool] = []
    thread = threading.Thread(target=lambda: released.append(bool(risk.gradient().numel())))
    thread.start()
    thread.join(20)
    assert released


def test_threads_that_make_and_refresh_risks() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)).double()
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (X, Y))
    theta, elsewhere = risk.theta, risk.at(2 * risk.theta)
    wrong: list[str] = []

    def disturb() -> None:
        for _ in range(100):
            elsewhere.gradient()

    def make() -> None:
        for _ in range(25):
            made = (risk.refreshed(), hs.EmpiricalRisk(model, nn.MSELoss(), (X, Y)))
            wrong.extend("theta" for one in made if not torch.equal(one.theta, theta))

    threads = [threading.Thread(target=work) for work in (disturb, make, make)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("shared", ["model", "layer"])
def test_threads_take_turns(shared: str) -> None:
    """Threads that use risks of one model, or of models that share a layer, at other parameters."""
    torch.manual_seed(0)
    layer = nn.Linear(3, 3)
    heads = [nn.Sequential(layer, nn.Tanh(), nn.Linear(3, 3)).double() for _ in range(4)]
    models = [heads[0]] * 4 if shared == "model" else heads
    risks = [hs.EmpiricalRisk(m, nn.MSELoss(), (X, Y)) for m in models]
    places = [r.at(r.theta + 0.1 * i) for i, r in enumerate(risks)]
    expected = [place.gradient() for place in places]
    before = [snapshot(model) for model in models]
    wrong: list[int] = []

    def work(i: int) -> None:
        wrong.extend(i for _ in range(40) if not torch.equal(places[i].gradient(), expected[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert [snapshot(model) for model in models] == before
