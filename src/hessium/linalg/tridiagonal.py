r"""Lanczos runs from several starts side by side, and the quadratures that they are.

A start v of length one makes the measure $\mu = \sum_i (v \cdot u_i)^2 \delta_{\lambda_i}$ of A.
After k steps, the eigenvalues of the tridiagonal matrix T and the squared first components of its
eigenvectors are the Gauss rule of $\mu$ with k nodes (Golub & Meurant 2010, chapter 6).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from hessium._typing import FloatArray
from hessium.linalg.operator import SymmetricOperator


@dataclass(frozen=True, slots=True)
class Tridiagonal:
    """A matrix T from k steps, with the length of what was left over.

    Attributes:
        diagonal: shape (k,).
        beside: the entries next to the diagonal and, last, the norm of the residual; (k,). It is
            zero where the Krylov space was exhausted: the rule is then the measure itself.
    """

    diagonal: FloatArray
    beside: FloatArray

    @property
    def exhausted(self) -> bool:
        """Whether a further step would have had nowhere to go."""
        return bool(self.beside[-1] == 0)

    def gauss(self) -> tuple[FloatArray, FloatArray]:
        """Nodes, ascending, and weights of the Gauss rule."""
        return _rule(self.diagonal, self.beside[:-1])

    def radau(self, endpoint: float) -> tuple[FloatArray, FloatArray]:
        """Nodes and weights of the rule with one more node, fixed below the whole spectrum.

        Golub & Meurant 2010, section 6.2: the last diagonal entry is such that `endpoint` is an
        eigenvalue.
        """
        if self.exhausted:
            return self.gauss()
        pivot = float("inf")  # of the factorisation of T - endpoint, one after the other
        for entry, before in zip(self.diagonal, [0.0, *self.beside[:-1]], strict=True):
            pivot = entry - endpoint - before**2 / pivot
        last = endpoint + self.beside[-1] ** 2 / pivot
        return _rule(np.append(self.diagonal, last), self.beside)


def tridiagonalise(
    operator: SymmetricOperator,
    starts: Tensor,
    steps: int,
    after_step: Callable[[int], None] = lambda products: None,
) -> list[Tridiagonal]:
    """Independent Lanczos runs with full reorthogonalisation, multiplied as one block.

    One pass of two matrix-vector products is enough for quadrature: the rule does not see what
    loses orthogonality at the size of rounding.

    Args:
        operator: A.
        starts: one in each column, (n, b), of any length but zero.
        steps: k; fewer where a Krylov space is exhausted.
        after_step: told how many products each step took.

    Cost: b k products, $2 b k^2 n$ operations, b k + 3 b vectors.
    """
    n, count = starts.shape
    bases = torch.empty(count, min(steps, n), n, dtype=starts.dtype, device=starts.device)
    current = (starts / starts.norm(dim=0)).mT
    found: list[list[FloatArray]] = [[] for _ in range(count)]
    scale = np.zeros(count)
    negligible = 32 * float(torch.finfo(starts.dtype).eps)
    alive = list(range(count))
    for step in range(bases.shape[1]):
        images = operator @ current.mT
        after_step(len(alive))
        rest = images.mT.contiguous()
        middle = torch.empty(len(alive), dtype=torch.float64, device=starts.device)
        for row, run in enumerate(alive):
            bases[run, step] = current[row]
            # the large terms first: what is small is then projected out at its own size
            near = bases[run, max(step - 1, 0) : step + 1]
            inside = near @ rest[row]
            rest[row].addmv_(near.mT, inside, alpha=-1)
            basis = bases[run, : step + 1]
            rest[row].addmv_(basis.mT, basis @ rest[row], alpha=-1)
            middle[row] = inside[-1]
        left = torch.linalg.vector_norm(rest, dim=1, dtype=torch.float64)
        entries = torch.stack([middle, left], dim=1).cpu().numpy()  # the one wait of a step
        for run, entry in zip(alive, entries, strict=True):
            scale[run] = max(scale[run], abs(entry[0]) + entry[1])
            if entry[1] <= negligible * scale[run] or step + 1 == n:
                entry[1] = 0.0
            found[run].append(entry)
        kept = [row for row, entry in enumerate(entries) if entry[1] > 0]
        if not kept:
            break
        alive = [alive[row] for row in kept]
        current = rest[kept] / left[kept, None].to(rest.dtype)
    return [Tridiagonal(*np.array(entries).T) for entries in found]


def _rule(diagonal: FloatArray, beside: FloatArray) -> tuple[FloatArray, FloatArray]:
    found: Any = scipy.linalg.eigh_tridiagonal(diagonal, beside)
    nodes, vectors = found
    return nodes, vectors[0] ** 2
