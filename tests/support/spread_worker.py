"""One of several processes with a sharded model: `python -m support.spread_worker DIR RANK SIZE`.

The model is `fully_shard`ed; one process computes the same numbers with the plain model.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard
from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module
from torch.utils.checkpoint import checkpoint

import hessium as hs
from support.rank_worker import Attention, message
from support.risk_cases import TiedEmbedding, classes, draw, mlp, seeded
from support.worker_processes import answer

Case = tuple[nn.Module, Any, list[tuple[Tensor, Tensor]]]
CASES: dict[str, Callable[[], Case]] = {}
CHECKS: dict[str, Callable[[DeviceMesh], Any]] = {}


def case(function: Callable[[], Case]) -> Callable[[], Case]:
    CASES[function.__name__] = function
    return function


@case
def dense() -> Case:
    """Layers whose sizes the ranks cannot divide, class weights, unequal batches."""
    loss = nn.CrossEntropyLoss(weight=torch.tensor([0.2, 1.0, 3.0]).double(), ignore_index=1)
    data = [(draw(n, 4, seed=n), classes(n, high=3, seed=n)) for n in (7, 2, 5, 4)]
    return mlp(4, 5, 3), loss, data


@case
def deep() -> Case:
    """Fifteen layers of about the same size; of four ranks the last one holds no entry."""
    data = [(draw(n, 6, seed=n), classes(n, high=6, seed=n)) for n in (4, 3, 2, 3)]
    return mlp(*[6] * 16), nn.CrossEntropyLoss(), data


@case
def tied() -> Case:
    """An embedding whose weight is that of the last layer, and no bias."""
    data = [
        (classes(n, 5, high=7, seed=n), classes(n, 5, high=7, seed=9 + n)) for n in (3, 1, 2, 2)
    ]
    return seeded(TiedEmbedding()), nn.CrossEntropyLoss(ignore_index=3), data


@case
def attention() -> Case:
    """Fused attention with LayerNorm."""
    data = [(draw(n, 3, 4, seed=n), classes(n, 3, high=5, seed=n)) for n in (2, 3, 1, 2)]
    return seeded(Attention()), nn.CrossEntropyLoss(), data


class Recomputed(nn.Module):
    """A block whose activations are recomputed in the backward pass."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.inner, x, use_reentrant=False)


@case
def checkpointed() -> Case:
    torch.manual_seed(0)
    inner = Recomputed(mlp(6, 5, 6))
    model = nn.Sequential(nn.Linear(4, 6), inner, nn.Tanh(), nn.Linear(6, 2)).double()
    data = [(draw(n, 4, seed=n), draw(n, 2, seed=20 + n)) for n in (6, 3, 2, 2)]
    return model, hs.SquaredError(scale=0.5, reduction="mean"), data


@case
def frozen() -> Case:
    model, loss, data = dense()
    model.get_parameter("0.weight").requires_grad_(False)
    return model, loss, data


@case
def partly() -> Case:
    """One layer alone is sharded by FSDP; the others are plain."""
    return dense()


def shard(batches: list[Any]) -> list[Any]:
    """As many batches on each rank."""
    each = len(batches) // dist.get_world_size()
    return batches[dist.get_rank() * each :][:each]


def sharded(model: nn.Module, mesh: DeviceMesh, *, blocks: bool = True) -> nn.Module:
    """Every layer with parameters, and then the rest of the model."""
    for module in list(model.modules()) if blocks else []:
        if module is not model and list(module.parameters(recurse=False)):
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def estimates(operator: hs.Hessian) -> dict[str, Tensor]:
    """What the estimators find."""
    measure = hs.spectral_measure(operator, probes=2, steps=8, rng=0)
    return {
        "nodes": torch.as_tensor(measure.nodes),
        "eigenvalues": torch.as_tensor(hs.eigenpairs(operator, 2, rng=0).values),
        "trace": torch.tensor(hs.trace(operator, matvecs=8, rng=0).value),
        "dense": operator.dense(),
    }


@functools.cache
def plain_numbers(make: Callable[[], Case]) -> dict[str, Any]:
    """The numbers of the plain model with all data, computed by the first rank for all."""
    found: list[Any] = [None]
    if dist.get_rank() == 0:
        model, loss, batches = make()
        risk = hs.EmpiricalRisk(model, loss, batches)
        operator = hs.Hessian(risk)
        found[0] = {
            "dim": risk.dim,
            "names": list(risk.names),
            "value": risk.value(),
            "gradient": risk.gradient(),
            "theta": risk.theta,
            "product": operator @ draw(risk.dim, 3, seed=3),
            "moved": risk.at(1.1 * risk.theta).gradient(),
            "estimates": estimates(operator) if make is dense else {},
        }
    dist.broadcast_object_list(found)
    return dict(found[0])


def local(parameter: Tensor) -> Tensor:
    return parameter.to_local() if isinstance(parameter, DTensor) else parameter.detach()


