"""Choice of the fastest route of products: cached graphs, recorded programs, block products."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, get_args, runtime_checkable

import torch
from torch import Tensor, nn

from hessium.curvature.fx_program import CannotTraceError
from hessium.curvature.graph import UNKNOWN
from hessium.errors import InputError
from hessium.linalg.products import COLUMNS
from hessium.problem import EmpiricalRisk
from hessium.problem.data import Batch

Make: TypeAlias = Callable[[Batch], "BatchProduct"]
Recorded: TypeAlias = Literal["", "recorded", "compiled"]

logger = logging.getLogger(__name__)

RouteName = Literal["auto", "retained", "streaming", "traced", "compiled", "finite-difference"]

_CACHE_BYTES = 2**24  # tensors of a graph, for all columns of a block
_SMALL = 2**25  # parameters times outputs of a batch: a product takes a millisecond or two
_TRACE_SECONDS = 1.0  # what recording takes for one batch, as a guess before it is tried
_CLEAR = 1.03  # another route must be faster by this factor: less is noise
_CLEAR_BLOCK = 1.25  # blocks of Krylov processes also hold as many bases beside the graph
_WORTH = 10.0  # recording is tried where all the work takes this many times as long


def require_route(route: str) -> None:
    """Raise InputError for an unknown route."""
    if route not in get_args(RouteName):
        msg = f"route: {route!r}; one of {', '.join(get_args(RouteName))} is required"
        raise InputError(msg)


@runtime_checkable
class BatchProduct(Protocol):
    """Contribution of one batch to a product, times the denominator of the risk."""

    def product(self, parts: Sequence[Tensor], *, batched: bool) -> list[Tensor]:
        """Leaf by leaf; with `batched`, parts carry a leading block dimension."""
        ...

    def trace(self, *, compiled: bool) -> None:
        """Record the product as a program. Raises CannotTraceError."""
        ...

    def forget(self) -> None:
        """Discard the program and use the graph."""
        ...

    def nbytes(self) -> int:
        """Bytes that its graph and program keep alive."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Description of the route of products.

    Attributes:
        kept: number of batches with cached graphs.
        anew: whether graphs of other batches are rebuilt for every product.
        program: whether the cached graphs are recorded, and compiled.
        batched: whether block products are used.
        nbytes: memory of graphs and programs.
        unmeasured: whether graphs are not cached because their memory cannot be measured.
    """

    kept: int
    anew: bool
    program: Recorded
    batched: bool
    nbytes: int
    unmeasured: bool = False

    def __str__(self) -> str:
        words = []
        if self.kept:
            graphs = f"{self.kept} batch{'es' if self.kept > 1 else ''}"
            words.append(f"graphs of {graphs} cached ({self.nbytes / 2**20:.3g} MiB)")
        if self.program:
            words.append(f"{self.program} as programs")
        if self.anew:
            words.append("others rebuilt for every product" if words else "graphs rebuilt")
        if self.unmeasured:
            words.append("because their memory cannot be measured")
        words.append("blocks at once" if self.batched else "one vector after the other")
        return ", ".join(words)


class Graphs:
    """Products of all batches, cached within a memory budget.

    Args:
        risk: the risk with the batches.
        budget: memory limit in bytes.
        program: record graphs when they are cached.
    """

    def __init__(
        self,
        risk: EmpiricalRisk,
        budget: int,
        program: Recorded = "",
    ) -> None:
        self._risk, self.budget, self._program = risk, budget, program
        self.kept: list[BatchProduct] = []
        self.nbytes = 0
        self.largest = 0  # of a batch
        self.complete = False
        self._open = budget > 0
        self._unmeasured = False

    def over(self, make: Make) -> Iterator[BatchProduct]:
        """One pass; `make` builds the product of a batch that is not cached."""
        yield from tuple(self.kept)
        if self.complete:
            return
        known, number = len(self.kept), -1
        for number, batch in enumerate(self._risk.own_batches()):
            if number >= known:
                yield self._keep(make(batch))
        self.complete = len(self.kept) == number + 1
        self._open = False

    def trace(self) -> bool:
        """Record all cached graphs; False, without change, if one cannot be recorded."""
        try:
            for graph in self.kept:
                graph.trace(compiled=False)
        except CannotTraceError as error:
            logger.info("products are not recorded: %s", error)
            self.forget()
            return False
        self.nbytes = sum(graph.nbytes() for graph in self.kept)
        if self.nbytes > self.budget:
            self.forget()
            return False
        self._program = "recorded"
        return True

    def width(self, device: torch.device) -> int:
        """Columns at once where blocks are: on a CPU, as many as stay in the cache."""
        size = self.nbytes // len(self.kept) if self.kept else 0
        wide = size == 0 or device.type != "cpu"
        return COLUMNS if wide else max(1, min(COLUMNS, _CACHE_BYTES // size))

    @property
    def room(self) -> int:
        """How many graphs of a batch the budget holds; none where they are not measured."""
        return self.budget * len(self.kept) // self.nbytes if self.nbytes else 0

    @property
    def recorded(self) -> bool:
        """Whether the cached graphs are recorded as programs."""
        return self._program == "recorded"

    def forget(self) -> None:
        """Discard programs and use graphs."""
        for graph in self.kept:
            graph.forget()
        self.nbytes = sum(graph.nbytes() for graph in self.kept)
        self._program = ""

    def route(self, *, batched: bool) -> Route:
        """Description of the present route."""
        return Route(
            kept=len(self.kept),
            anew=not self.complete,
            program=self._program if self.kept else "",
            batched=batched,
            nbytes=self.nbytes,
            unmeasured=self._unmeasured,
        )

    def _keep(self, graph: BatchProduct) -> BatchProduct:
        if self._open:
            if self._program:
                graph.trace(compiled=self._program == "compiled")
            # no limit, no measurement: it takes as long as a training step
            size = 0 if self.budget >= UNKNOWN else graph.nbytes()
            self._unmeasured = size == UNKNOWN
            self.largest = max(self.largest, 0 if size == UNKNOWN else size)
            self._open = self.nbytes + size <= self.budget
            if self._open:
                self.nbytes += size
                self.kept.append(graph)
        return graph


def fastest(
    graphs: Graphs,
    multiply: Callable[[Tensor, bool], Tensor],
    vectors: Tensor,
    products: int,
    agree: Callable[[Tensor, Tensor], bool],
    *,
    batched: bool,
    record: bool = True,
) -> bool:
    """Time the routes available for many products, and leave `graphs` in the fastest.

    Args:
        graphs: recorded or not on return.
        multiply: product with a block, its columns at once or not.
        vectors: vectors for the timing, shape (n, k); with k > 1 blocks are timed too.
        products: number of products to come.
        agree: whether two products are equal to rounding.
        batched: present setting for blocks, returned if they are not timed.
        record: whether recording is tried.

    Returns:
        Whether to use block products.

    Cost: a few products; recording only where it takes a small part of the work.
    """
    tried = (False, True) if vectors.shape[1] > 1 else (False,)
    if not record and len(tried) == 1:
        return batched  # there is nothing to choose
    expected = multiply(vectors, False)
    seconds = {(False, False): _clock(multiply, vectors[:, :1], False)}
    if len(tried) > 1:
        seconds[False, True] = _clock(multiply, vectors, True)
    work = products * seconds[False, False]
    if record and graphs.kept and worth_recording(work, graphs) and graphs.trace():
        # twice, since a program that overwrites its stored tensors would drift
        try:
            agreed = all(agree(multiply(vectors, many), expected) for many in (*tried, False))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # programs raise exceptions of any type
            logger.info("recorded products fail: %s", error)
            agreed = False
        if agreed:
            for many in tried:
                block = vectors if many else vectors[:, :1]
                seconds[True, many] = _clock(multiply, block, many)
        else:
            logger.warning("recorded products differ from the graphs or fail; not used")
            graphs.forget()
    judged = {
        (program, many): cost * (_CLEAR_BLOCK if many else _CLEAR if program else 1.0)
        for (program, many), cost in seconds.items()
    }
    program, best = min(judged, key=lambda choice: judged[choice])
    if not program:
        graphs.forget()
    logger.info("seconds a vector, (recorded, at once): %s", seconds)
    return best if len(tried) > 1 else batched


def worth_recording(seconds: float, graphs: Graphs) -> bool:
    """Whether recording is a small part of work that takes so long."""
    return seconds > _WORTH * _TRACE_SECONDS * len(graphs.kept)


def _clock(multiply: Callable[[Tensor, bool], Tensor], block: Tensor, many: bool) -> float:
    """Seconds for one vector, the better of two."""
    # where one thread does all the work, its own clock is not disturbed by other processes
    alone = not block.is_cuda and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    runs = []
    for _ in range(2):
        _synchronize(block)
        start = clock()
        multiply(block, many)
        _synchronize(block)
        runs.append(clock() - start)
    return min(runs) / block.shape[1]


def _synchronize(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)


def many_at_once(risk: EmpiricalRisk) -> bool:
    """Whether blocks are multiplied at once before anything has been tried.

    Where calling the kernels takes the time, 64 vectors cost as much as four, or one on a GPU.
    Where arithmetic takes it, a CPU multiplies one vector after the other up to three times as
    fast: the tensors of one vector stay in its cache. Convolutions are always of that kind.
    """
    if risk.device.type != "cpu":
        return True
    if any(isinstance(m, nn.modules.conv._ConvNd) for m in risk.model.modules()):
        return False
    return risk.dim * risk.num_outputs <= _SMALL * risk.num_batches
