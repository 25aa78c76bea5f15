"""Processor time of the records of a monitor, in training steps of the same run, on one thread.

A GPT of 470,528 parameters learns a Markov chain; the monitor has a batch of the training's size.

    PYTHONPATH=src OMP_NUM_THREADS=1 python benchmarks/monitor_records.py [STEPS [WORDS]]

STEPS of the training (500), and WORDS of the rows that are wanted, such as AdamW.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import hessium as hs
from models import gpt

OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "SGD, momentum": lambda m: torch.optim.SGD(m.parameters(), 0.05, momentum=0.9),
    "AdamW": lambda m: torch.optim.AdamW(m.parameters(), 1e-3),
}
ROWS: dict[str, dict[str, Any]] = {
    "default": {},
    "sharpness alone": {"track": ["sharpness"]},
    "default with upper ends": {"bound_steps": 1},
    "sharpness alone with upper ends": {"track": ["sharpness"], "bound_steps": 1},
}
EVERY = 25


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    """Eight sequences of a chain in which each token has four successors."""
    generator = torch.Generator().manual_seed(0)
    successors = torch.randint(0, 256, (256, 4), generator=generator)
    while True:
        tokens = torch.randint(0, 256, (8, 65), generator=generator)
        for i in range(64):
            chosen = torch.randint(0, 4, (8,), generator=generator)
            tokens[:, i + 1] = successors[tokens[:, i], chosen]
        yield tokens[:, :-1], tokens[:, 1:]


def costs(name: str, options: dict[str, Any], steps: int) -> str:
    model, loss, _, _ = gpt()
    optimizer, data = OPTIMIZERS[name](model), batches()
    monitor = hs.Monitor(model, loss, next(data), optimizer, every=EVERY, **options)
    training, records = [], []
    for _ in range(steps):
        x, y = next(data)
        start = time.process_time()
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
        middle = time.process_time()
        record = monitor.step()
        training.append(middle - start)
        if record is not None and len(monitor.records) % 10 != 1:  # the others hold all quantities
            records.append(((time.process_time() - middle), record.num_matvecs))
    seconds, products = np.array(records).T
    ratios = seconds / np.median(training)
    few = products == products.min()
    ends = [r.sharpness for r in monitor.records if r.sharpness is not None]
    closed = [end.upper / end.value for end in ends if np.isfinite(end.upper)]
    return (
        f"median {np.median(ratios):.1f} training steps with {np.median(products):g} products; "
        f"{np.median(ratios[few]):.1f} in the {few.sum()} of {few.size} records with "
        f"{products.min():g}; mean {ratios.mean():.1f}; {len(closed)} of {len(ends)} records with "
        f"an upper end, {min(closed):.3g} to {max(closed):.3g} times the value"
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for optimizer_name in OPTIMIZERS:
        for row_name, row in ROWS.items():
            label = f"{optimizer_name}, {row_name}"
            if " ".join(sys.argv[2:]) in label:
                found = costs(optimizer_name, row, int(sys.argv[1]) if len(sys.argv) > 1 else 500)
                print(f"{label}: {found}", flush=True)
