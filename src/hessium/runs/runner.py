"""Runs the tasks of an experiment, here or in worker processes, and stores each as it finishes."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import active_children, get_context

import torch

from hessium.progress import Progress, silent
from hessium.runs.experiment import Config, Experiment, Result, Task
from hessium.runs.fingerprint import fingerprint
from hessium.runs.result_store import Computation, Store, key
from hessium.runs.workers import STOPPING, require_workers, start_worker

_SECONDS = "seconds"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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
    seconds = sum(float(found[n][_SECONDS]) for n in dict.fromkeys(names))
    return Outcome(
        results=tuple(found[n] for n in names),
        computed=len(missing),
        reused=reused,
        seconds=seconds,
    )


def computed(
    compute: Callable[[Task], Result],
    tasks: dict[str, Task],
    workers: int,
    executor: Executor | None = None,
) -> Generator[tuple[str, Result], None, None]:
    """Names and results of tasks as they finish, each computed on one thread.

    Args:
        compute: one computation; a worker must be able to import it.
        tasks: by name.
        workers: processes; 1 computes in this one, in order.
        executor: where to compute instead.
    """
    if executor is None and workers <= 1:
        for name, task in tasks.items():
            yield name, _work(compute, task)
        return
    with contextlib.ExitStack() as stack:
        pool = executor or stack.enter_context(_pool(workers))
        with _held_signals():  # the first submission starts the workers
            futures: dict[Future[Result], str] = {
                pool.submit(_work, compute, task): name for name, task in tasks.items()
            }
        try:
            for future in as_completed(futures):
                # a result is let go when it is stored: a long sweep must not gather them
                yield futures.pop(future), future.result()
        finally:
            # our own pool cancels them itself, and fails where they are cancelled as workers end
            for future in futures if executor is not None else ():
                future.cancel()


def _work(compute: Callable[[Task], Result], task: Task) -> Result:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        start = time.perf_counter()
        result = compute(task)
        return {**result, _SECONDS: time.perf_counter() - start}
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _held_signals() -> Iterator[None]:
    """Hold back the signals that end a run until the block ends.

    Processes that start in the block inherit the mask: otherwise a worker that is still importing
    would end at Ctrl-C with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of worker processes, which all end when the block ends, also by an error."""
    before = set(active_children())
    settings = {name: os.environ[name] for name in _THREADS if name in os.environ}
    # the libraries read these once, when a worker first loads them
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    with _held_signals():  # it starts the tracker of semaphores, which does not handle SIGHUP
        pool = ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=start_worker
        )
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(active_children()) - before:
            child.kill()  # its task is lost in any case
        raise
    finally:
        for name in _THREADS:
            os.environ.pop(name, None)
        os.environ.update(settings)
        pool.shutdown(wait=True, cancel_futures=True)
