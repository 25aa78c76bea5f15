"""Base class of the operators of a risk: products, dense assembly, self-check."""

from __future__ import annotations

import hashlib
import logging
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from hessium._arguments import nonnegative
from hessium._arithmetic import full_precision
from hessium._finite import all_finite
from hessium.curvature.dense_assembly import agrees, rounding_of, work_bytes
from hessium.curvature.finite_difference import CentralDifference
from hessium.curvature.jacobian import DOUBLE_REVERSE
from hessium.curvature.product_checks import probe_vectors
from hessium.curvature.product_plan import BatchProduct, RouteName, require_route
from hessium.curvature.requirements import require_risk
from hessium.curvature.routed_products import RoutedProducts
from hessium.curvature.selfcheck import self_check
from hessium.curvature.spread_check import check_spread, require_spread_route
from hessium.errors import InputError, NonFiniteError
from hessium.linalg.dense_matrices import require_memory
from hessium.linalg.operator import NamedShapes, SymmetricOperator
from hessium.linalg.products import COLUMNS
from hessium.linalg.shares import Shares
from hessium.problem import EmpiricalRisk
from hessium.problem.data import Batch

logger = logging.getLogger(__name__)

_PROBES = 8  # columns that `prepare` times
_LATER = 1000  # products that are expected after many that were not announced


