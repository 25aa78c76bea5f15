"""One of several processes with parts of the data: `python -m support.rank_worker DIR RANK SIZE`.

Every check is a function of the group that returns what the tests assert, as JSON can hold it. One
process computes the same numbers from all data alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import hessium as hs
from hessium.errors import SharedDataWarning
from hessium.estimate.lanczos_probes import Sampler
from hessium.linalg.krylov import KrylovSpace
from hessium.linalg.lanczos import lanczos_rules
from hessium.linalg.vectors import start_rows
from hessium.problem.rank_shares import RankShares
from hessium.problem.ranks import Ranks
from hessium.progress import silent
from support.risk_cases import TiedEmbedding, classes, draw, mlp, seeded
from support.worker_processes import answer

Group = Any
Batches = list[tuple[Tensor, Tensor]]
CHECKS: dict[str, Callable[[Group], Any]] = {}


class Attention(nn.Module):
    """Fused attention over sequences, with layer normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(4, 12)
        self.norm = nn.LayerNorm(4)
        self.out = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).chunk(3, dim=-1)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(self.norm(x + mixed)).transpose(1, 2)


def weighted() -> tuple[nn.Module, Any, Batches]:
    loss = nn.CrossEntropyLoss(weight=torch.tensor([0.2, 1.0, 3.0]).double(), ignore_index=1)
    sizes = (7, 2, 5, 1, 4)
    return mlp(4, 6, 3), loss, [(draw(n, 4, seed=n), classes(n, high=3, seed=n)) for n in sizes]


def tied() -> tuple[nn.Module, Any, Batches]:
    data = []
    for n in (3, 1, 2, 2):
        y = classes(n, 5, high=7, seed=10 + n)
        y[:, :n] = -100  # ignored tokens, another share in every batch
        data.append((classes(n, 5, high=7, seed=n), y))

    return seeded(TiedEmbedding()), nn.CrossEntropyLoss(ignore_index=-100), data


def attention() -> tuple[nn.Module, Any, Batches]:
    data = [(draw(n, 3, 4, seed=n), classes(n, 3, high=5, seed=n)) for n in (2, 3, 1)]
    return seeded(Attention()), nn.CrossEntropyLoss(), data


def squared() -> tuple[nn.Module, Any, Batches]:
    sizes = (6, 3)
    data = [(draw(n, 4, seed=n), draw(n, 2, seed=20 + n)) for n in sizes]
    return mlp(4, 5, 2), hs.SquaredError(scale=0.5, reduction="mean"), data


def lonely() -> tuple[nn.Module, Any, Batches]:
    """One batch: the other ranks have no data."""
    model, loss, batches = squared()
    return model, loss, batches[:1]


CASES = {
    "weighted": weighted,
    "tied": tied,
    "attention": attention,
    "squared": squared,
    "lonely": lonely,
}


