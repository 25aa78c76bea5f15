"""Two processes of one thread against one process of one thread, on the same data.

    OMP_NUM_THREADS=1 python benchmarks/ranks.py              # about 35 minutes on two free cores
    OMP_NUM_THREADS=1 python benchmarks/ranks.py --probes 2   # eight minutes
    OMP_NUM_THREADS=1 python benchmarks/ranks.py --quick      # small, to see that it runs

The data are a list of batches, as of a loader, and each process has every second one. So many
samples are needed that half of them take half of the time: work of the size of the parameters does
not shrink. Batches are so small that a graph of one stays in the cache of a core; with all samples
in one batch (`--batches 8192,48`) products allocate hundreds of MiB anew, and two processes share
the bandwidth of the memory.

Rounds alternate in one run: both processes compute with a half of the data each, then the first one
alone with all of them, while the second one waits. The parallel efficiency is T1 / (2 T2), from the
sums over all rounds of wall time. For products, the same quotient of two processes without a
process group stands beside it: it is what the machine allows. So does the quotient of processor
times, which other programs on the machine disturb less, but which does not see the time that a
process waits.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

import hessium as hs
from models import GPT

RANKS = 2


def mlp(samples: int) -> tuple[nn.Module, Tensor, Tensor]:
    """784-256-256-10 tanh: 269,322 parameters."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(784, 256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, 10)
    )
    return model, torch.randn(samples, 784), torch.randint(0, 10, (samples,))


def gpt(samples: int) -> tuple[nn.Module, Tensor, Tensor]:
    """Two layers of width 128, context 64, vocabulary 256: 470,528 parameters."""
    torch.manual_seed(0)
    tokens = torch.randint(0, 256, (samples, 65))
    return GPT(256, 128, 4, 2, 64, fused=False), tokens[:, :-1], tokens[:, 1:]


