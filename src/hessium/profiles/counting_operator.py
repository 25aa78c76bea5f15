"""An operator that knows what its products cost."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from hessium.linalg import SymmetricOperator
from hessium.runs.experiment import Result


class Metered(SymmetricOperator):
    """The same operator, its products counted and timed, its route chosen once.

    A measurement announces all its work before the first estimator runs; estimators that prepare
    the operator for their own share find it ready.

    Args:
        inner: what multiplies, with a `route` in words if it has a choice.

    Attributes:
        products: vectors multiplied so far.
        seconds: what these products took.
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
    def preferred_columns(self) -> int:
        """Of the operator."""
        return self._inner.preferred_columns

    @property
    def fingerprint(self) -> str:
        """Of the operator."""
        return self._inner.fingerprint

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
        """What a product does now, in words."""
        return str(getattr(self._inner, "route", "products"))

    @property
    def choice(self) -> str:
        """Of the operator."""
        return self._inner.choice

    def prepare(self, products: int, columns: int = 1, *, choice: str | None = None) -> Metered:
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
    """Products and seconds before some work."""

    def __init__(self, operator: Metered) -> None:
        self.products, self.product_seconds = operator.products, operator.seconds
        self.start = time.perf_counter()


def cost_since(
    operator: Metered, before: Reading, result: Result, products: int | None = None
) -> Result:
    """The result with what it took since then.

    Args:
        operator: what multiplied.
        before: its reading at the start of the work.
        result: what was found.
        products: what the result took in all, if a part may have been taken up from a state; those
            before that are charged with the mean time of those since then.
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