def shard(batches: Batches, group: Group) -> Batches:
    """Unequal parts; the last of several ranks has nothing where there are few batches."""
    size, rank = dist.get_world_size(group), dist.get_rank(group)
    first = (len(batches) + 1) // 2 + (rank - 1 if rank else 0)
    if rank == 0:
        return batches[: (len(batches) + 1) // 2]
    return batches[first:] if rank == size - 1 else batches[first : first + 1]


def numbers(risk: hs.EmpiricalRisk, v: Tensor) -> dict[str, Tensor]:
    """What a user may ask of a risk."""
    hessian, gauss_newton = hs.Hessian(risk), hs.GaussNewton(risk)
    gram = hs.Gram(risk)
    matrix, inertia = gram.dense(), hs.inertia(hessian, tol=1e-6)
    pairs = hs.eigenpairs(hessian, 3, which="LM", rng=0)
    measure = hs.spectral_measure(hessian, probes=2, steps=12, rng=0)
    jacobian = hs.Jacobian(risk)
    scalars = [
        risk.denominator, risk.num_samples, risk.num_outputs, risk.num_batches, risk.value(),
        hs.trace(hessian, matvecs=10, rng=0).value,
        hs.rank(gauss_newton, tol=1e-6).value,
        inertia.negative.value,
        inertia.positive.value,
    ]  # fmt: skip
    fisher = {} if isinstance(risk, hs.SumRisk) else {"fisher": hs.EmpiricalFisher(risk).dense()}
    return {
        **fisher,
        "scalars": torch.tensor(scalars, dtype=torch.float64),
        "gradient": risk.gradient(),
        "graph gradient": hessian.value_and_gradient()[1],
        "product": hessian @ v,
        "vector": hessian @ v[:, 0],
        "dense": hessian.dense(),
        "gauss-newton": gauss_newton.dense(),
        "residual": hs.ResidualHessian(risk) @ v,
        "gram": torch.linalg.eigvalsh(matrix),
        "gram sums": (gram @ torch.ones(len(matrix), 2).to(v)).sum(dim=0),
        "eigenvalues": torch.as_tensor(pairs.values),
        "nodes": torch.as_tensor(measure.nodes),
        "weights": torch.as_tensor(measure.weights),
        "spectrum": torch.as_tensor(hs.spectrum(hessian).nodes),
        "pushed": (jacobian @ v).square().sum(dim=0),
        "pulled": jacobian.T @ (jacobian @ v),
        "jacobian": jacobian.dense().square().sum(dim=0),
    }


def compare(name: str, group: Group) -> dict[str, Any]:
    """Relative differences from one process with all data, and the bits of all numbers."""
    model, loss, batches = CASES[name]()
    mine = shard(batches, group)

    def alone() -> hs.EmpiricalRisk:
        return hs.EmpiricalRisk(model, loss, batches)

    return compared(
        hs.EmpiricalRisk(model, loss, mine, process_group=group), alone, group, len(mine)
    )


def terms(group: Group) -> dict[str, Any]:
    """A sum of two risks."""
    model, loss, batches = squared()
    other = [(draw(3, 4, seed=5), draw(3, 2, seed=6))]

    def both(one: Batches, two: Batches, **options: Any) -> hs.EmpiricalRisk:
        risks = {
            "a": hs.EmpiricalRisk(model, loss, one, **options),
            "b": hs.EmpiricalRisk(model, hs.SquaredError(), two, **options),
        }
        return hs.SumRisk(risks, {"b": 0.3})

    mine = shard(batches, group)
    risk = both(mine, shard(other, group), process_group=group)
    return compared(risk, lambda: both(batches, other), group, len(mine))


def compared(
    risk: hs.EmpiricalRisk, alone: Callable[[], hs.EmpiricalRisk], group: Group, batches: int
) -> dict[str, Any]:
    v = draw(risk.dim, 9, seed=3)
    found = numbers(risk, v)
    again = {"product": hs.Hessian(risk) @ v}
    mark = hashlib.blake2b(b"".join(t.detach().numpy().tobytes() for t in found.values()))
    answer: dict[str, Any] = {"bits": mark.hexdigest(), "batches": batches}
    answer["repeats"] = torch.equal(again["product"], found["product"])
    answer["symmetric"] = torch.equal(found["dense"], found["dense"].mT)
    if dist.get_rank(group) == 0:
        expected = numbers(alone(), v)
        answer["errors"] = {
            key: float((found[key] - expected[key]).norm() / (expected[key].norm() or 1.0))
            for key in expected
        }
    return answer


def differences_of_one_process(device: str, group: Group) -> dict[str, float]:
    """Relative differences of the numbers in a group of one process from those without a group."""
    data = [(draw(n, 3, 4, seed=n), classes(n, 3, high=5, seed=n)) for n in (2, 3)]
    batches = [(x.to(device), y.to(device)) for x, y in data]
    model, loss = seeded(Attention()).to(device), nn.CrossEntropyLoss()

    def measured(**options: Any) -> dict[str, Tensor]:
        risk = hs.EmpiricalRisk(model, loss, batches, **options)
        return numbers(risk, draw(risk.dim, 9, seed=3).to(device))

    expected, found = measured(), measured(process_group=group)
    errors = {
        key: float((found[key] - expected[key]).norm() / (expected[key].norm() or 1.0))
        for key in expected
    }
    shares = RankShares(Ranks(group), [((0, 7), (7, 20))])
    rows = draw(3, 20).to(device)
    for key, one in (
        ("whole", shares.whole(rows)),
        ("summed", shares.added(lambda: rows, "test")),
        ("part", shares.part(rows)),
        ("sum", shares.sum(rows)),
    ):
        errors[key] = float((one - rows).abs().max())
    return errors


CHECKS["terms"] = terms
for case in CASES:
    CHECKS[case] = partial(compare, case)


def check(function: Callable[[Group], Any]) -> Callable[[Group], Any]:
    CHECKS[function.__name__] = function
    return function


def message(work: Callable[[], Any]) -> str:
    try:
        work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def plain(group: Group, **options: Any) -> hs.EmpiricalRisk:
    model, loss, batches = squared()
    return hs.EmpiricalRisk(model, loss, shard(batches, group), process_group=group, **options)


@check
def bad_data_on_one(group: Group) -> list[str]:
    model, loss, batches = squared()
    mine = shard(batches, group)
    if dist.get_rank(group) == 1:
        mine = [(x * float("nan"), y) for x, y in batches]
    return [message(lambda: hs.EmpiricalRisk(model, loss, mine, process_group=group))]


@check
def training_mode_on_one(group: Group) -> list[str]:
    model, loss, batches = squared()
    model.add_module("3", nn.Dropout(0.5).eval())
    mine = shard(batches, group)
    risk = hs.EmpiricalRisk(model, loss, mine, process_group=group)
    operator = hs.Hessian(risk)
    if dist.get_rank(group) == 1:
        model.train()
    found = [message(lambda: hs.Hessian(risk)), message(risk.refreshed)]
    return [*found, message(operator.dense)]


@check
def other_model(group: Group) -> list[str]:
    model, loss, batches = squared()
    if dist.get_rank(group) == 1:
        with torch.no_grad():
            next(model.parameters())[0] += 1e-9
    return [
        message(lambda: hs.EmpiricalRisk(model, loss, shard(batches, group), process_group=group))
    ]


@check
def other_vectors(group: Group) -> list[str]:
    operator = hs.Hessian(plain(group), check=False)
    n, rank = operator.shape[0], dist.get_rank(group)
    v, unit = draw(n, seed=rank), torch.zeros(n, dtype=torch.float64)
    unit[rank] = 1.0
    near = operator.risk.theta + 1e-6 * v
    return [
        message(lambda: operator @ v),
        message(lambda: operator @ unit),
        message(lambda: operator.risk.at(v).value()),
        message(lambda: operator.risk.at(near).value()),
    ]


@check
def other_calls(group: Group) -> list[str]:
    risk = plain(group)
    return [message(risk.gradient if dist.get_rank(group) == 1 else risk.value)]


@check
def coupled_loss(group: Group) -> list[str]:
    """One batch on every rank: the loss must still add up over all of them."""
    model, _, batches = squared()
    mine = batches[dist.get_rank(group) : dist.get_rank(group) + 1] or [batches[0]]

    def spread(f: Tensor, y: Tensor) -> Tensor:
        return (f - f.mean(dim=0)).square().sum() + y.sum()

    return [
        message(lambda: hs.EmpiricalRisk(model, spread, mine, reduction="sum", process_group=group))
    ]


@check
def no_data_at_all(group: Group) -> list[str]:
    model, loss, batches = squared()
    empty = [(x[:0], y[:0]) for x, y in batches]
    return [message(lambda: hs.EmpiricalRisk(model, loss, empty, process_group=group))]


@check
def refused(group: Group) -> list[str]:
    return [message(lambda: hs.Linearization(plain(group)))]


@check
def wrapped(group: Group) -> list[Any]:
    model, loss, batches = squared()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ddp = nn.parallel.DistributedDataParallel(model, process_group=group)
    risk = hs.EmpiricalRisk(ddp, loss, shard(batches, group), process_group=group)
    inside = nn.Sequential(ddp, nn.Identity())
    return [list(risk.names), message(lambda: hs.EmpiricalRisk(inside, loss, batches))]


@check
def traffic(group: Group) -> list[int]:
    """Bytes of a product with five vectors."""
    model = mlp(40, 120, 3)
    x, y = draw(6, 40), classes(6, high=3)
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    data = [(x[rank::size], y[rank::size])]
    operator = hs.Hessian(
        hs.EmpiricalRisk(model, F.cross_entropy, data, reduction="mean", process_group=group),
        check=False,
    )
    v = draw(operator.shape[0], 5)
    before = operator.risk.ranks.bytes_sent
    operator @ v
    return [operator.shape[0], operator.risk.ranks.bytes_sent - before]


@check
def exchanges(group: Group) -> list[float]:
    """Exchanges in a step of Lanczos, of one process and of three together, and of eigenpairs."""
    model = mlp(15, 30, 4)
    x, y = draw(20, 15), classes(20, high=4)
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    data = (x[rank::size], y[rank::size])
    loss = nn.CrossEntropyLoss()
    operator = hs.Hessian(hs.EmpiricalRisk(model, loss, data, process_group=group), check=False)
    ranks, steps, found = operator.risk.ranks, 40, list[float]()
    for width in (1, 3):
        before = ranks.exchanges
        lanczos_rules(operator, draw(operator.shape[0], width, seed=2), steps)
        found.append((ranks.exchanges - before) / steps)
    rng = np.random.default_rng(0)
    space = KrylovSpace(operator, start_rows(operator, None, 1, rng), 60, rng)
    before = ranks.exchanges
    for _ in range(steps):
        space.expand()
    return [*found, (ranks.exchanges - before) / steps]


class StoppedError(Exception):
    """Raised on all ranks at the same product."""


@check
def resumed(group: Group) -> list[Any]:
    """Work that stops and resumes from the state that one rank wrote, beside undisturbed work."""
    folder = Path(sys.argv[1]) / "state"

    class Stopping(hs.Hessian):
        left = 10**6

        def own_product(self, block: Tensor) -> Tensor:
            if self.left <= 0:
                raise StoppedError
            self.left -= block.shape[1]
            return super().own_product(block)

    found = list[Any]()
    operator = Stopping(plain(group), check=False)
    for work in (
        lambda **options: hs.eigenpairs(operator, 3, which="LM", rng=0, **options),
        lambda **options: hs.spectral_measure(operator, 3, 8, rng=0, **options),
    ):
        whole, place = work(), folder / str(len(found))
        operator.left = whole.num_matvecs // 2
        try:
            work(checkpoint=place, checkpoint_every=0.0)
        except StoppedError:
            states = sorted(path.suffix for path in place.glob("*"))
        operator.left = 10**6
        again = work(checkpoint=place, checkpoint_every=0.0)
        new = 10**6 - operator.left
        values = [(one.values if hasattr(one, "values") else one.nodes) for one in (whole, again)]
        same = bool(abs(values[0] - values[1]).max() < 1e-12)
        found.append([states, same, new < 0.8 * whole.num_matvecs])
    return found


@check
def shared_basis(group: Group) -> dict[str, Any]:
    """Shares of the bases: their bytes, their vectors, and work within a small memory."""
    model = mlp(15, 30, 4)  # 604 parameters, and 2 or 4 equal shares of them
    x, y = draw(20, 15), classes(20, high=4)
    rank, size = dist.get_rank(group), dist.get_world_size(group)

    def risk(**options: Any) -> hs.EmpiricalRisk:
        part = slice(rank, None, size) if options else slice(None)
        return hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (x[part], y[part]), **options)

    shared, alone = (hs.Hessian(r, check=False) for r in (risk(process_group=group), risk()))
    n = shared.shape[0]
    answer: dict[str, Any] = {"dim": n}

    rows = shared.shares.part(draw(3, n)).contiguous()
    before = shared.risk.ranks.bytes_sent
    shared.times_shares(rows)
    answer["sent"] = shared.risk.ranks.bytes_sent - before

    bytes_of = []
    for operator in (shared, alone):
        rng = np.random.default_rng(0)
        space = KrylovSpace(operator, start_rows(operator, None, 2, rng), 40, rng)
        sampler = Sampler(operator, None, 30, 1, 2**30, rng)
        sampler.run(2, silent)
        lanczos = sum(process.basis.nbytes for process in sampler._idle)
        bytes_of.append([space.basis.nbytes, lanczos])
    answer["bytes"] = bytes_of

    small = 25 * n * 8
    few: dict[str, Any] = {"which": "LM", "rng": 0, "max_bytes": small}
    answer["refusal"] = message(lambda: hs.eigenpairs(alone, 10, **few))
    pairs = hs.eigenpairs(shared, 10, gather=False, **few)
    expected = hs.eigenpairs(alone, 10, which="LM", rng=0)
    answer["eigenvalues"] = float(abs(pairs.values - expected.values).max() / expected.scale)
    answer["rows"] = [list(pairs.vectors.shape), [list(piece) for piece in pairs.rows]]
    whole = pairs.gathered(shared)
    residual = alone @ whole.vectors - whole.vectors * torch.as_tensor(whole.values)
    answer["residuals"] = float((residual.norm(dim=0) - torch.as_tensor(pairs.residuals)).max())
    answer["lengths"] = float((whole.vectors.norm(dim=0) - 1).abs().max())
    answer["same"] = torch.equal(shared.shares.part(whole.vectors.mT).mT, pairs.vectors)
    answer["partial"] = message(lambda: hs.by_parameter(pairs))

    answer["deflated"] = [
        float(abs(one.nodes - other.nodes).max() / expected.scale)
        for one, other in [
            (
                hs.spectral_measure(shared, 3, 10, deflate=known, rng=0),
                hs.spectral_measure(alone, 3, 10, deflate=known if known == 3 else whole, rng=0),
            )
            for known in (3, pairs, whole)
        ]
    ]
    return answer


