"""Workers on other machines: any cluster that Dask has a scheduler for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import cast

from hessium._extras import missing
from hessium.errors import InputError


@contextlib.contextmanager
def executor_at(address: str | None) -> Iterator[Executor | None]:
    """Dask's own executor of the scheduler at `address`; None for None.

    A worker that dies loses its task, not the sweep: the scheduler gives it to another one.

    Raises:
        InputError: if Dask is not installed, or nobody answers there.
    """
    if address is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise (missing("--dask", error) or error) from error
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        msg = f"--dask: no scheduler answers at {address}"
        raise InputError(msg) from error
    with client:
        yield cast(Executor, client.get_executor())
