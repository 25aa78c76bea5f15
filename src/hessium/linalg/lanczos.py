"""The Lanczos process with full reorthogonalisation, one vector at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.shares import Shares
from hessium.linalg.vectors import norm, subtract_projection_
from hessium.spectra.gauss_rule import GaussRule

Passes = Literal[1, 2]

_NEGLIGIBLE = 32.0  # in units of machine epsilon: remainder of a product in an invariant space


class LanczosProcess:
    r"""Orthonormal rows V and a tridiagonal T with $A V^T = V^T T + r e_j^T$, grown by products.

    The process does not compute products: it provides the next vector and absorbs its product, so
    that several processes can share one block product.

    Every new direction is orthogonalised against the last two vectors and then against all of them
    (`passes` times). One pass was enough for quadrature on networks in float32; without any the
    mass below zero was wrong by a factor 2.4.

    Args:
        start: not zero, shape (n,).
        steps: largest number of products.
        passes: of full reorthogonalisation.
        shares: how vectors are spread over processes, each of which holds its share (m,) of every
            vector; None if vectors are whole. Each step then exchanges a few short vectors.

    Attributes:
        basis: V, the first `len(alphas)` rows are final, shape (steps, n), or (steps, m).
        mass: |start|^2.
        alphas: diagonal of T.
        betas: subdiagonal of T, followed by |r|.
        finished: whether all steps are done or the space is invariant.
    """

    def __init__(
        self, start: Tensor, steps: int, *, passes: Passes = 1, shares: Shares | None = None
    ) -> None:
        if steps < 1:
            msg = f"steps: {steps}; at least one step is required"
            raise InputError(msg)
        self._shares = shares
        dim = start.shape[0] if shares is None else shares.dim
        self.basis = start.new_empty(min(steps, dim), start.shape[0])
        self.begin(start, passes)

    def begin(self, start: Tensor, passes: Passes) -> None:
        """Start again from another vector, in the same memory."""
        length = norm(start, self._shares)
        if not 0 < float(length) < math.inf:
            msg = "start: the zero vector; a vector that is finite and not zero is required"
            raise InputError(msg)
        self._passes = passes
        self._cut = _NEGLIGIBLE * float(torch.finfo(start.dtype).eps)
        torch.div(start, length, out=self.basis[0])
        self.mass = float(length) * float(length)
        self.alphas: list[float] = []
        self.betas: list[float] = []
        self.finished = False

    @property
    def direction(self) -> Tensor:
        """The unit vector whose product comes next, shape (n,)."""
        return self.basis[len(self.alphas)]

    def absorb(self, product: Tensor) -> None:
        """Take the product of the operator with `direction`; it is overwritten by r."""
        j = len(self.alphas)
        local = self.basis[max(j - 1, 0) : j + 1]
        alpha = subtract_projection_(product, local, self._shares)[-1]
        for _ in range(self._passes):
            alpha = alpha + subtract_projection_(product, self.basis[: j + 1], self._shares)[-1]
        beta = float(norm(product, self._shares))
        self.alphas.append(float(alpha))
        # relative to the operator: an absolute threshold would depend on the unit of the loss
        scale = max(beta, *map(abs, self.alphas + self.betas))
        if beta < 30 * self._cut * scale:
            # a remainder that consists of rounding errors is not orthogonal to V yet
            for _ in range(2):
                subtract_projection_(product, self.basis[: j + 1], self._shares)
            beta = float(norm(product, self._shares))
        self.betas.append(beta if beta > self._cut * scale else 0.0)
        self.finished = self.betas[-1] == 0.0 or j + 1 == len(self.basis)
        if not self.finished:
            torch.div(product, beta, out=self.basis[j + 1])

    def times(self, weights: FloatArray) -> FloatArray:
        """T w, for w of at least two entries, one for each step."""
        product = np.array(self.alphas) * weights
        product[1:] += self.betas[:-1] * weights[:-1]
        product[:-1] += self.betas[:-1] * weights[1:]
        return product

    def rule(self) -> GaussRule:
        """The Gauss rule of the spectral measure of the start vector, after at least one step."""
        return GaussRule(
            diagonal=np.array(self.alphas), offdiagonal=np.array(self.betas), mass=self.mass
        )


def lanczos_steps(
    operator: SymmetricOperator, start: Tensor, steps: int, *, passes: Passes = 2
) -> Iterator[LanczosProcess]:
    r"""Yield the process after each step, for a stopping rule of the caller.

    Args:
        operator: A.
        start: not zero, shape (n,).
        steps: largest number of products.
        passes: of full reorthogonalisation.

    Cost: one product a step, and 4 j n multiply-adds for each pass at step j.

    Example:
        >>> start = torch.ones(13, dtype=torch.float64)
        >>> first = next(iter(hs.linalg.lanczos.lanczos_steps(H, start, 3)))
        >>> type(first).__name__
        'LanczosProcess'
    """
    process = LanczosProcess(start, steps, passes=passes)
    while not process.finished:
        process.absorb(operator @ process.direction)
        yield process


def lanczos_rules(
    operator: SymmetricOperator,
    starts: Tensor,
    steps: int,
    after_step: Callable[[int], None] = lambda products: None,
    project_: Callable[[Tensor], Tensor] = lambda vector: vector,
) -> list[GaussRule]:
    """Gauss rules of several start vectors, computed by block products.

    Args:
        operator: A.
        starts: one in each column, whole, (n, b), none zero.
        steps: of each; fewer where a Krylov space is invariant.
        after_step: called with the number of products of each step.
        project_: orthogonal projection of a vector, or the share of one, in place: the rules are
            those of the operator between two such projections.

    Cost: b x steps products, and the memory of b bases; of each process its share.
    """
    shares = operator.shares
    processes = [
        LanczosProcess(project_(shares.part(start).clone()), steps, shares=shares)
        for start in starts.unbind(1)
    ]
    while running := [p for p in processes if not p.finished]:
        products = operator.times_shares(torch.stack([p.direction for p in running]))
        after_step(len(running))
        for process, product in zip(running, products, strict=True):
            process.absorb(project_(product))
    return [process.rule() for process in processes]
