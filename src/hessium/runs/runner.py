"""Runs the tasks of an experiment, here or in worker processes, and stores each as it finishes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from hessium._processes import SECONDS, computed
from hessium._workers import require_workers
from hessium.progress import Progress, silent
from hessium.runs.experiment import Config, Experiment, Result
from hessium.runs.fingerprint import fingerprint
from hessium.runs.result_store import Computation, Store, key


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """Results of all tasks of one config.

    Attributes:
        results: in the order of the tasks.
        computed: how many were computed now.
        reused: how many were stored by an earlier run.
        seconds: computing time of all of them, added up, whenever they were computed.
    """

    results: tuple[Result, ...]
    computed: int
    reused: int
    seconds: float


def run(
    experiment: Experiment[Config],
    config: Config,
    store: Store,
    *,
    workers: int = 1,
    executor: Executor | None = None,
    force: bool = False,
    progress: Progress = silent,
    seen: Callable[[Result], None] | None = None,
) -> Outcome:
    """Compute what is missing in `store` and return everything.

    A task runs on one thread, whatever the number of workers, so that its numbers do not depend on
    what runs beside it. Each is stored, by this process alone, when it ends: a run that was
    interrupted or killed computes only what is missing.

    Args:
        experiment: what to run.
        config: with which settings.
        store: finished tasks; it is read and added to.
        workers: processes; 1 computes in this one.
        executor: where to compute instead, such as `dask.distributed.Client(...).get_executor()`;
            it stays open.
        force: compute again what is there.
        progress: called with tasks done, tasks in all, and the experiment's name.
        seen: called with every result, the stored ones first.

    Returns:
        The results, and how many of them were computed now.

    Raises:
        InputError: if `workers` is not a positive integer, or more than four times the cores.
    """
    if executor is None:
        require_workers(workers)
    code = fingerprint(experiment.compute.__module__)
    todo = [Computation(experiment.name, task, code) for task in experiment.tasks(config)]
    names = [key(*computation) for computation in todo]
    found = {} if force else {n: r for n in names if (r := store.load(n)) is not None}
    missing = {n: c for n, c in zip(names, todo, strict=True) if n not in found}

    done = reused = len(todo) - len(missing)
    progress(done, len(todo), experiment.name)
    for known in found.values():
        if seen is not None:
            seen(known)
    tasks = {name: computation.task for name, computation in missing.items()}
    source = computed(experiment.compute, tasks, min(workers, len(tasks)), executor)
    with contextlib.closing(source):  # workers end before anything is said about an error
        for name, result in source:
            store.save(missing[name], result)
            done += 1
            if seen is not None:
                seen(result)
            progress(done, len(todo), experiment.name)

    for name in missing:
        stored = store.load(name)
        if stored is None:
            msg = f"the result just stored as {name} cannot be read back"
            raise OSError(msg)
        found[name] = stored
    seconds = sum(float(found[n][SECONDS]) for n in dict.fromkeys(names))
    return Outcome(
        results=tuple(found[n] for n in names),
        computed=len(missing),
        reused=reused,
        seconds=seconds,
    )