@check
def sums_of_operators(group: Group) -> list[Any]:
    """Products with shares, beside those with whole vectors."""
    risk = plain(group)
    first, second, gram = hs.Hessian(risk), hs.GaussNewton(risk), hs.Gram(risk)
    n = risk.dim
    fixed = draw(n, n)
    found = list[Any]()
    for operator in (
        first,
        gram,
        2.0 * first - second,
        (first + (fixed + fixed.mT)).shifted(0.3),
        hs.Hessian(risk, check=False, route="finite-difference"),
        hs.EmpiricalFisher(risk),
        hs.ResidualHessian(risk),
    ):
        shares = operator.shares
        vectors = draw(3, operator.shape[0])
        rows = shares.part(vectors).contiguous()
        before = rows.clone()
        product = operator.times_shares(rows)
        expected = shares.part((operator @ vectors.mT).mT)
        same = float((product - expected).norm() / (expected.norm() or 1.0))
        alone = operator.times_shares(rows[:1])[0] - expected[0]
        found.append([shares.divided, max(same, float(alone.norm())), torch.equal(rows, before)])
    return found


@check
def not_finite_on_one(group: Group) -> list[Any]:
    """A rank whose part of a product is not finite, or fails, after some products."""

    class Broken(hs.Hessian):
        left, kind = 5, "nan"

        def own_product(self, block: Tensor) -> Tensor:
            product = super().own_product(block)
            self.left -= 1
            if self.left < 0 and dist.get_rank(group) == 1:
                if self.kind == "error":
                    raise RuntimeError("out of ideas")
                product[0] = float(self.kind)
            return product

    found = list[Any]()
    for kind in ("nan", "inf", "error"):
        operator = Broken(plain(group), check=False)
        operator.kind = kind
        try:
            hs.eigenpairs(operator, 3, rng=0)
        except Exception as error:
            partial = getattr(error, "partial", None)
            kept = None if partial is None else partial.values.tolist()
            found.append([f"{type(error).__name__}: {error}", kept])
    return found