def compared(make: Callable[[], Case], mesh: DeviceMesh, **options: Any) -> dict[str, Any]:
    model, loss, batches = make()
    total = sum(p.numel() * 8 for p in model.parameters())
    group = mesh.get_group()
    if make is partly:
        fully_shard(model.get_submodule("2"), mesh=mesh)
    else:
        sharded(model, mesh, blocks=make is not tied)  # FSDP unties what is in two units
    before = [local(p).clone() for p in model.parameters()]
    risk = hs.EmpiricalRisk(model, loss, shard(batches), process_group=group)
    operator, whole = hs.Hessian(risk, **options), plain_numbers(make)
    shares, v, product = operator.shares, draw(whole["dim"], 3, seed=3), whole["product"]
    parts = {
        "value": torch.tensor(risk.value() - whole["value"]),
        "gradient": risk.gradient() - shares.part(whole["gradient"]),
        "theta": risk.own_theta - shares.part(whole["theta"]),
        "products": operator @ v - product,
        "shares": operator.times_shares(shares.part(v.mT).contiguous()) - shares.part(product.mT),
    }
    if make is dense and not options:
        found = estimates(operator)
        parts |= {name: found[name] - one for name, one in whole["estimates"].items()}
        parts["moved"] = risk.at(1.1 * risk.own_theta).gradient() - shares.part(whole["moved"])
    assert risk.spread is not None
    return {
        "dims": [risk.dim, whole["dim"], list(risk.names) == whole["names"]],
        "errors": {
            name: float(part.abs().max()) if part.numel() else 0.0 for name, part in parts.items()
        },
        "peak": risk.spread.peak_bytes / total,
        "untouched": all(
            torch.equal(local(p), old) and p.grad is None
            for p, old in zip(model.parameters(), before, strict=True)
        ),
        "route": operator.route,
    }


for name_, make_ in CASES.items():
    CHECKS[name_] = partial(compared, make_)


def check(function: Callable[[DeviceMesh], Any]) -> Callable[[DeviceMesh], Any]:
    CHECKS[function.__name__] = function
    return function


@check
def differences(mesh: DeviceMesh) -> dict[str, Any]:
    return compared(dense, mesh, route="finite-difference")


@check
def training(mesh: DeviceMesh) -> list[float]:
    """A step of the optimiser between two risks, by `refreshed`; FSDP goes on to train."""
    model, loss, batches = dense()
    plain = copy.deepcopy(model)
    sharded(model, mesh)
    mine, group = shard(batches), mesh.get_group()
    risk = hs.EmpiricalRisk(model, loss, mine, process_group=group)
    old = hs.Hessian(risk).times_shares(risk.gradient()[None])[0]
    with torch.no_grad():
        for one, other in zip(model.parameters(), plain.parameters(), strict=True):
            local(one).mul_(1.2)
            other.mul_(1.2)
    found = []
    whole = hs.EmpiricalRisk(plain, loss, batches)
    gradient = risk.refreshed().gradient()
    found.append(float((gradient - risk.shares.part(whole.gradient())).norm()))
    again = hs.Hessian(risk).times_shares(risk.gradient()[None])[0]
    found.append(float((again - old).norm()))  # the old risk has not changed
    loss(model(mine[0][0]), mine[0][1]).backward()
    found.append(float(all(p.grad is not None for p in model.parameters())))
    risk = hs.EmpiricalRisk(model, loss, mine, process_group=group)
    found.append(float((risk.gradient() - gradient).norm()))
    return found


@check
def refusals(mesh: DeviceMesh) -> dict[str, str]:
    group = mesh.get_group()

    def risk(model: nn.Module, data: Any = None, **options: Any) -> hs.EmpiricalRisk:
        _, loss, batches = dense()
        options = {"process_group": group, **options}
        return hs.EmpiricalRisk(model, loss, data or shard(batches), **options)

    def made(**options: Any) -> nn.Module:
        return sharded(dense()[0], mesh, **options)

    good = risk(made())
    parallel = dense()[0]
    parallelize_module(parallel, mesh, {"0": ColwiseParallel()})
    both = init_device_mesh("cpu", (1, dist.get_world_size()), mesh_dim_names=("dp", "tp"))
    mixed = dense()[0]
    parallelize_module(mixed, both["tp"], {"0": ColwiseParallel()})
    fully_shard(mixed, mesh=both["dp"])
    second = mlp(4, 8, 3)
    fully_shard(second, mesh=mesh, shard_placement_fn=_second)
    uneven = dense()[2][: 1 + dist.get_rank()]

    class Jumps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3).double()

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = Once.apply(self.layer(x))  # type: ignore[no-untyped-call]
            return found

    jumps = sharded(Jumps(), mesh)
    return {
        "no group": message(lambda: risk(made(), process_group=None)),
        "tensor parallel": message(lambda: risk(parallel)),
        "both": message(lambda: risk(mixed)),
        "second dimension": message(lambda: risk(second)),
        "uneven": message(lambda: risk(made(), uneven)),
        "gauss-newton": message(lambda: hs.GaussNewton(good)),
        "gram": message(lambda: hs.Gram(good)),
        "theta": message(lambda: good.theta),
        "slice": message(lambda: hs.loss_slice(good, "random")),
        "path": message(lambda: hs.loss_path(good, [torch.zeros(good.dim).double()] * 2)),
        "names": message(
            lambda: hs.by_parameter(torch.ones(good.dim).double(), good).names.index("2.weight")
        ),
        "critical point": message(lambda: hs.find_critical_point(good, rng=0)),
        "sum": message(lambda: hs.SumRisk([good])),
        "route": message(lambda: hs.Hessian(good, route="traced")),
        "wrong": message(lambda: hs.Hessian(risk(jumps))),
        "by differences": message(
            lambda: hs.Hessian(risk(jumps), route="finite-difference").times_shares(
                torch.ones(1, good.shares.count).double()[:, : risk(jumps).shares.count]
            )
        ),
    }


def _second(parameter: nn.Parameter) -> Any:

    return Shard(1) if parameter.dim() == 2 else Shard(0)


class Once(torch.autograd.Function):
    """A smooth function whose backward pass autograd cannot differentiate again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        with torch.no_grad():
            slope = x.cos()
        return gradient * slope.detach()


if __name__ == "__main__":
    answer(CHECKS, lambda size: init_device_mesh("cpu", (size,)))
