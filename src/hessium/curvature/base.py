"""Base class of the operators of a risk: graph cache, dense assembly, self-check."""

from __future__ import annotations

import hashlib
import logging
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar

import torch
from torch import Tensor

from hessium._arguments import nonnegative
from hessium._arithmetic import full_precision
from hessium.curvature.dense_assembly import agrees, work_bytes
from hessium.curvature.finite_difference import CentralDifference
from hessium.curvature.jacobian import DOUBLE_REVERSE
from hessium.curvature.multiplied import multiplied
from hessium.curvature.product_plan import (
    BatchProduct,
    Graphs,
    Recorded,
    RouteName,
    fastest,
    many_at_once,
    require_route,
)
from hessium.curvature.requirements import require_risk
from hessium.curvature.route_trials import Option, PlainProducts, Trials, faster_on_one_thread
from hessium.curvature.selfcheck import probe_vectors, same_products, self_check, tolerance
from hessium.errors import InputError
from hessium.linalg.dense_matrices import require_memory
from hessium.linalg.operator import NamedShapes, SymmetricOperator
from hessium.linalg.products import COLUMNS
from hessium.linalg.threads import SMALL_KERNEL, network_passes, torch_threads
from hessium.problem import EmpiricalRisk
from hessium.problem.data import Batch

logger = logging.getLogger(__name__)

_PROGRAMS: dict[str, Recorded] = {"traced": "recorded", "compiled": "compiled"}
_BLOCK_FROM = 2000  # products: blocks are tried where that costs about one percent of the work
_THREADS_FROM = 40  # products: one thread is tried beside all where that costs a few percent
_BLOCK = 8  # columns of the blocks that are tried, and used where they win


