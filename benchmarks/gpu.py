"""Curvature on one GPU, in gradients of the same run: products, blocks, eigenvalues, memory.

Residual networks in evaluation mode and decoder-only transformers, random data and labels, float32
with TF32 off. Where curvlinops is installed, its Hessian product, plain and compiled, runs in turn
with ours. Every row has a limit of time; a row that does not fit into memory says so.

    python benchmarks/gpu.py                          # under 8 minutes on one device
    python benchmarks/gpu.py --device cpu --small     # the same code on small networks
"""

from __future__ import annotations

import argparse
import functools
import gc
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import matmul

import torch
from torch import Tensor, nn

import hessium as hs
from models import GPT

Case = tuple[nn.Module, nn.Module, tuple[Tensor, Tensor]]

BLOCK = 8
REPEATS = 5


class Residual(nn.Module):
    """A residual block: two 3 x 3 convolutions, or a bottleneck of 1 x 1, 3 x 3 and 1 x 1."""

    def __init__(self, inside: int, outside: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        narrow = outside // 4 if bottleneck else outside
        shapes = [(inside, narrow, 3, stride), (narrow, outside, 3, 1)]
        if bottleneck:
            shapes = [(inside, narrow, 1, 1), (narrow, narrow, 3, stride), (narrow, outside, 1, 1)]
        layers: list[nn.Module] = []
        for number, (a, b, size, step) in enumerate(shapes):
            layers += [nn.Conv2d(a, b, size, step, size // 2, bias=False), nn.BatchNorm2d(b)]
            if number < len(shapes) - 1:
                layers.append(nn.ReLU())
        self.layers = nn.Sequential(*layers)
        self.skip: nn.Module = nn.Identity()
        if stride > 1 or inside != outside:
            self.skip = nn.Sequential(
                nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.layers(x) + self.skip(x))


def resnet(widths: list[int], depths: list[int], *, bottleneck: bool) -> nn.Module:
    """A residual network for images of 32 x 32, ten classes, in evaluation mode."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
    ]  # fmt: skip
    inside = 64
    for number, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        for k in range(depth):
            stride = 2 if number and not k else 1
            layers.append(Residual(inside, width, stride, bottleneck=bottleneck))
            inside = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 10)]
    return nn.Sequential(*layers).eval()


def images(model: nn.Module, samples: int) -> Case:
    data = torch.randn(samples, 3, 32, 32), torch.randint(0, 10, (samples,))
    return model, nn.CrossEntropyLoss(), data


def tokens(width: int, layers: int, vocabulary: int, samples: int, context: int) -> Case:
    model = GPT(vocabulary, width, max(1, width // 64), layers, context, fused=True)
    data = torch.randint(0, vocabulary, (2, samples, context))
    return model, nn.CrossEntropyLoss(), (data[0], data[1])


LARGE: dict[str, Callable[[], Case]] = {
    "ResNet-18": lambda: images(resnet([64, 128, 256, 512], [2, 2, 2, 2], bottleneck=False), 128),
    "ResNet-50, half as wide": lambda: images(
        resnet([128, 256, 512, 1024], [3, 4, 6, 3], bottleneck=True), 64
    ),
    "GPT, 14M": lambda: tokens(384, 6, 4096, 16, 256),
    "GPT, 98M": lambda: tokens(768, 12, 8192, 4, 256),
}
SMALL: dict[str, Callable[[], Case]] = {
    "residual network": lambda: images(resnet([16, 32], [1, 1], bottleneck=False), 8),
    "bottleneck network": lambda: images(resnet([32, 64], [1, 1], bottleneck=True), 8),
    "GPT": lambda: tokens(64, 2, 64, 2, 32),
}


@dataclass
class Row:
    """What one network costs."""

    name: str
    parameters: int = 0
    milliseconds: float = 0.0
    gradients: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Device:
    """Time and memory of work on a device."""

    def __init__(self, name: str) -> None:
        self.name, self.cuda = name, name.startswith("cuda")

    @property
    def card(self) -> str:
        return torch.cuda.get_device_name() if self.cuda else platform.processor() or "CPU"

    def seconds(self, work: Callable[[], object]) -> float:
        self._wait()
        start = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - start

    def gibibytes(self, work: Callable[[], object]) -> float:
        """Largest memory during some work beyond what was there; 0 on a CPU."""
        if not self.cuda:
            work()
            return 0.0
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return (torch.cuda.max_memory_allocated() - before) / 2**30

    def _wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()


def measured(name: str, make: Callable[[], Case], device: Device, until: float) -> Row:
    torch.manual_seed(0)
    model, loss, (x, y) = make()
    model, x, y = model.to(device.name), x.to(device.name), y.to(device.name)
    row = Row(name, sum(p.numel() for p in model.parameters()))
    weights = [p for p in model.parameters() if p.requires_grad]

    def gradient() -> None:
        torch.autograd.grad(loss(model(x), y), weights)

    for _ in range(3):
        gradient()
    risk = hs.EmpiricalRisk(model, loss, (x, y))
    check = device.seconds(lambda: hs.Hessian(risk))
    vectors = torch.randn(risk.dim, BLOCK, device=device.name)
    work: dict[str, Callable[[], object]] = {}
    for kind in (hs.Hessian, hs.GaussNewton):
        operator = kind(risk, check=False)
        work[f"{kind.__name__} product"] = functools.partial(matmul, operator, vectors[:, 0])
        block = functools.partial(matmul, operator, vectors)
        work[f"{kind.__name__} block of {BLOCK}, a vector"] = block
    work |= dict(peers(model, loss, x, y, vectors[:, 0]))
    for key in list(work):
        try:
            for _ in range(6):  # trials of routes and compilation
                work[key]()
        except (RuntimeError, ValueError) as error:
            row.notes.append(f"{key}: {str(error).splitlines()[0][:80]}")
            del work[key]
    times: dict[str, list[float]] = {key: [] for key in work}
    base = []
    for _ in range(REPEATS):
        base.append(device.seconds(gradient))
        for key, one in work.items():
            times[key].append(device.seconds(one))
    row.milliseconds = 1e3 * (unit := statistics.median(base))
    row.gradients["first Hessian, with its self-check"] = check / unit
    for key, found in times.items():
        vectors_at_once = BLOCK if "block" in key else 1
        row.gradients[key] = statistics.median(found) / unit / vectors_at_once
    if device.cuda:
        memory = device.gibibytes(gradient)
        ours = device.gibibytes(lambda: hs.Hessian(risk, check=False) @ vectors[:, 0])
        row.notes.append(f"memory of a product: {ours / memory:.2f} times that of a gradient")
    if time.perf_counter() < until:
        operator = hs.Hessian(risk, check=False)
        top = hs.eigenpairs(operator, 10, tol=1e-2)
        seconds = device.seconds(lambda: hs.eigenpairs(operator, 10, tol=1e-2))
        row.gradients["ten eigenvalues (tol 1e-2)"] = seconds / unit
        row.notes.append(f"ten eigenvalues: {top.num_matvecs} products")
    else:
        row.notes.append("ten eigenvalues: not measured, the time was up")
    return row


def peers(
    model: nn.Module, loss: nn.Module, x: Tensor, y: Tensor, v: Tensor
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Hessian products of curvlinops, as they come and compiled, where it is installed."""
    try:
        from curvlinops import HessianLinearOperator
    except ImportError:
        return
    weights = [p for p in model.parameters() if p.requires_grad]
    operator = HessianLinearOperator(model, loss, weights, [(x, y)], check_deterministic=False)
    yield "curvlinops, Hessian product", lambda: operator @ v
    compiled = torch.compile(lambda u: operator @ u)
    yield "curvlinops, compiled", lambda: compiled(v)


def table(rows: list[Row], device: Device) -> str:
    kinds = list(dict.fromkeys(kind for row in rows for kind in row.gradients))
    lines = [
        f"{device.card}, torch {torch.__version__}, float32 with TF32 off; in gradients.",
        "",
        "| | " + " | ".join(row.name for row in rows) + " |",
        "|---" * (len(rows) + 1) + "|",
        "| parameters | " + " | ".join(f"{row.parameters:,}" for row in rows) + " |",
        "| one gradient (ms) | " + " | ".join(f"{row.milliseconds:.2f}" for row in rows) + " |",
    ]
    for kind in kinds:
        cells = [f"{row.gradients[kind]:.2f}" if kind in row.gradients else "" for row in rows]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    lines += ["", *(f"- {row.name}: {note}" for row in rows for note in row.notes)]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=default)
    parser.add_argument("--small", action="store_true", help="small networks")
    parser.add_argument("--minutes", type=float, default=7.0, help="limit (default: 7)")
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    warnings.simplefilter("ignore")
    device, cases = Device(options.device), SMALL if options.small else LARGE
    start, rows = time.perf_counter(), list[Row]()
    for number, (name, make) in enumerate(cases.items()):
        # each network has an equal share of what is left
        now = time.perf_counter()
        left = 60 * options.minutes - (now - start)
        if left <= 0:
            rows.append(Row(name, notes=["not measured, the time was up"]))
            continue
        try:
            rows.append(measured(name, make, device, now + left / (len(cases) - number) / 2))
        except torch.OutOfMemoryError:
            rows.append(Row(name, notes=["does not fit into the memory of the device"]))
        gc.collect()
        print(f"{name}: {time.perf_counter() - now:.0f} s", flush=True)
    print(table(rows, device))


if __name__ == "__main__":
    main()
