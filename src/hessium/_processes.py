"""Tasks computed in this process or in several, each on one thread."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from multiprocessing import active_children, get_context
from typing import Any, TypeAlias

import torch

from hessium._workers import SECONDS, STOPPING, start_worker

Task: TypeAlias = Mapping[str, Any]
Result: TypeAlias = Mapping[str, Any]
Futures: TypeAlias = dict[Future[Result], str]
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def computed(
    compute: Callable[[Task], Result], tasks: Mapping[str, Task], workers: int
) -> Generator[tuple[str, Result], None, None]:
    """Names and results of tasks as they finish, each computed on one thread.

    Args:
        compute: one computation; a worker must be able to import it.
        tasks: by name.
        workers: processes; 1 computes in this one, in order.
    """
    if workers <= 1:
        for name, task in tasks.items():
            yield name, _work(compute, task)
        return
    with pool(workers) as executor:
        yield from finished(submitted(executor, compute, tasks))


def submitted(
    executor: Executor, compute: Callable[[Task], Result], tasks: Mapping[str, Task]
) -> Futures:
    """Tasks given to worker processes, with their names."""
    with _held_signals():  # the first submission starts the workers
        return {executor.submit(_work, compute, task): name for name, task in tasks.items()}


def finished(futures: Futures) -> Generator[tuple[str, Result], None, None]:
    """Names and results as they finish; each leaves `futures` then."""
    for future in as_completed(futures):
        # a result is let go when it is stored: a long sweep must not gather them
        yield futures.pop(future), future.result()


def _work(compute: Callable[[Task], Result], task: Task) -> Result:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        start = time.perf_counter()
        result = compute(task)
        return {**result, SECONDS: time.perf_counter() - start}
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
def pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes, which all end when the block ends, also by an error."""
    before = set(active_children())
    settings = {name: os.environ[name] for name in _THREADS if name in os.environ}
    # the libraries read these once, when a worker first loads them
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    with _held_signals():  # it starts the tracker of semaphores, which does not handle SIGHUP
        executor = ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=start_worker
        )
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        for child in set(active_children()) - before:
            child.kill()  # its task is lost in any case
        raise
    finally:
        for name in _THREADS:
            os.environ.pop(name, None)
        os.environ.update(settings)
        executor.shutdown(wait=True, cancel_futures=True)
