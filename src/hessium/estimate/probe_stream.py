"""Random probes and their products with an operator, in blocks, with a count of products."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from hessium._arguments import count, function, memory
from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.errors import InputError, NonFiniteError
from hessium.estimate.probes import Draw, probe_block
from hessium.linalg.adapt import Operator, as_operator
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.sketch import ARRAYS, to_float64
from hessium.progress import Progress

_SMALL = 1e-140
Form: TypeAlias = Callable[[Tensor, Tensor], Tensor]


class Source:
    """Draws random probes, multiplies them by the operator and counts the products.

    Args:
        op: an operator, or a symmetric tensor.
        matvecs: products to spend in total.
        rng: seed or generator.
        max_bytes: memory limit for blocks of vectors.
        progress: called after every block.

    Attributes:
        operator: `op` as a symmetric operator.
        num_matvecs: products spent so far.

    Raises:
        InputError: for a bad argument.
    """

    def __init__(
        self,
        op: Operator | SymmetricOperator | Tensor,
        matvecs: int,
        rng: Rng,
        max_bytes: int,
        progress: Progress,
    ) -> None:
        self.matvecs = count("matvecs", matvecs, at_least=1)
        self.operator = as_operator(op).prepare(self.matvecs, self.matvecs)
        self.num_matvecs = 0
        self._generator = generator(rng)
        self.max_bytes = memory("max_bytes", max_bytes)
        function("progress", progress, "(done, total, what) ")
        self._progress = progress

    def draw(self, kind: Draw, count: int) -> Tensor:
        """The next `count` probes, (n, count)."""
        return probe_block(kind, self._generator, self.operator, count)

    def images(self, block: Tensor) -> Tensor:
        """A V, for any number of columns."""
        images = torch.empty_like(block)
        for columns in self.operator.column_blocks(block.shape[1], self.max_bytes):
            images[:, columns] = self._multiply(block[:, columns])
        return images

    def forms(self, kind: Draw, count: int, form: Form) -> FloatArray:
        """`form` evaluated on `count` new probes and their images, one number for each.

        Raises:
            NonFiniteError: if a product is not finite; `partial` holds the numbers before it.
        """
        found: list[FloatArray] = []
        for columns in self.operator.column_blocks(count, self.max_bytes):
            probes = self.draw(kind, columns.stop - columns.start)
            try:
                found.append(to_float64(form(probes, self._multiply(probes))))
            except NonFiniteError as error:
                msg = f"{error}; product {self.num_matvecs + 1} of {self.matvecs} or soon after"
                raise NonFiniteError(msg, partial=np.concatenate([*found, []])) from error
        return np.concatenate(found)

    def count(self, products: int) -> None:
        """Add to the number of products and report progress."""
        self.num_matvecs += products
        self._progress(self.num_matvecs, self.matvecs, "products")

    def holds(self, columns: int) -> bool:
        """Whether a sketch with `columns` columns fits into memory."""
        return self.sketch_bytes(columns) <= self.max_bytes

    def sketch_bytes(self, columns: int) -> int:
        """Memory of a sketch with `columns` columns."""
        return ARRAYS * self.operator.shape[0] * columns * self.operator.dtype.itemsize

    def require_sketch(self, method: str, columns: int, products: int) -> None:
        """Check that the number of products suits a sketch and that it fits into memory.

        Raises:
            InputError: if not.
        """
        n = self.operator.shape[0]
        if not products <= self.matvecs < n:
            msg = (
                f"matvecs: {self.matvecs}; method {method!r} needs at least {products} products; "
                f"with {n} or more the answer is exact: method='exact'"
            )
            raise InputError(msg)
        if not self.holds(columns):
            msg = (
                f"max_bytes: {self.max_bytes / 2**30:.3g} GiB; method {method!r} holds "
                f"{self.sketch_bytes(columns) / 2**30:.3g} GiB of vectors (method='hutchinson' "
                "holds one block)"
            )
            raise InputError(msg)

    def _multiply(self, block: Tensor) -> Tensor:
        product = self.operator @ block
        require_squares(product)
        self.count(block.shape[1])
        return product


def require_squares(block: Tensor) -> None:
    """Check that squares of the entries and their sums are representable in float64.

    Raises:
        InputError: if standard errors would over- or underflow.
    """
    largest = float(block.abs().amax())
    if largest and not _SMALL < largest < 1 / _SMALL:
        msg = (
            f"op: products of the order of {largest:.1e}, whose squares exceed the float64 range; "
            f"divide the operator by {largest:.0e}, and multiply the result by it"
        )
        raise InputError(msg)


def one_of(method: str, allowed: tuple[str, ...]) -> str:
    """Check the name of a method.

    Raises:
        InputError: if it is not one of `allowed`.
    """
    if method not in allowed:
        msg = f"method: {method!r}; one of {', '.join(repr(a) for a in allowed)} is required"
        raise InputError(msg)
    return method
