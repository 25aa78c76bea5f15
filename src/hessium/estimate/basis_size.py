"""Rows and bytes of Krylov bases: what fits into a memory limit, and what a call takes."""

from __future__ import annotations

from hessium.errors import InputError
from hessium.linalg.operator import SymmetricOperator

BESIDE = 5  # vectors beside the basis of a probe: start, product, work of the operator, the check


def basis_rows(
    operator: SymmetricOperator, k: int, block: int, max_bytes: int, *, gather: bool
) -> int:
    """Rows of the basis: enough for rare restarts, within the memory limit of one process."""
    n, row = operator.shape[0], operator.shares.largest * operator.dtype.itemsize
    beside = _beside(operator, k, block, gather=gather)
    fits = (max_bytes - beside) // row
    least = min(n, k + 2 * block + 1)
    if fits < least:
        needed = least * row + beside
        msg = (
            f"max_bytes: {max_bytes / 2**30:.3g} GiB; {k} eigenpairs of an operator of size {n} "
            f"need {needed / 2**30:.3g} GiB (ask for fewer, or raise it)"
        )
        raise InputError(msg)
    return min(n, fits, max(3 * k + 2 * block, 120 + 2 * block))


def _beside(operator: SymmetricOperator, k: int, block: int, *, gather: bool) -> int:
    """Bytes of vectors beside the basis in one process.

    In a step: the block behind the basis, its products, these as rows, and what is taken off them.
    Of the result: its vectors, and a product with their sum.
    """
    shares, size = operator.shares, operator.dtype.itemsize
    vectors = max(4 * block, k + 4) * shares.largest
    if shares.divided:  # vectors in a product, or those of the result and one that is gathered
        whole = (k + 2) * operator.shape[0] if gather else 0
        vectors += max(block * shares.beside, whole)
    return vectors * size


def pairs_bytes(
    operator: SymmetricOperator, k: int, block: int, max_bytes: int, *, gather: bool
) -> int:
    """Memory of the basis of `eigenpairs`, once it is full, and of the vectors beside it."""
    row = operator.shares.largest * operator.dtype.itemsize
    rows = basis_rows(operator, k, block, max_bytes, gather=gather)
    return rows * row + _beside(operator, k, block, gather=gather)


def probe_bytes(operator: SymmetricOperator, probes: int, steps: int, deflate: int) -> int:
    """Memory of the bases of so many probes together, and of the vectors beside them."""
    n, shares = operator.shape[0], operator.shares
    each = (min(steps, n) + BESIDE) * shares.largest + shares.beside
    return (probes * each + 2 * deflate * shares.largest) * operator.dtype.itemsize
