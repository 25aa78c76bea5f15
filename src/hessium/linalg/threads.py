"""How many threads each kind of work gets: torch's pool, and those of NumPy and SciPy.

Splitting work over threads costs tens of microseconds, and milliseconds where another process holds
a core. Small matrices and small networks therefore take one thread, whatever the user has set;
larger work takes what the user has set, never more. The decision depends on sizes alone, so that
the same call rounds alike every time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hessium._threads import SMALL_MATRIX, blas_threads

SMALL_KERNEL = 2e6  # multiply-adds; some tens of microseconds on one thread
SMALL_BASIS = 2**22  # bytes that a projection reads: what a core's own cache holds


class _Given(threading.local):
    """The number of threads of torch outside of all blocks; each Python thread has its own."""

    number: int | None = None


_GIVEN = _Given()


@contextmanager
def torch_threads(*, one: bool) -> Iterator[None]:
    """One thread of torch inside, or the number that was set outside of all such blocks.

    The number is restored at the end, also after exceptions. It belongs to the Python thread; a
    Python thread whose first use of torch falls into a block of another one takes the number there.
    """
    outer, before = _GIVEN.number, torch.get_num_threads()
    given = before if outer is None else outer
    wanted = 1 if one else given
    if wanted == before and outer is not None:
        yield
        return
    try:
        _GIVEN.number = given
        if wanted != before:
            torch.set_num_threads(wanted)
        yield
    finally:
        _GIVEN.number = outer
        if wanted != before:
            torch.set_num_threads(before)


@contextmanager
def dense_algebra(rows: int) -> Iterator[None]:
    """For factorisations, eigenproblems and products of dense matrices, `rows` the largest size."""
    with blas_threads(rows), torch_threads(one=rows < SMALL_MATRIX):
        yield


@contextmanager
def network_passes(kernel_size: float) -> Iterator[None]:
    """For passes through a network.

    Args:
        kernel_size: multiply-adds of a typical kernel; infinite where it is unknown.
    """
    with torch_threads(one=kernel_size < SMALL_KERNEL):
        yield


@contextmanager
def passes_over(nbytes: int) -> Iterator[None]:
    """For products that read so many bytes once, such as a basis times a vector."""
    with torch_threads(one=nbytes < SMALL_BASIS):
        yield
