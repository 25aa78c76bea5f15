"""Threads of the BLAS libraries of NumPy and SciPy, and settings that belong to the whole process.

NumPy and SciPy bring their own pools of threads beside that of torch. After every small
eigenproblem the idle threads of such a pool wait in a loop for some milliseconds and take the cores
from torch. So small problems are solved on one thread; `hessium.linalg.threads` does the same for
torch.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import numpy as np
import scipy.linalg
from threadpoolctl import LibController, ThreadpoolController

SMALL_MATRIX = 600  # rows; factorisations and eigenproblems below take one thread


class ProcessSetting:
    """A setting of the process: the first thread that enters changes it, the last restores it.

    Args:
        change: changes the setting on the stack that it is given, which restores it.
    """

    def __init__(self, change: Callable[[ExitStack], None]) -> None:
        self._change = change
        self._lock = threading.Lock()
        self._users: set[object] = set()
        self._stack = ExitStack()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Context in which the setting is changed; a signal at any moment leaves it restored."""
        user = object()
        try:
            with self._lock:
                if not self._users:
                    with ExitStack() as stack:
                        self._change(stack)
                        self._stack = stack.pop_all()
                self._users.add(user)
            yield
        finally:
            try:
                self._release(user)
            finally:  # a signal in the middle of the first
                self._release(user)

    def _release(self, user: object) -> None:
        with self._lock:
            self._users.discard(user)
            if not self._users:
                self._stack.close()


@functools.cache
def _blas() -> ThreadpoolController:
    """The BLAS libraries that are loaded: those of NumPy and SciPy, which this module imports."""
    assert np.dot is not None
    assert scipy.linalg.blas is not None
    return ThreadpoolController().select(user_api="blas")


def _one(stack: ExitStack) -> None:
    for library in _blas().lib_controllers:
        if library.num_threads != 1:
            stack.callback(_set, library, library.num_threads)
            _set(library, 1)


def _set(library: LibController, number: int) -> None:
    # threadpoolctl lets one Python thread alone change the number; here the last one that leaves
    # restores what the first one found
    release = getattr(library, "clear_controlling_thread", None)
    if release is not None:
        release(force=True)
    library.set_num_threads(number)
    if release is not None:
        release(force=True)


_ONE_THREAD = ProcessSetting(_one)


def blas_threads(rows: int) -> AbstractContextManager[None]:
    """Context for NumPy's and SciPy's algebra of dense matrices: one thread where they are small.

    The number of threads is one of the whole process. It is restored when the last thread leaves.

    Args:
        rows: of the largest matrix.
    """
    return _ONE_THREAD.held() if rows < SMALL_MATRIX else nullcontext()