class RiskOperator(SymmetricOperator):
    """A P x P matrix of second-order information of a risk at its parameters.

    Args:
        risk: the risk, at its parameters.
        check: compare the gradient with differences of the loss along itself and along two random
            directions, and a product with differences of gradients (or of outputs); also test
            symmetry, determinism, block products, finiteness, and that no state of the model
            changes. Differences are taken in float64 on an eighth of the samples of every batch (at
            least 16), and on all samples, with estimates of their errors, where that does not
            confirm the derivatives. Cost: 6 to 11 gradients for the first operator of its kind on
            an architecture, 1 to 3 for other parameters or data; 10 to 25 on all samples.
        graph_bytes: memory limit for cached graphs (1 GiB). Batches with a cached graph need no
            forward pass per product; the graphs of the others are rebuilt for every product.
        route: "auto" caches graphs and takes the fastest of 1, 8 or 64 columns at once, one thread
            or all, and recorded programs, timed on the first products or by `prepare`; last bits
            may differ between them, and between runs. "retained" only caches graphs;
            "streaming" caches nothing; "traced" records at once; "compiled" compiles with torch;
            "finite-difference" uses differences of gradients. Of parameters that are spread over
            processes (`fully_shard`) graphs are rebuilt for every product.

    Raises:
        InputError: if `risk` is not a risk, its model is in training mode, or the route is unknown.
        SelfCheckError: if a check fails.
        CannotTraceError: if the requested route does not work for this model.

    Example:
        >>> isinstance(H, hs.curvature.base.RiskOperator), H.shape
        (True, (13, 13))
    """

    _recording_pays: ClassVar[bool] = True
    _pushes: ClassVar[bool] = False  # whether products with the Jacobian are taken
    _spreads: ClassVar[bool] = False  # whether products exist where parameters are spread

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
        if risk.spread is not None:
            require_spread_route(type(self).__name__, route, supported=self._spreads)
        self.risk = risk
        # caching a graph that recomputes activations saves nothing
        rebuilt = route == "streaming" or risk.survey.recomputes or risk.spread is not None
        budget = 0 if rebuilt else graph_bytes
        self._products = RoutedProducts(risk, route, budget, records=self._recording_pays)
        self._difference = self._differences() if route == "finite-difference" else None
        if check:
            with torch.enable_grad(), self._products.threads():
                (self_check if risk.spread is None else check_spread)(self)
        self._products.open_trials(type(self).__name__)

    @property
    def shape(self) -> tuple[int, int]:
        """(P, P), with the parameters of all processes."""
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

    def elsewhere(self, risk: EmpiricalRisk, *, graph_bytes: int = 0) -> RiskOperator:
        """The same operator of another risk, without self-check; by default no graph is cached."""
        # no trials: timings on a part of the data would count as those of all
        return type(self)(risk, check=False, graph_bytes=graph_bytes, route="retained")

    @property
    def multiplies_blocks(self) -> bool:
        """Whether blocks, or recorded programs, take another route than single products."""
        return self._products.multiplies_blocks

    @property
    def graph_bytes(self) -> int:
        """Memory limit for cached graphs."""
        return self._products.graphs.budget

    @property
    def programmed(self) -> bool:
        """Whether products are recorded programs from the first on."""
        return self._products.programmed

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
        self._products.restart()
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
        if self.risk.spread is not None:  # one route, the same in all processes
            return self
        probes = probe_vectors(self, min(max(columns, 1), _PROBES))
        if choice:
            self._products.take(choice, probes[:, :1], self._make)
        else:
            self._products.prepare(products, columns, probes, self._make)
            logger.info("%r: %s", self, self.route)
        return self

    @property
    def choice(self) -> str:
        """The route that `prepare` chose, for a later `prepare`."""
        return self._products.choice

    @property
    def cached(self) -> bool:
        """Whether the graphs of all batches are cached."""
        return self._products.graphs.complete

    @property
    def preferred_columns(self) -> int:
        """Number of columns that minimises the cost per column, found by `prepare`."""
        return self._products.preferred

    @property
    def product_bytes(self) -> int:
        """Of cached graphs, three vectors and one batch: cotangents are as large as activations."""
        graphs = self._products.graphs
        if not graphs.largest:
            self @ torch.zeros(self.shape[0], dtype=self.dtype, device=self.device)
        passing = graphs.largest * (1 if graphs.complete else 2)
        return graphs.nbytes + passing + 3 * self.shape[0] * self.dtype.itemsize

    @property
    def fingerprint(self) -> str:
        """A hash of the parameters; empty if they are spread over processes."""
        if self.risk.spread is not None:
            return ""
        theta = self.risk.theta.cpu().numpy().tobytes()
        return hashlib.blake2b(theta, digest_size=16).hexdigest()

    @property
    def writes_checkpoints(self) -> bool:
        """Whether this is the first process of its group."""
        return self.risk.ranks.rank == 0

    @property
    def shares(self) -> Shares:
        """Of the risk."""
        return self.risk.shares

    @property
    def sums_over_processes(self) -> bool:
        """Whether products are sums over data with all parameters, not differences."""
        return self._difference is None and self.risk.spread is None

    def own_product(self, block: Tensor) -> Tensor:
        """The product of the data of this process, divided by the denominator of all."""
        return self._products.own(block, self._make)

    @full_precision()
    def times_shares(self, rows: Tensor) -> Tensor:
        """Products with shares of vectors; of spread parameters without whole vectors."""
        if self.risk.spread is None:
            return super().times_shares(rows)
        differ = self._difference
        if differ is None:
            products = self._products.own(rows.mT, self._make).mT.contiguous()
        else:
            products = torch.stack([differ(row) for row in rows])
        if not self.shares.agree(all_finite(products)):
            msg = f"{self!r}: product with a finite vector has entries that are NaN or infinite"
            raise NonFiniteError(msg)
        return products

    @property
    def named_shapes(self) -> NamedShapes:
        """Of the parameters."""
        return self.risk.named_shapes

    @property
    def route(self) -> str:
        """Description of the present route."""
        if self._difference is not None:
            return f"differences of gradients, relative error about {self._difference.error:.1g}"
        return str(self._products.graphs.route(batched=self._products.batched))

    def _matmat(self, block: Tensor) -> Tensor:
        if self.risk.spread is not None:
            rows = self.shares.part(block.mT).contiguous()
            return self.shares.whole(self.times_shares(rows)).mT
        if self._difference is not None:
            return torch.stack([self._difference(column) for column in block.unbind(1)], dim=1)
        product = self._products.multiply(block, self._make)
        if self._products.recording_is_due():
            self._products.choose(probe_vectors(self, 1), _LATER, self._make)
        return product

    def _make(self, batch: Batch) -> BatchProduct:
        self.risk.require_evaluation_mode()  # the mode may have changed since the risk was created
        leaves = self.risk.leaves()
        with self.risk.bound(leaves):
            return self._graph(leaves, batch)

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
        plain = self._difference is None and self.risk.spread is None
        if plain and "layer-wise" not in refuted:
            free = max_bytes - self.shape[0] ** 2 * self.dtype.itemsize
            together = ranks.together("dense matrix", vectors)
            with torch.enable_grad(), self._products.threads(COLUMNS), together:
                self.risk.require_evaluation_mode()
                matrix = self._assemble(work_bytes(free))
            if not ranks.agree(matrix is not None):
                matrix = None
            if matrix is not None:
                matrix = ranks.all_sum(matrix).div_(self.risk.denominator)
                # graphs that exist are used; none is kept for these few products
                products = self._products.summed(
                    vectors, self._make, batched=False, keep=self.cached
                )
                allowed = rounding_of(matrix, type(self).__name__, self.risk.sizes)
                if agrees(matrix, vectors, products, allowed):
                    return matrix, products
                refuted.add("layer-wise")  # a property of the model, wherever the risk is taken
                logger.info("%r: samples see each other; assembling column by column", self)
                del matrix
        # the width of its blocks follows from sizes, not from timings: the same bits every time
        with self._products.untimed():
            return super().dense(max_bytes=max_bytes), self @ vectors

    def _columns_within(self, free_bytes: int) -> int:
        per_column = 4 * self.shape[0] * self.dtype.itemsize + self._products.graphs.nbytes
        columns = max(1, min(COLUMNS, free_bytes // max(per_column, 1)))
        return self.risk.ranks.smallest(columns)

    def __repr__(self) -> str:
        size = f"{self.risk.dim} x {self.risk.dim}"
        parts = ", ".join(filter(None, [size, f"{self.dtype}", self.risk.extent]))
        return f"{type(self).__name__}({parts})"