@check
def different_estimates(group: Group) -> list[str]:
    operator = hs.Hessian(plain(group), check=False)
    first = dist.get_rank(group) == 0
    return [
        message(lambda: hs.eigenpairs(operator, 2, rng=int(first))),
        message(lambda: hs.eigenpairs(operator, 2 + first, rng=0)),
        message(
            lambda: hs.eigenpairs(operator, 2) if first else hs.spectral_measure(operator, 2, 3)
        ),
    ]


@check
def resumed_by_other_numbers(group: Group) -> list[Any]:
    """States of all ranks resumed by one process, and a state of one process by all ranks."""
    folder = Path(sys.argv[1]) / "other"
    model, loss, batches = squared()
    rank = dist.get_rank(group)
    alone = hs.Hessian(hs.EmpiricalRisk(model, loss, batches), check=False)
    shared = hs.Hessian(plain(group), check=False)

    def stop(work: Callable[..., Any], operator: hs.Hessian, after: int, **saved: Any) -> None:
        def progress(done: int, total: int | None, what: str) -> None:
            if done >= after:
                raise StoppedError

        with contextlib.suppress(StoppedError):
            work(operator, progress=progress, **saved)

    found, kinds = list[Any](), {"pairs": "values", "measure": "nodes"}
    for name, work in (
        ("pairs", lambda op, **options: hs.eigenpairs(op, 3, rng=0, **options)),
        ("measure", lambda op, **options: hs.spectral_measure(op, 3, 8, rng=0, **options)),
    ):
        whole = work(alone)
        for kind in ("shared", "alone"):
            place = folder / name / kind
            saved = {"checkpoint": place, "checkpoint_every": 0.0}
            if kind == "shared" or rank == 0:
                first = shared if kind == "shared" else alone
                stop(work, first, whole.num_matvecs // 2, **saved)
            dist.barrier(group)
            if kind == "alone":
                again = work(shared, **saved)
            elif rank == 0:
                again = work(alone, **saved)
            else:
                again = whole
            values = [getattr(one, kinds[name]) for one in (whole, again)]
            found.append(bool(abs(values[0] - values[1]).max() < 1e-12))
            dist.barrier(group)
    return found


@check
def group_of_one(group: Group) -> dict[str, float]:
    """A process alone in a group of its own, among several."""
    groups = [dist.new_group([rank]) for rank in range(dist.get_world_size(group))]
    if dist.get_rank(group):
        return {}
    return differences_of_one_process("cpu", groups[0])


@check
def other_loss(group: Group) -> list[str]:
    """Settings of a loss, its class weights, and the number of samples."""
    first = dist.get_rank(group) == 0
    model, x, y = mlp(4, 6, 3), draw(5, 4), classes(5, high=3)

    def risk(loss: Any, **options: Any) -> hs.EmpiricalRisk:
        return hs.EmpiricalRisk(model, loss, (x, y), process_group=group, **options)

    smooth = nn.CrossEntropyLoss(label_smoothing=0.0 if first else 0.1)
    weight = torch.tensor([1.0, 1.0 if first else 2.0, 1.0]).double()
    return [
        message(lambda: risk(smooth)),
        message(lambda: risk(nn.CrossEntropyLoss(weight=weight))),
        message(lambda: risk(nn.CrossEntropyLoss(), num_samples=5 if first else 6)),
    ]


@check
def not_finite_outputs_on_one(group: Group) -> list[str]:
    model, loss, batches = squared()
    factor = float("nan") if dist.get_rank(group) == 1 else 1.0
    data = shard(batches, group) or batches[:1]

    def forward(model: nn.Module, x: Tensor) -> Tensor:
        return model(x) * factor

    return [
        message(lambda: hs.EmpiricalRisk(model, loss, data, forward=forward, process_group=group))
    ]


@check
def data_of_all(group: Group) -> list[list[str]]:
    """Warnings where parts of the data are those of training, equal, and disjoint."""
    model, loss, batches = squared()
    samples = TensorDataset(draw(7, 4), draw(7, 2))
    sampler: DistributedSampler[Any] = DistributedSampler(
        samples, dist.get_world_size(group), dist.get_rank(group)
    )
    found = []
    for data in (DataLoader(samples, 2, sampler=sampler), batches, shard(batches, group)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SharedDataWarning)
            hs.EmpiricalRisk(model, loss, data, process_group=group)
        found.append([str(one.message) for one in caught])
    return found


@check
def monitored(group: Group) -> list[Any]:
    """A record of all quantities, beside that of one process; refusals."""
    model, loss, batches = squared()
    every = [*batches, (draw(2, 4, seed=8), draw(2, 2, seed=9))]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0)
    risks = (
        hs.EmpiricalRisk(model, loss, shard(every, group), process_group=group),
        hs.EmpiricalRisk(model, loss, every),
    )
    sum(loss(model(x), y) for x, y in every).backward()
    optimizer.step()
    records = [hs.Monitor(model, risk, optimizer=optimizer).measure() for risk in risks]
    errors = [
        abs(mine.value - other.value) / abs(other.value)
        for mine, other in (
            (getattr(records[0], name), getattr(records[1], name))
            for name in ("sharpness", "preconditioned_sharpness", "trace", "batch_sharpness")
        )
    ]
    hessian = hs.Hessian(risks[0], check=False)
    optimizer.state[next(model.parameters())]["exp_avg_sq"] *= 1.0 + dist.get_rank(group)
    return [
        errors,
        message(lambda: hs.Monitor(model, risks[0], budget=0.1)),
        message(lambda: hs.precondition(hessian, optimizer) @ torch.ones(risks[0].dim).double()),
    ]


@check
def member(group: Group) -> str:
    """A group of the first process."""
    part = dist.new_group([0])
    model, loss, batches = squared()
    return message(lambda: hs.EmpiricalRisk(model, loss, batches, process_group=part))


@check
def documented(group: Group) -> float:
    """The first script of the how-to, in the group that exists."""
    page = Path(__file__).parents[2] / "docs" / "howto" / "processes.md"
    script = page.read_text().partition("```python\n")[2].partition("```")[0]
    lines = [line for line in script.splitlines() if "_process_group(" not in line]
    found: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec("\n".join(lines), found)
    data = found["inputs"], found["targets"]
    alone = hs.Hessian(hs.EmpiricalRisk(found["model"], nn.CrossEntropyLoss(), data), check=False)
    pairs = hs.eigenpairs(alone, 10, rng=0)
    return float(abs(found["pairs"].values - pairs.values).max() / pairs.scale)


@check
def without_group(group: Group) -> list[str]:
    model, loss, batches = squared()
    return [message(lambda: hs.EmpiricalRisk(model, loss, batches, process_group=2))]


if __name__ == "__main__":
    answer(CHECKS, lambda _: dist.group.WORLD)
