"""Products with the batches of one process, by the fastest route that is known."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from hessium.curvature.multiplied import multiplied
from hessium.curvature.product_checks import same_products
from hessium.curvature.product_plan import (
    BatchProduct,
    Graphs,
    Make,
    Recorded,
    RouteName,
    fastest,
    many_at_once,
)
from hessium.curvature.route_trials import Option, PlainProducts, Trials, faster_on_one_thread
from hessium.linalg.threads import SMALL_KERNEL, network_passes, torch_threads
from hessium.problem import EmpiricalRisk

logger = logging.getLogger(__name__)

_PROGRAMS: dict[str, Recorded] = {"traced": "recorded", "compiled": "compiled"}
_BLOCK_FROM = 400  # products: blocks are tried where that costs two or three percent of the work
_THREADS_FROM = 40  # products: one thread is tried beside all where that costs a few percent
_BLOCK = 8  # columns of the blocks that are tried, and used where they win


class RoutedProducts:
    """Cached graphs of a risk, and the choice of how columns are multiplied with them.

    `make` builds the product of a batch. It is an argument of the methods, since the cached graphs
    must not keep the operator alive.

    Args:
        risk: the risk with the batches.
        route: the route that was asked for.
        budget: memory limit for cached graphs, in bytes.
        records: whether recording can pay.
    """

    def __init__(
        self, risk: EmpiricalRisk, route: RouteName, budget: int, *, records: bool
    ) -> None:
        self._risk, self._asked, self._records = risk, route, records
        self.graphs = Graphs(risk, budget, _PROGRAMS.get(route, ""))
        self.batched = route != "compiled" and many_at_once(risk)
        self.preferred = 1  # columns at once that the work which was announced takes
        self._one_thread = False
        self._plain: PlainProducts | None = None

    def restart(self) -> None:
        """Forget all graphs: they were built for a route that failed."""
        self.graphs = Graphs(self._risk, self.graphs.budget, _PROGRAMS.get(self._asked, ""))

    def open_trials(self, kind: str) -> None:
        """Let products without announced work find their route, shared by operators of a kind."""
        # not in several processes: each would find another
        if self._asked == "auto" and self._risk.ranks.alone:
            self._plain = PlainProducts(self._risk.trials.setdefault(kind, Trials()))

    @property
    def multiplies_blocks(self) -> bool:
        """Whether blocks, or recorded programs, take another route than single products."""
        return self.batched or self.programmed

    @property
    def programmed(self) -> bool:
        """Whether graphs are recorded when they are made."""
        return self._asked in _PROGRAMS

    def threads(self, columns: int = 1) -> AbstractContextManager[None]:
        """The threads that passes with so many columns at once take."""
        return network_passes(self._risk.survey.kernel_size * columns)

    def over(self, make: Make, *, keep: bool = True) -> Iterator[BatchProduct]:
        """One pass over the batches."""
        return self.graphs.over(make) if keep else map(make, self._risk.own_batches())

    @contextmanager
    def untimed(self) -> Iterator[None]:
        """Choose the columns at once by sizes and not by timings: the same bits every time."""
        plain, self._plain = self._plain, None
        try:
            yield
        finally:
            self._plain = plain

    def multiply(self, block: Tensor, make: Make) -> Tensor:
        """The product with a block (n, k), of all processes."""
        if self._plain is None or not self.graphs.complete:
            return self.summed(block, make, batched=self.batched)
        return self._plain.product(
            block, lambda columns, how: self._with(columns, how, self.over(make)), same_products,
            first=self._width(batched=self.batched),
            room=self.graphs.room // 4, threads=self._threads_matter,
        )  # fmt: skip

    def recording_is_due(self) -> bool:
        """Whether products without announced work have taken so long; true at most once."""
        plain = self._plain
        return self._records and plain is not None and plain.record_now(self.graphs)

    def summed(self, block: Tensor, make: Make, *, batched: bool, keep: bool = True) -> Tensor:
        """The product with a block: each rank multiplies with its data, and all are added."""
        ranks = self._risk.ranks
        with ranks.together("product", block):
            share = self.apply(block, self.over(make, keep=keep), batched=batched)
        return ranks.all_sum(share)

    def apply(self, block: Tensor, graphs: Iterable[BatchProduct], *, batched: bool) -> Tensor:
        """The part of the product that comes from the data of this process."""
        return self._with(block, Option(self._width(batched=batched), self._one_thread), graphs)

    def prepare(self, products: int, columns: int, probes: Tensor, make: Make) -> None:
        """Choose the fastest route for many products by timing. Cost: a few products.

        Args:
            products: number of products to come.
            columns: largest number of columns of one block product.
            probes: vectors for the timing, shape (n, k): `columns` of them, or eight.
            make: builds the product of a batch.
        """
        self._plain = None
        if self._asked != "auto":
            return
        many, ranks = columns >= _BLOCK and products >= _BLOCK_FROM, self._risk.ranks
        if self._threads_matter and products >= _THREADS_FROM:
            vector = probes[:, :1]
            self._one_thread = faster_on_one_thread(
                lambda how: self._with(vector, how, self.over(make))
            )
        # each rank chooses for its own data, and all agree about the size of blocks
        with ranks.together("choice of a route"):
            self.batched = self.choose(probes[:, : _BLOCK if many else 1], products, make)
        self.preferred = _BLOCK if ranks.agree(many and self.batched) else 1

    @property
    def choice(self) -> str:
        """The route that `prepare` chose."""
        program = "recorded" if self.graphs.recorded else "walked"
        threads = "one" if self._one_thread else "all"
        return f"{program} {'block' if self.batched else 'loop'} {self.preferred} {threads}"

    def take(self, choice: str, probe: Tensor, make: Make) -> None:
        """Take a route that was chosen before, without timing."""
        self._plain = None
        program, batched, preferred, *threads = choice.split()
        self.batched, self.preferred = batched == "block", int(preferred)
        self._one_thread = threads == ["one"]
        if program == "recorded":
            with self._risk.ranks.together("recording products"):
                self.apply(probe, self.over(make), batched=False)
                self.graphs.trace()

    @torch.enable_grad()
    def choose(self, vectors: Tensor, products: int, make: Make) -> bool:
        """Leave the graphs in their fastest form; whether blocks are multiplied at once."""
        return fastest(
            self.graphs,
            lambda block, batched: self.apply(block, self.over(make), batched=batched),
            vectors,
            products,
            same_products,
            batched=self.batched,
            record=self._records,
        )

    @torch.enable_grad()
    def _with(self, block: Tensor, option: Option, graphs: Iterable[BatchProduct]) -> Tensor:
        width = min(option.width, block.shape[1])
        with torch_threads(one=True) if option.one_thread else self.threads(width):
            product = multiplied(block, graphs, self._risk.layout, width)
        return product.div_(self._risk.denominator)

    def _width(self, *, batched: bool) -> int:
        return self.graphs.width(self._risk.device) if batched else 1

    @property
    def _threads_matter(self) -> bool:
        """Whether one thread may be faster than all that are set."""
        large = self._risk.survey.kernel_size >= SMALL_KERNEL
        cpu = self._risk.device.type == "cpu"
        return large and cpu and self._risk.ranks.alone and torch.get_num_threads() > 1
