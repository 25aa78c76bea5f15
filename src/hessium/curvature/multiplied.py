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
    product = torch.zeros_like(vectors)
    for graph in graphs:
        for start in range(0, len(vectors), width):
            rows = vectors[start : start + width]
            if width > 1:
                images = graph.product(layout.parts(rows), batched=True)
                found = torch.cat([p.reshape(len(rows), -1) for p in images], dim=1)
                product[start : start + width] += found
            else:
                images = graph.product(layout.parts(rows[0]), batched=False)
                product[start] += torch.cat([p.reshape(-1) for p in images])
    return product.mT


def _with_vector(vector: Tensor, graphs: Iterable[BatchProduct], layout: Layout) -> Tensor:
    parts = layout.parts(vector)
    product: Tensor | None = None
    for graph in graphs:
        images = torch.cat([p.reshape(-1) for p in graph.product(parts, batched=False)])
        product = images if product is None else product.add_(images)
    return torch.zeros_like(vector) if product is None else product  # None: no data here
