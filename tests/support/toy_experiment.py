"""A small experiment without curvature: the largest eigenvalue of a random symmetric matrix."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hessium._typing import AnyArray
from hessium.figures.records import (
    Chart,
    Findings,
    Section,
    Series,
    Table,
    exact,
    judge,
    measured,
    over,
)
from hessium.runs.experiment import Experiment, Result, Task, settings
from hessium.runs.run_directory import RunDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyConfig:
    sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    pause: float = 0.0
    log: str = ""


def tasks(config: ToyConfig) -> list[Task]:
    return [
        {"size": size, "seed": seed, "pause": config.pause, "log": config.log}
        for size in config.sizes
        for seed in config.seeds
    ]


def compute(task: Task) -> Result:
    if task["log"]:
        with Path(task["log"]).open("a") as file:
            file.write(f"{task['size']} {task['seed']} {os.getpid()}\n")
    time.sleep(task["pause"])
    size = int(task["size"])
    matrix = np.random.default_rng(task["seed"]).standard_normal((size, size))
    values = np.linalg.eigvalsh((matrix + matrix.T) / np.sqrt(2 * size))
    return {"eigenvalues": values, "largest": float(values[-1]), "threads": torch.get_num_threads()}


def summarise(
    config: ToyConfig, results: Sequence[Result]
) -> tuple[Findings, Mapping[str, AnyArray]]:
    largest = np.array([r["largest"] for r in results])
    table = largest.reshape(len(config.sizes), len(config.seeds)).T
    what = f"{len(config.seeds)} seeds"
    chart = Chart(
        name="largest",
        title="Largest eigenvalue <of a random matrix>",
        caption="The edge comes closer as the matrix grows & grows.",
        x_label="size n",
        y_label="largest eigenvalue",
        x_scale="log",
        series=(
            measured("symmetric Gaussian matrix, measured", config.sizes, table, what=what),
            Series(
                label="edge of the semicircle law",
                x=np.array(config.sizes, dtype=np.float64),
                y=np.full(len(config.sizes), 2.0),
                error="exact",
                source="theory",
                mark="line",
            ),
        ),
    )
    rows = tuple(
        (str(size), exact(size), over(table[:, i], what)) for i, size in enumerate(config.sizes)
    )
    findings = Findings(
        statements=(
            judge("It is near 2.", bool(np.abs(table - 2).max() < 1), f"most {largest.max():.3f}"),
            judge("It is above 5.", bool((table > 5).all()), f"least {largest.min():.3f}"),
            judge("It follows the Tracy-Widom law.", None, "too few seeds to tell"),
        ),
        charts=(chart,),
        tables=(Table(title="Largest", columns=("matrix", "n", "largest"), rows=rows),),
        notes=("A note with <script>alert(1)</script> in it.",),
    )
    return findings, {"largest": table}


def toy(name: str = "toy", pause: float = 0.0, log: str = "") -> Experiment[ToyConfig]:
    quick = ToyConfig(sizes=(10, 20, 40), seeds=(0, 1), pause=pause, log=log)
    return Experiment(
        name=name,
        title="Toy & title",
        shows="Shows the edge of a random spectrum.",
        presets={"quick": quick, "paper": quick},
        seeds=lambda config: config.seeds,
        tasks=tasks,
        compute=compute,
        summarise=summarise,
    )


def fill(folder: Path, names: tuple[str, ...] = ("toy", "other")) -> RunDirectory:
    """A run directory with a section of each name."""
    run = RunDirectory.create(folder)
    for name in names:
        experiment = toy(name)
        config = experiment.config("quick")
        findings, arrays = summarise(config, [compute(task) for task in tasks(config)])
        section = Section(
            experiment=name,
            title=experiment.title,
            shows=experiment.shows,
            preset="quick",
            config=settings(config),
            seeds=(0, 1),
            command=f"hessium reproduce {name} --preset quick",
            versions={"python": "3.11", "numpy": "2.0"},
            tasks=6,
            seconds=1.5,
            finished="2026-01-01T00:00:00+00:00",
            findings=findings,
        )
        run.put(section, arrays, order=("toy", "other"))
    return run