class RiskOperator(SymmetricOperator):
    """A P x P matrix of second-order information of a risk at its parameters.

    Args:
        risk: the risk, at its parameters.
        check: compare the gradient with differences of the loss along itself and along a random
            direction, and a product with differences of gradients (or of outputs), each with an
            estimate of its error; also test symmetry, determinism, block products, finiteness, and
            that no state of the model changes. Cost: 9 to 20 gradients for the first operator of
            its kind on a model, 5 to 8 for `risk.at(theta)` and `risk.refreshed()`.
        graph_bytes: memory limit for cached graphs (1 GiB). Batches with a cached graph need no
            forward pass per product; the graphs of the others are rebuilt for every product.
        route: "auto" caches graphs and takes the fastest of 1, 8 or 64 columns at once, one thread
            or all, and recorded programs, timed on the first products or by `prepare`; last bits
            may differ between them, and between runs. "retained" only caches graphs;
            "streaming" caches nothing; "traced" records at once; "compiled" compiles with torch;
            "finite-difference" uses differences of gradients.

    Raises:
        InputError: if `risk` is not a risk, its model is in training mode, or the route is unknown.
        SelfCheckError: if a check fails.
        CannotTraceError: if the requested route does not work for this model.
    """

    _recording_pays: ClassVar[bool] = True
    _pushes: ClassVar[bool] = False  # whether products with the Jacobian are taken

    @full_precision()
    def __init__(
        self,
        risk: EmpiricalRisk,
        *,
        check: bool = True,
        graph_bytes: int = 2**30,
        route: RouteName = "auto",
    ) -> None:
        require_risk(risk)
        require_route(route)
        graph_bytes = int(nonnegative("graph_bytes", graph_bytes))
        self.risk = risk
        self._asked = route
        # caching a graph that recomputes activations saves nothing
        budget = 0 if route == "streaming" or risk.survey.recomputes else graph_bytes
        self._graphs = Graphs(risk, budget, _PROGRAMS.get(route, ""))
        self._batched = route != "compiled" and many_at_once(risk)
        self._preferred, self._one_thread = 1, False
        self._plain: PlainProducts | None = None
        self._difference = self._differences() if route == "finite-difference" else None
        if check:
            with torch.enable_grad(), self._threads():
                self_check(self)
        # until work is announced, products find their route themselves; not in several processes
        if route == "auto" and risk.ranks.alone:
            trials = risk.trials.setdefault(type(self).__name__, Trials())
            self._plain = PlainProducts(trials)

    @property
    def shape(self) -> tuple[int, int]:
        """(P, P)."""
        return (self.risk.dim, self.risk.dim)

    @property
    def dtype(self) -> torch.dtype:
        """Of the parameters."""
        return self.risk.dtype

    @property
    def device(self) -> torch.device:
        """Of the parameters."""
        return self.risk.device

    @abstractmethod
    def _graph(self, leaves: Sequence[Tensor], batch: Batch) -> BatchProduct:
        """The product of one batch, prepared for many vectors."""

    @abstractmethod
    def _assemble(self, work: int) -> Tensor | None:
        """The dense matrix times the denominator, assembled by layers; None if impossible."""

    @abstractmethod
    def primitives(self, moved: Sequence[EmpiricalRisk]) -> list[tuple[float, Tensor]]:
        r"""Value of the loss and a vector y at some places, for the self-check.

        Along $\theta + h v$ the derivative $\partial_h y$ at h = 0 is the product with v. y takes
        first derivatives only.

        Args:
            moved: the risk of the operator at $\theta + h v$, for some h. Cost: one pass.
        """

    def elsewhere(self, risk: EmpiricalRisk) -> RiskOperator:
        """The same operator of another risk, without self-check and cached graphs."""
        return type(self)(risk, check=False, graph_bytes=0)

    @property
    def multiplies_blocks(self) -> bool:
        """Whether blocks, or recorded programs, take another route than single products."""
        return self._batched or self._asked in _PROGRAMS

    @property
    def differences_gradients(self) -> bool:
        """Whether `primitives` are gradients."""
        return False

    @property
    def differenced(self) -> bool:
        """Whether products are computed by differences of gradients."""
        return self._difference is not None

    @property
    def can_fall_back(self) -> bool:
        """Whether a slower route that needs fewer derivatives exists."""
        return self._pushes and DOUBLE_REVERSE not in self.risk.refuted

    def fall_back(self) -> None:
        """Switch to the slower route."""
        self.risk.refuted.add(DOUBLE_REVERSE)
        self._graphs = Graphs(self.risk, self._graphs.budget, _PROGRAMS.get(self._asked, ""))
        logger.info("%r: the Jacobian is formed row by row", self)

    def _differences(self) -> CentralDifference:
        msg = f"route: finite differences give the Hessian, not a {type(self).__name__}"
        raise InputError(msg)

    @full_precision()
    def prepare(
        self, products: int, columns: int = 1, *, choice: str | None = None
    ) -> RiskOperator:
        """Choose the fastest route for many products by timing. Cost: a few products.

        Args:
            products: number of products to come.
            columns: largest number of columns of one block product.
            choice: value of `choice` when the same work began; used without timing.
        """
        self._plain = None
        if choice:
            program, batched, preferred, *threads = choice.split()
            self._batched, self._preferred = batched == "block", int(preferred)
            self._one_thread = threads == ["one"]
            if program == "recorded":
                with self.risk.ranks.together("recording products"):
                    self._apply(probe_vectors(self, 1), self._products(), batched=False)
                    self._graphs.trace()
        elif self._asked == "auto":
            many = columns >= _BLOCK and products >= _BLOCK_FROM
            if self._threads_matter and products >= _THREADS_FROM:
                vector = probe_vectors(self, 1)
                self._one_thread = faster_on_one_thread(lambda how: self._with(vector, how))
            # each rank chooses for its own data, and all agree about the size of blocks
            with self.risk.ranks.together("choice of a route"):
                self._batched = self._choose(probe_vectors(self, _BLOCK if many else 1), products)
            blocks = self.risk.ranks.agree(many and self._batched)
            self._preferred = _BLOCK if blocks else 1
            logger.info("%r: %s", self, self.route)
        return self

    @torch.enable_grad()
    def _choose(self, vectors: Tensor, products: int) -> bool:
        """Leave the graphs in their fastest form; whether blocks are multiplied at once."""
        return fastest(
            self._graphs,
            lambda block, batched: self._apply(block, self._products(), batched=batched),
            vectors,
            products,
            same_products,
            batched=self._batched,
            record=self._recording_pays,
        )

    @property
    def choice(self) -> str:
        """The route that `prepare` chose, for a later `prepare`."""
        program = "recorded" if self._graphs.recorded else "walked"
        threads = "one" if self._one_thread else "all"
        return f"{program} {'block' if self._batched else 'loop'} {self._preferred} {threads}"

    @property
    def cached(self) -> bool:
        """Whether the graphs of all batches are cached."""
        return self._graphs.complete

    @property
    def preferred_columns(self) -> int:
        """Number of columns that minimises the cost per column, found by `prepare`."""
        return self._preferred

    @property
    def fingerprint(self) -> str:
        """A hash of the parameters."""
        theta = self.risk.theta.cpu().numpy().tobytes()
        return hashlib.blake2b(theta, digest_size=16).hexdigest()

    @property
    def named_shapes(self) -> NamedShapes:
        """Of the parameters."""
        return self.risk.layout.named_shapes

    @property
    def route(self) -> str:
        """Description of the present route."""
        if self._difference is not None:
            return f"differences of gradients, relative error about {self._difference.error:.1g}"
        return str(self._graphs.route(batched=self._batched))

    def _matmat(self, block: Tensor) -> Tensor:
        if self._difference is not None:
            return torch.stack([self._difference(column) for column in block.unbind(1)], dim=1)
        if self._plain is not None and self._graphs.complete:
            width = self._graphs.width(self.device) if self._batched else 1
            product = self._plain.product(
                block, self._with, same_products, first=width,
                room=self._graphs.room // 4, threads=self._threads_matter,
            )  # fmt: skip
            if self._recording_pays and self._plain.record_now(self._graphs):
                self._choose(probe_vectors(self, 1), 1000)
            return product
        return self._summed(block, batched=self._batched)

    def _summed(self, block: Tensor, *, batched: bool, keep: bool = True) -> Tensor:
        """The product with a block: each rank multiplies with its data, and all are added."""
        ranks = self.risk.ranks
        with ranks.together("product", block):
            share = self._apply(block, self._products(keep=keep), batched=batched)
        return ranks.all_sum(share)

    def _threads(self, columns: int = 1) -> AbstractContextManager[None]:
        return network_passes(self.risk.survey.kernel_size * columns)

    def _products(self, *, keep: bool = True) -> Iterator[BatchProduct]:
        """One pass over the batches. The graphs hold no reference to the operator."""
        if keep:
            return self._graphs.over(self._make)
        return (self._make(batch) for batch in self.risk.own_batches())

    def _make(self, batch: Batch) -> BatchProduct:
        self.risk.require_evaluation_mode()  # the mode may have changed since the risk was created
        leaves = self.risk.leaves()
        with self.risk.bound(leaves):
            return self._graph(leaves, batch)

    @torch.enable_grad()
    def _apply(self, block: Tensor, graphs: Iterable[BatchProduct], *, batched: bool) -> Tensor:
        width = self._graphs.width(self.device) if batched else 1
        return self._with(block, Option(width, self._one_thread), graphs)

    @torch.enable_grad()
    def _with(
        self, block: Tensor, option: Option, graphs: Iterable[BatchProduct] | None = None
    ) -> Tensor:
        """The part of the product that comes from the data of this process."""
        width = min(option.width, block.shape[1])
        graphs = self._products() if graphs is None else graphs
        with torch_threads(one=True) if option.one_thread else self._threads(width):
            return multiplied(block, graphs, self.risk.layout, width).div_(self.risk.denominator)

    @property
    def _threads_matter(self) -> bool:
        large = self.risk.survey.kernel_size >= SMALL_KERNEL
        alone = self.risk.ranks.alone
        return large and alone and self.device.type == "cpu" and torch.get_num_threads() > 1

    def dense(self, *, max_bytes: int = 2**33) -> Tensor:
        """The matrix itself, symmetric to the last bit.

        Networks whose free parameters all lie in linear layers are assembled layer by layer from
        derivatives in the units instead of the parameters, and the result is compared with one
        product; all others column by column, in blocks.

        Args:
            max_bytes: memory limit for the matrix and its work space (8 GiB).

        Raises:
            InputError: if the matrix alone does not fit.

        Cost: about as many products as the network has units; else n.
        """
        return self.dense_beside(probe_vectors(self, 1), max_bytes=max_bytes)[0]

    @full_precision()
    def dense_beside(self, vectors: Tensor, *, max_bytes: int = 2**33) -> tuple[Tensor, Tensor]:
        """The matrix of `dense`, and products that it is compared with, all in one pass."""
        max_bytes = require_memory(self.shape[0], self.dtype, max_bytes)
        refuted, ranks = self.risk.refuted, self.risk.ranks
        if self._difference is None and "layer-wise" not in refuted:
            free = max_bytes - self.shape[0] ** 2 * self.dtype.itemsize
            together = ranks.together("dense matrix", vectors)
            with torch.enable_grad(), self._threads(COLUMNS), together:
                self.risk.require_evaluation_mode()
                matrix = self._assemble(work_bytes(free))
            if not ranks.agree(matrix is not None):
                matrix = None
            if matrix is not None:
                matrix = ranks.all_sum(matrix).div_(self.risk.denominator)
                # graphs that exist are used; none is kept for these few products
                products = self._summed(vectors, batched=False, keep=self._graphs.complete)
                if agrees(matrix, vectors, products, tolerance(self.dtype)):
                    return matrix, products
                refuted.add("layer-wise")  # a property of the model, wherever the risk is taken
                logger.info("%r: samples see each other; assembling column by column", self)
                del matrix
        # the width of its blocks follows from sizes, not from timings: the same bits every time
        plain, self._plain = self._plain, None
        try:
            return super().dense(max_bytes=max_bytes), self @ vectors
        finally:
            self._plain = plain

    def _columns_within(self, free_bytes: int) -> int:
        per_column = 4 * self.shape[0] * self.dtype.itemsize + self._graphs.nbytes
        columns = max(1, min(COLUMNS, free_bytes // max(per_column, 1)))
        return self.risk.ranks.smallest(columns)

    def __repr__(self) -> str:
        size = f"{self.risk.dim} x {self.risk.dim}"
        parts = ", ".join(filter(None, [size, f"{self.dtype}", self.risk.extent]))
        return f"{type(self).__name__}({parts})"
