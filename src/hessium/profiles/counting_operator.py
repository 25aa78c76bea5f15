"""An operator that counts and times its products."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from hessium.linalg import SymmetricOperator
from hessium.linalg.operator import NamedShapes
from hessium.linalg.shares import Shares
from hessium.runs.experiment import Result


class CountingOperator(SymmetricOperator):
    """The same operator, its products counted and timed, its route chosen once for all work.

    A measurement announces all products before the first estimator runs; estimators that prepare
    the operator for their own products change nothing.

    Args:
        inner: the operator; `route` describes its products, if it has several routes.

    Attributes:
        products: vectors multiplied so far.
        seconds: time of these products.
    """

    def __init__(self, inner: SymmetricOperator) -> None:
        self._inner = inner
        self._ready = False
        self.products = 0
        self.seconds = 0.0

    @property
    def shape(self) -> tuple[int, int]:
        """Of the operator."""
        return self._inner.shape

    @property
    def dtype(self) -> torch.dtype:
        """Of the operator."""
        return self._inner.dtype

    @property
    def device(self) -> torch.device:
        """Of the operator."""
        return self._inner.device

    @property
    def product_bytes(self) -> int:
        """Of the operator."""
        return self._inner.product_bytes

    @property
    def preferred_columns(self) -> int:
        """Of the operator."""
        return self._inner.preferred_columns

    @property
    def fingerprint(self) -> str:
        """Of the operator."""
        return self._inner.fingerprint

    @property
    def writes_checkpoints(self) -> bool:
        """As the inner operator."""
        return self._inner.writes_checkpoints

    @property
    def shares(self) -> Shares:
        """Of the operator."""
        return self._inner.shares

    @property
    def sums_over_processes(self) -> bool:
        """As the inner operator."""
        return self._inner.sums_over_processes

    def own_product(self, block: Tensor) -> Tensor:
        """Of the inner operator, not counted."""
        return self._inner.own_product(block)

    def times_shares(self, rows: Tensor) -> Tensor:
        """Of the inner operator."""
        start = self._clock()
        products = self._inner.times_shares(rows)
        self.seconds += self._clock() - start
        self.products += len(rows)
        return products

    @property
    def named_shapes(self) -> NamedShapes:
        """Those of the inner operator."""
        return self._inner.named_shapes

    @property
    def positive_semidefinite(self) -> bool:
        """Of the operator."""
        return self._inner.positive_semidefinite

    @property
    def rank_bound(self) -> int:
        """Of the operator."""
        return self._inner.rank_bound

    @property
    def route(self) -> str:
        """How products are made."""
        return str(getattr(self._inner, "route", "products"))

    @property
    def choice(self) -> str:
        """Of the operator."""
        return self._inner.choice

    def prepare(
        self, products: int, columns: int = 1, *, choice: str | None = None
    ) -> CountingOperator:
        """Choose the route at the first call; later ones change nothing."""
        if not self._ready:
            self._inner = self._inner.prepare(products, columns, choice=choice)
            self._ready = True
        return self

    def _matmat(self, block: Tensor) -> Tensor:
        start = self._clock()
        product = self._inner @ block
        self.seconds += self._clock() - start
        self.products += block.shape[1]
        return product

    def _clock(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def __repr__(self) -> str:
        return repr(self._inner)


class Reading:
    """Counter values before a part of the measurement."""

    def __init__(self, operator: CountingOperator) -> None:
        self.products, self.product_seconds = operator.products, operator.seconds
        self.start = time.perf_counter()


def cost_since(
    operator: CountingOperator, before: Reading, result: Result, products: int | None = None
) -> Result:
    """A result with its cost since a reading.

    Args:
        operator: whose products count.
        before: its reading at the start of the work.
        result: to which `products`, `product_seconds`, `seconds` and `route` are added.
        products: of the whole result, if it may have resumed from a state; earlier ones are charged
            at the mean time of those since then.
    """
    here = operator.products - before.products
    seconds = operator.seconds - before.product_seconds
    whole = time.perf_counter() - before.start
    if products is None:
        products = here
    elif products > here > 0:
        whole += (products - here) * seconds / here
        seconds *= products / here
    return {
        **result,
        "products": products,
        "product_seconds": seconds,
        "seconds": whole,
        "route": operator.route,
    }
