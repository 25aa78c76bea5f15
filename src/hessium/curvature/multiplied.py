"""Products of all batches with the columns of a block."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from hessium.curvature.product_plan import BatchProduct
from hessium.problem.layout import Layout


def multiplied(
    block: Tensor, graphs: Iterable[BatchProduct], layout: Layout, width: int = 1
) -> Tensor:
    """Sum over batches of their products with each column of a block, shape (n, k).

    Args:
        block: shape (n, k).
        graphs: the batches, one pass.
        layout: parameters of the flat vector.
        width: columns at once.
    """
    if block.shape[1] == 1:
        return _with_vector(block[:, 0].contiguous(), graphs, layout)[:, None]
    # rows are contiguous vectors; the result is transposed for the caller
    vectors = block.mT.contiguous()
    product = torch.empty_like(vectors)
    empty = True
    for graph in graphs:
        for start in range(0, len(vectors), width):
            rows = vectors[start : start + width]
            if width > 1:
                images = graph.product(layout.parts(rows), batched=True)
                _put(
                    [p.reshape(len(rows), -1) for p in images],
                    product[start : start + width],
                    empty,
                )
            else:
                images = graph.product(layout.parts(rows[0]), batched=False)
                _put([p.reshape(-1) for p in images], product[start], empty)
        empty = False
    return (product.zero_() if empty else product).mT  # empty: no data here


def _put(parts: list[Tensor], place: Tensor, first: bool) -> None:
    """Write the parts of vectors to their place, or add them there."""
    if first:
        torch.cat(parts, dim=-1, out=place)
    else:
        place += torch.cat(parts, dim=-1)


def _with_vector(vector: Tensor, graphs: Iterable[BatchProduct], layout: Layout) -> Tensor:
    parts = layout.parts(vector)
    product: Tensor | None = None
    for graph in graphs:
        images = torch.cat([p.reshape(-1) for p in graph.product(parts, batched=False)])
        product = images if product is None else product.add_(images)
    return torch.zeros_like(vector) if product is None else product  # None: no data here