class Race:
    """Rounds of the same work, on all processes and on the first one alone."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.wall: list[list[float]] = []  # by round: together, alone, apart
        self.processor: list[list[float]] = []

    def round(
        self,
        together: Callable[[], Any],
        alone: Callable[[], Any],
        apart: Callable[[], Any] | None = None,
    ) -> None:
        """One round; the sum of the processor times of all processes counts."""
        wall, processor = [], []
        works = [(together, True), (alone, self.rank == 0)]
        for work, here in works if apart is None else [*works, (apart, True)]:
            dist.barrier()
            start, used = time.perf_counter(), time.process_time()
            if here:
                work()
            mine = time.process_time() - used
            dist.barrier()
            wall.append(time.perf_counter() - start)
            total = torch.tensor([mine if here else 0.0], dtype=torch.float64)
            dist.all_reduce(total)
            processor.append(float(total))
        self.wall.append(wall)
        self.processor.append(processor)

    def summary(self, products: int) -> dict[str, float]:
        """Efficiencies, and the times of one product."""
        wall, processor = np.array(self.wall), np.array(self.processor)
        each = wall[:, 1] / (RANKS * wall[:, 0])
        together, alone, *apart = wall.sum(axis=0)
        return {
            "efficiency": float(alone / (RANKS * together)),
            "ceiling": float(alone / (RANKS * apart[0])) if apart else float("nan"),
            "median": float(np.median(each)),
            "lowest": float(each.min()),
            "highest": float(each.max()),
            "processor efficiency": float(processor[:, 1].sum() / processor[:, 0].sum()),
            "ms together": 1e3 * float(together) / products,
            "ms alone": 1e3 * float(alone) / products,
            "processor ms together": 1e3 * float(processor[:, 0].sum()) / products,
            "processor ms alone": 1e3 * float(processor[:, 1].sum()) / products,
        }


def measure(
    name: str, samples: int, size: int, probes: int, steps: int, rank: int
) -> list[dict[str, Any]]:
    """Rows of the table for one model, with batches of at most `size` samples."""
    model, x, y = {"MLP": mlp, "GPT": gpt}[name](samples)
    loss = nn.CrossEntropyLoss()
    data = list(zip(x.split(size), y.split(size), strict=True))
    part = data[rank::RANKS]
    if len(data) == 1:  # half of it
        part = [(x[rank::RANKS], y[rank::RANKS])]
    risk = hs.EmpiricalRisk(model, loss, part, process_group=dist.group.WORLD)
    together = hs.Hessian(risk)
    together.prepare(1000)
    apart = hs.Hessian(hs.EmpiricalRisk(model, loss, part))
    apart.prepare(1000)
    alone = together
    if rank == 0:
        alone = hs.Hessian(hs.EmpiricalRisk(model, loss, data))
        alone.prepare(1000)
    torch.manual_seed(1)
    v = torch.randn(risk.dim)

    def products(operator: hs.Hessian) -> Callable[[], Tensor]:
        def run() -> Tensor:
            for _ in range(steps // 8):
                image = operator @ v
            return image

        return run

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = products(together)()  # also warms both up
        other = products(alone)() if rank == 0 else one
        error = float((one - other).norm() / other.norm())
        products(apart)()
        rows, race = [], Race(rank)
        for _ in range(probes):
            race.round(products(together), products(alone), products(apart))
        rows.append({"work": "products", **race.summary(probes * (steps // 8))})
        race = Race(rank)
        for seed in range(probes):
            race.round(
                functools.partial(hs.spectral_measure, together, 1, steps, rng=seed),
                functools.partial(hs.spectral_measure, alone, 1, steps, rng=seed),
            )
        rows.append({"work": f"measure {probes} x {steps}", **race.summary(probes * steps)})
    before = risk.ranks.bytes_sent
    together.times_shares(together.shares.part(v[None]).contiguous())
    sent = risk.ranks.bytes_sent - before
    facts = {
        "model": name,
        "samples": samples,
        "batch": size,
        "parameters": risk.dim,
        "difference": error,
    }
    basis = steps * together.shares.largest / (steps * risk.dim)
    return [{**facts, **row, "bytes sent": sent, "basis": basis} for row in rows]


def worker(rank: int, folder: Path, options: argparse.Namespace) -> None:
    """One of the two processes."""
    torch.set_num_threads(1)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) >= RANKS:
        os.sched_setaffinity(0, {cores[rank]})
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=RANKS
    )
    rows = []
    sizes = map(int, options.batches.split(","))
    for name, samples, size in zip(("MLP", "GPT"), (options.mlp, options.gpt), sizes, strict=True):
        if samples:
            rows += measure(name, samples, size, options.probes, options.steps, rank)
    if rank == 0:
        (folder / "rows.json").write_text(json.dumps(rows))
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mlp", type=int, default=16384, help="samples for the MLP, or 0")
    parser.add_argument(
        "--gpt", type=int, default=144, help="sequences of 64 tokens for the GPT, or 0"
    )
    parser.add_argument("--batches", default="1024,12", help="most samples of a batch, for each")
    parser.add_argument("--probes", type=int, default=10)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--quick", action="store_true", help="2 x 8 instead of 10 x 80")
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.probes, options.steps = 2, 8
    if options.rank is not None:
        worker(options.rank, options.folder, options)
        return
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *sys.argv, "--folder", folder, "--rank"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        workers = [
            subprocess.Popen([*command, str(rank)], env=environment) for rank in range(RANKS)
        ]
        if max(process.wait() for process in workers):
            sys.exit("a process failed")
        rows = json.loads((Path(folder) / "rows.json").read_text())
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}")
    for row in rows:
        ceiling = row["ceiling"]
        without = "" if math.isnan(ceiling) else f"without communication {ceiling:.1%}, "
        print(
            f"{row['model']} {row['parameters']:,} parameters, {row['samples']} samples in batches "
            f"of {row['batch']}, {row['work']}: efficiency {row['efficiency']:.1%} (median of the "
            f"rounds {row['median']:.1%}, {row['lowest']:.0%} to {row['highest']:.0%}), "
            f"{without}by processor time "
            f"{row['processor efficiency']:.1%}; {row['ms alone']:.1f} ms a product alone, "
            f"{row['ms together']:.1f} together (processor: {row['processor ms alone']:.1f}, "
            f"{row['processor ms together']:.1f}); basis {row['basis']:.1%} a rank, "
            f"{row['bytes sent']:,} bytes sent a product, products differ by "
            f"{row['difference']:.1e}"
        )
    print(f"{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
