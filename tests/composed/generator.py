"""From a seed to a composition."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from composed import blocks, losses
from composed.dice import Dice
from composed.setup import (
    Answer,
    Bag,
    Graph,
    GraphNet,
    Net,
    OnObject,
    OwnLoss,
    Pair,
    Record,
    Setup,
    TiedHead,
    Trunk,
    tensors_of,
)

LAYOUTS = ("vector", "sequence", "time_first", "image", "signal", "tokens", "graph", "vector",
           "pinn",           "own_loss", "tokens_time_first")  # fmt: skip
PRECISIONS = ("float64", "float64", "float32", "raised", "half_32", "half_64")
MOST = 110  # parameters


def build(seed: int) -> Setup:
    """The composition of a seed, in float64."""
    dtype = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _build(Dice(seed))
    finally:
        torch.set_default_dtype(dtype)


def _build(dice: Dice) -> Setup:
    layout = dice.named("layout", LAYOUTS)
    precision = dice.named("precision", PRECISIONS)
    w = dice.of((3, 3, 4))
    sizes = _sizes(dice)
    ns = SimpleNamespace(samples=sum(sizes))
    if layout == "pinn":
        return _pinn(dice, w, precision, ns)
    if layout == "own_loss":
        return _own_loss(dice, w, sizes, precision, ns)
    time = {"sequence": 1, "time_first": 0, "tokens": 1, "tokens_time_first": 0}.get(layout)
    tokens = layout.startswith("tokens")
    features, width, steps = dice.of((2, 3)), dice.of((2, 3)), dice.of((2, 3))
    trunk = _trunk(dice, w, time)
    shape = "pooled"
    if time is not None:
        shape = dice.named("outputs", ("pooled", "steps", "flat", "classes")[: 4 if time else 3])
    tied = tokens and dice.chance(0.4)
    if tied:
        width = 4
        dice.note("tied_head")
    name, log = _loss_name(dice, layout, shape, time)
    container = "tensor"
    if layout in ("vector", "sequence", "time_first"):
        container = dice.named(
            "inputs", ("tensor", "tensor", "tuple", "dict", "named_tuple", "dataclass", "object",
                       "list"),
        )  # fmt: skip
    embed = _embedding(dice, layout, features, w, width if tied else 5)
    if layout == "graph":
        model: nn.Module = GraphNet(features, w, trunk, width, log)
    else:
        head: nn.Module = TiedHead(embed) if tied else nn.Linear(w, width)  # type: ignore[arg-type]
        model = Net(embed, trunk, head, shape, time, two=container != "tensor", log=log)
        if container in ("dataclass", "object"):
            model = OnObject(model)
    ns.flat, ns.time_first = shape == "flat", time == 0 and shape == "steps"
    kit = losses.make(name, dice, model, width, ns)
    if kit.one_batch:
        sizes = (sum(sizes),)

    def inputs(n: int) -> Any:
        x: Any
        if layout == "graph":
            return _graph(dice, n, features)
        if tokens:
            shape_ = (n, steps) if time else (steps, n)
            # a padding row that a tied head trains has no derivative where it is looked up
            low = int(tied and "padding_idx" in dice.features)
            return low + dice.integers((width if tied else 5) - low, *shape_)
        dims = {"vector": (n, features), "sequence": (n, steps, features),
                "time_first": (steps, n, features), "image": (n, 2, 4, 4),
                "signal": (n, 2, 5)}  # fmt: skip
        x = dice.normal(*dims[layout])
        if container == "tensor":
            return x
        z = dice.normal(n, 1)
        wrap: dict[str, Callable[[], Any]] = {
            "tuple": lambda: (x, z), "list": lambda: [x, z], "named_tuple": lambda: Pair(x, z),
            "dict": lambda: {"z": z, "x": x} if swapped else {"x": x, "z": z},
            "dataclass": lambda: Record(x, z), "object": lambda: Bag(x, z),
        }  # fmt: skip
        return wrap[container]()

    swapped = dice.chance(0.5)
    sample_dim = 1 if (time == 0 and shape == "steps") else 0

    def target_shape(n: int) -> tuple[int, ...]:
        return {
            "pooled": (n, width), "flat": (n * steps, width), "classes": (n, width, steps),
            "steps": (n, steps, width) if time else (steps, n, width),
        }[shape]  # fmt: skip

    batches = [(inputs(n), kit.targets(target_shape(n))) for n in sizes]
    forward: Callable[[nn.Module, Any], Tensor] = _call
    keywords: dict[str, Any] = {} if kit.reduction is None else {"reduction": kit.reduction}
    if container == "named_tuple" and dice.chance(0.5):
        model = OnObject(model)
        forward = lambda m, x: m(x)  # noqa: E731
        keywords["forward"] = forward
        dice.note("forward")
    elif dice.chance(0.1):
        model = Answer(model)
        forward = _logits
        keywords["forward"] = forward
        dice.note("dict_outputs")
    setup = Setup(
        dice.features, model, kit, batches, _container(dice, sizes), keywords, precision, ns,
        forward, sample_dim, sum(sizes), flat=shape == "flat", sizes=sizes,
    )  # fmt: skip
    return _finish(setup, dice)


def _logits(model: nn.Module, x: Any) -> Tensor:
    out: Any = _call(model, x)
    logits: Tensor = out["logits"]
    return logits


def _call(model: nn.Module, x: Any) -> Tensor:
    if isinstance(x, (tuple, list)):
        out: Tensor = model(*x)
    elif isinstance(x, dict):
        out = model(**x)
    else:
        out = model(x)
    return out


def _sizes(dice: Dice) -> tuple[int, ...]:
    return dice.of(((6,), (5,), (7,), (4, 3), (3, 1, 2), (2, 5), (1, 4), (3, 3)))


def _container(dice: Dice, sizes: tuple[int, ...]) -> str:
    options = ("list", "iterable", "loader", "shuffled")
    return dice.named("data", ("pair", "pair", "list") if len(sizes) == 1 else options)


def _trunk(dice: Dice, w: int, time: int | None, *, smooth: bool = False) -> nn.Module:
    parts: list[nn.Module] = []
    for _ in range(dice.between(1, 3)):
        if time is not None and dice.chance(0.5):
            options = blocks.SEQUENCE + (blocks.BATCH_FIRST_ONLY if time == 1 else ())
            name = dice.named("block", options)
            parts.append(blocks.sequential(name, dice, w, batch_first=time == 1))
            continue
        name = dice.of(blocks.POINTWISE)
        if name in blocks.SUSPECT and dice.chance(0.6):
            name = "mlp"
        dice.note(f"block:{name}")
        parts.append(blocks.pointwise(name, dice, w))
    if dice.chance(0.15):
        dice.note("same_block_twice")
        parts.append(parts[0])
    keyed = dice.chance(0.3)
    return Trunk(parts, keyed)


def _embedding(dice: Dice, layout: str, features: int, w: int, vocabulary: int) -> nn.Module:
    if layout.startswith("tokens"):
        padded = dice.chance(0.2)
        if padded:
            dice.note("padding_idx")
        return nn.Embedding(vocabulary, w, padding_idx=0 if padded else None)
    if layout == "image":
        norm = dice.named("norm", ("none", "batch", "group"))
        pool = dice.named("pool", ("max", "avg", "adaptive_max", "lp"))
        layers: list[nn.Module] = [nn.Conv2d(2, w, 2, stride=dice.of((1, 2)))]
        layers += _norm(norm, w, 2, dice)
        layers.append(blocks.Act(dice.named("act", tuple(blocks.ACTIVATIONS))))
        pools: dict[str, Callable[[], nn.Module]] = {
            "max": lambda: nn.MaxPool2d(2), "avg": lambda: nn.AvgPool2d(2),
            "adaptive_max": lambda: nn.AdaptiveMaxPool2d(1), "lp": lambda: nn.LPPool2d(2, 2),
        }  # fmt: skip
        return nn.Sequential(*layers, pools[pool](), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if layout == "signal":
        norm = dice.named("norm", ("none", "batch", "group", "instance"))
        layers = [nn.Conv1d(2, w, 3), *_norm(norm, w, 1, dice)]
        pool_ = nn.AdaptiveAvgPool1d(1) if dice.chance(0.5) else nn.AdaptiveMaxPool1d(1)
        return nn.Sequential(*layers, pool_, nn.Flatten())
    return nn.Linear(features, w)


def _norm(name: str, w: int, dims: int, dice: Dice) -> list[nn.Module]:
    if name == "none":
        return []
    if name == "group":
        return [nn.GroupNorm(1, w)]
    if name == "instance":
        return [nn.InstanceNorm1d(w, affine=True)]
    norm = nn.BatchNorm1d(w) if dims == 1 else nn.BatchNorm2d(w)
    norm.running_mean.copy_(0.3 * dice.normal(w))  # type: ignore[union-attr]
    norm.running_var.copy_(0.5 + dice.uniform(w))  # type: ignore[union-attr]
    return [norm]


def _loss_name(dice: Dice, layout: str, shape: str, time: int | None) -> tuple[str, bool]:
    classes = shape in ("pooled", "flat", "classes")
    plain = tuple(n for n in losses.CALLABLES if n not in losses.RARE or dice.chance(0.3))
    families = [losses.ELEMENTWISE + losses.OURS, plain]
    if shape == "classes":
        # plain functions and critics want features in the last dimension
        families = [("mse", "huber", "squared_error", "squared_error_mean", "mse_sum")]
    if classes:
        families.append(losses.CLASSES)
    name = dice.named("loss", dice.of(families))
    return name, name in ("nll", "kl", "kl_batchmean")


def _graph(dice: Dice, n: int, features: int) -> Graph:
    counts = [dice.between(1, 3) for _ in range(n)]
    batch = torch.repeat_interleave(torch.arange(n), torch.tensor(counts))
    nodes = len(batch)
    ends, start = [], 0
    for count in counts:
        ends.append(start + dice.integers(count, 2, 2 * count))
        start += count
    return Graph(dice.normal(nodes, features), torch.cat(ends, 1), batch, n)


def _own_loss(
    dice: Dice, w: int, sizes: tuple[int, ...], precision: str, ns: SimpleNamespace
) -> Setup:
    net = Net(nn.Linear(3, w), _trunk(dice, w, None), nn.Linear(w, 2), "pooled", None,
              two=False, log=False)  # fmt: skip
    model = OwnLoss(net)
    batches = [((dice.normal(n, 3), y := dice.normal(n, 2)), y) for n in sizes]
    weights = [n / sum(sizes) for n in sizes]

    def plain(f: Tensor, y: Any) -> Tensor:
        return (f * torch.tensor(weights, dtype=f.dtype)).sum()

    kit = losses.Kit(
        lambda f, y: f, plain, lambda shape: dice.normal(*shape), reduction="mean", reads=True
    )
    setup = Setup(
        dice.features, model, kit, batches, _container(dice, sizes), {"reduction": "mean"},
        precision, ns, _call, 0, sum(sizes), flat=True, sizes=sizes,
    )  # fmt: skip
    return _finish(setup, dice)


def _pinn(dice: Dice, w: int, precision: str, ns: SimpleNamespace) -> Setup:
    smooth = tuple(n for n in blocks.POINTWISE if n not in blocks.SUSPECT)
    parts: list[nn.Module] = []
    for _ in range(dice.between(1, 2)):
        name = dice.named("block", smooth)
        parts.append(blocks.pointwise(name, dice, w))
    net = Net(nn.Linear(2, w), Trunk(parts, False), nn.Linear(w, 1), "pooled", None, two=False,
              log=False)  # fmt: skip
    ns.points, ns.values = dice.normal(4, 2), dice.normal(4, 1)
    kind = dice.named("closure", ("gradient", "penalty", "data", "ritz"))

    def closure(model: nn.Module) -> Tensor:
        x = ns.points.detach().to(next(model.parameters()).dtype).requires_grad_()
        u = model(x)
        if kind == "data":
            return (u - ns.values).square().mean()
        (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        if kind == "gradient":
            return (du[:, :1] + u * du[:, 1:] - ns.values).square().mean()
        if kind == "ritz":
            return 0.5 * du.square().sum(-1).mean() - (u * ns.values).mean()
        return (u - ns.values).square().mean() + 0.1 * (du.norm(dim=-1) - 1).square().mean()

    kit = losses.Kit(None, lambda f, y: f, lambda shape: dice.normal(*shape), reads=True)
    if precision.startswith("half"):
        precision = "float64"
    setup = Setup(
        dice.features, net, kit, [], "closure", {}, precision, ns, _call, 0, 4, flat=True,
        closure=closure,
    )  # fmt: skip
    return _finish(setup, dice)


def _finish(setup: Setup, dice: Dice) -> Setup:
    model = setup.model
    with torch.no_grad():
        for name, p in model.named_parameters():
            if not name.endswith(".B"):
                p.add_(0.2 * dice.normal(*p.shape))
            if name.endswith("embed.weight") and "padding_idx" in dice.features:
                p[0] = 0
    free = setup.parameters()
    if dice.chance(0.25) and len(free) > 2:
        dice.note("frozen_subset")
        for p in dice_sample(dice, free):
            p.requires_grad_(False)
    free = setup.parameters()
    if dice.chance(0.1) and not setup.closure and "tokens" not in "".join(dice.features[:1]):
        dice.note("inputs_require_grad")
        for x, _ in setup.batches:
            for tensor in tensors_of(x):
                if tensor.is_floating_point():
                    tensor.requires_grad_(True)
    while sum(p.numel() for p in free) > MOST and len(free) > 1:
        dice.note("frozen_subset")
        max(free, key=lambda p: p.numel()).requires_grad_(False)
        free = setup.parameters()
    if not free:
        next(iter(model.parameters())).requires_grad_(True)
        free = setup.parameters()
    for module in setup.modules():
        module.train(False)
    if dice.chance(0.3) and not any(
        any(word in type(m).__name__ for word in ("Norm1d", "Norm2d", "Spectral", "Transformer"))
        for m in model.modules()
    ):  # fmt: skip
        dice.note("training_mode")
        model.train()
    setup.ambient = dice.of(("none",) * 8 + ("no_grad", "inference", "autocast", "default_dtype"))
    if setup.ambient != "none":
        dice.note(f"ambient:{setup.ambient}")
    if "padding_idx" in dice.features and "tied_head" not in dice.features:
        named = [n for n in setup.names() if n.endswith("embed.weight")]
        setup.constant_rows = tuple((n, 0) for n in named)
    return setup


def dice_sample(dice: Dice, free: list[nn.Parameter]) -> list[nn.Parameter]:
    chosen = [p for p in free if dice.chance(0.4)]
    return chosen[:-1] if len(chosen) == len(free) else chosen
