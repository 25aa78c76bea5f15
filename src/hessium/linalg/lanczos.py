"""The Lanczos process with full reorthogonalisation, one vector at a time."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.shares import Shares, Undivided
from hessium.linalg.vectors import Projection, norm
from hessium.spectra.gauss_rule import GaussRule

Passes = Literal[1, 2]
# yields numbers of this process, takes those of all processes in their order
Exchanges: TypeAlias = Generator[Tensor, Sequence[Tensor], None]

_NEGLIGIBLE = 32.0  # in units of machine epsilon: remainder of a product in an invariant space
_CANCELLED = 0.5  # part of a vector along the basis; above it one more pass is needed


class LanczosProcess:
    r"""Orthonormal rows V and a tridiagonal T with $A V^T = V^T T + r e_j^T$, grown by products.

    The process does not compute products: it provides the next vector and absorbs its product, so
    that several processes can share one block product.

    From a product first those parts are subtracted that T predicts: the last subdiagonal entry is
    known, and the last diagonal entry is an estimate of the next one. Then the product w is
    orthogonalised against all rows of V: `passes` times, and once more if more than half of it lay
    along them. The square of the length that remains is $|w|^2 - |V w|^2$, so a pass needs one
    exchange between processes. One pass was enough for quadrature on networks in float32; without
    any the mass below zero was wrong by a factor 2.4.

    Args:
        start: not zero, shape (n,).
        steps: largest number of products.
        passes: of full reorthogonalisation.
        shares: how vectors are spread over processes, each of which holds its share (m,) of every
            vector; None if vectors are whole. Each pass then exchanges one short vector.

    Attributes:
        shares: how vectors are spread.
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
        self.shares = Undivided(start.shape[0]) if shares is None else shares
        self.basis = start.new_empty(min(steps, self.shares.dim), start.shape[0])
        self.begin(start, passes)

    def begin(self, start: Tensor, passes: Passes) -> None:
        """Start again from another vector, in the same memory."""
        length = norm(start, self.shares)
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
        absorb_products([self], [product])

    def absorbing(self, product: Tensor) -> Exchanges:
        """The work of `absorb`, interrupted where numbers of all processes are needed."""
        j = len(self.alphas)
        alpha = self.alphas[-1] if j else 0.0
        if j:
            product.sub_(self.basis[j - 1], alpha=self.betas[-1])
            product.sub_(self.basis[j], alpha=alpha)
        for count in range(self._passes + 1):
            found, along, beta = yield from self._pass(product, j + 1)
            alpha += found
            if count + 1 >= self._passes and along <= _CANCELLED:
                break
        self.alphas.append(alpha)
        # relative to the operator: an absolute threshold would depend on the unit of the loss
        scale = max(beta, *map(abs, self.alphas + self.betas))
        if beta < 30 * self._cut * scale:
            # a remainder that consists of rounding errors is not orthogonal to V yet
            for _ in range(2):
                _, _, beta = yield from self._pass(product, j + 1)
        self.betas.append(beta if beta > self._cut * scale else 0.0)
        self.finished = self.betas[-1] == 0.0 or j + 1 == len(self.basis)
        if not self.finished:
            torch.div(product, beta, out=self.basis[j + 1])

    def _pass(
        self, product: Tensor, rows: int
    ) -> Generator[Tensor, Sequence[Tensor], tuple[float, float, float]]:
        """One pass; the coefficient of the last row, the part along V, the length that remains."""
        projection = Projection(product, self.basis[:rows])
        found, before = projection.subtract_((yield projection.overlaps()))
        *coefficients, length = torch.cat([found, before[None]]).tolist()
        if not length:
            return 0.0, 0.0, 0.0
        along = math.hypot(*(one / length for one in coefficients))
        return coefficients[-1], along, length * math.sqrt(max(0.0, 1.0 - along**2))

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


def absorb_products(processes: Sequence[LanczosProcess], products: Sequence[Tensor]) -> None:
    """One step of each process, given its product; all with the same exchanges.

    Args:
        processes: with vectors that are spread in the same way.
        products: shape (n,), or shares (m,), one for each; overwritten.
    """
    shares = processes[0].shares
    if not shares.divided and len(processes) > 1:  # one basis after the other stays in the cache
        for process, product in zip(processes, products, strict=True):
            process.absorb(product)
        return
    works = [
        process.absorbing(product) for process, product in zip(processes, products, strict=True)
    ]
    asked = [(work, next(work)) for work in works]
    while asked:
        sizes = [len(numbers) for _, numbers in asked]
        every = shares.every(torch.cat([numbers for _, numbers in asked]))
        of_each = zip(*(numbers.split(sizes) for numbers in every), strict=True)
        again = []
        for (work, _), numbers in zip(asked, of_each, strict=True):
            with contextlib.suppress(StopIteration):
                again.append((work, work.send(numbers)))
        asked = again


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
        absorb_products(running, [project_(product) for product in products])
    return [process.rule() for process in processes]
