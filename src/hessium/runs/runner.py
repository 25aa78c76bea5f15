"""Runs the tasks of an experiment, here or in worker processes, and stores each as it finishes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic

from hessium._processes import Futures, computed, finished, submitted
from hessium._workers import SECONDS, require_workers
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


class Started(Generic[Config]):
    """An experiment whose tasks are with the workers, or wait to be computed here.

    A task runs on one thread, whatever the number of workers, so that its numbers do not depend on
    what runs beside it. Each is stored, by this process alone, when it ends: a run that was
    interrupted or killed computes only what is missing.

    Args:
        experiment: what to run.
        config: with which settings.
        store: finished tasks; it is read and added to.
        executor: workers that compute what is missing in `store`, from now on; None: `finish`
            computes it.
        force: compute again what is there.
    """

    def __init__(
        self,
        experiment: Experiment[Config],
        config: Config,
        store: Store,
        *,
        executor: Executor | None = None,
        force: bool = False,
    ) -> None:
        self.experiment, self.config, self._store = experiment, config, store
        code = fingerprint(experiment.compute.__module__)
        todo = [Computation(experiment.name, task, code) for task in experiment.tasks(config)]
        self._names = [key(*computation) for computation in todo]
        self._found: dict[str, Result] = {}
        if not force:
            self._found = {n: r for n in self._names if (r := store.load(n)) is not None}
        self._missing = {
            n: c for n, c in zip(self._names, todo, strict=True) if n not in self._found
        }
        self._tasks = {name: computation.task for name, computation in self._missing.items()}
        self._futures: Futures | None = None
        if executor is not None:
            self._futures = submitted(executor, experiment.compute, self._tasks)

    def finish(
        self,
        *,
        workers: int = 1,
        progress: Progress = silent,
        seen: Callable[[Result], None] | None = None,
    ) -> Outcome:
        """Store what the workers compute, or compute it, and return everything.

        Args:
            workers: number of processes to start if no executor is given; 1 computes in the calling
                process.
            progress: called with tasks done, tasks in all, and the experiment's name.
            seen: called with every result, the stored ones first.
        """
        total, name_of_all = len(self._names), self.experiment.name
        done = reused = total - len(self._missing)
        progress(done, total, name_of_all)
        for known in self._found.values():
            if seen is not None:
                seen(known)
        if self._futures is not None:
            source = finished(self._futures)
        else:
            source = computed(self.experiment.compute, self._tasks, min(workers, len(self._tasks)))
        with contextlib.closing(source):  # workers end before anything is said about an error
            for name, result in source:
                self._store.save(self._missing[name], result)
                done += 1
                if seen is not None:
                    seen(result)
                progress(done, total, name_of_all)

        for name in self._missing:
            stored = self._store.load(name)
            if stored is None:
                msg = f"the result just stored as {name} cannot be read back"
                raise OSError(msg)
            self._found[name] = stored
        return Outcome(
            results=tuple(self._found[n] for n in self._names),
            computed=len(self._missing),
            reused=reused,
            seconds=sum(float(self._found[n][SECONDS]) for n in dict.fromkeys(self._names)),
        )

    def cancel(self) -> None:
        """Take back what no worker has begun."""
        for future in self._futures or ():
            future.cancel()


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
    """Compute what is missing in `store` and return everything, as `Started` does.

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
    started = Started(experiment, config, store, executor=executor, force=force)
    try:
        return started.finish(workers=workers, progress=progress, seen=seen)
    finally:
        started.cancel()
