r"""Solutions of $(A + sI) x = b$ from products, with bounds of their errors.

Lanczos from b gives the iterate of conjugate gradients where $A + sI$ is known to be positive
definite, and that of MINRES elsewhere. With $\lambda$ a lower bound on the eigenvalues of $A + sI$,

$$|x - x_*| \le |r| / \lambda, \qquad
  |x - x_*|^2 \le (q_{Radau} - q_{Gauss}) / \lambda,$$

where $q_{Gauss} \le b^T (A + sI)^{-1} b \le q_{Radau}$ are the Gauss rule and the Gauss-Radau rule
with a node at $\lambda$; their difference bounds the squared error in the norm of $A + sI$ (Golub &
Meurant 2010, section 12).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hessium._arguments import count, memory, number, positive
from hessium._arithmetic import full_precision
from hessium._display import Displayable
from hessium._finite import all_finite
from hessium._typing import FloatArray
from hessium.errors import ConvergenceWarning, IndefiniteError, InputError
from hessium.linalg.adapt import Operator, as_operator
from hessium.linalg.lanczos import LanczosProcess
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.vectors import inner, norm
from hessium.spectra.gauss_rule import GaussRule

_EVERY = 5  # steps between two looks at the residual


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Solution(Displayable):
    r"""Solution of $(A + sI) x = b$; for a block of columns all numbers are those of the worst.

    Attributes:
        x: shape of b.
        residual: $|b - (A + sI) x| / |b|$, computed from x.
        error_bound: upper bound on $|x - x_*|$; infinite where no lower bound on the eigenvalues is
            known.
        form: $b^T x$, an estimate of $b^T (A + sI)^{-1} b$; of the first column of a block.
        form_lower: lower bound on it (Gauss), minus infinity where $A + sI$ may be indefinite.
        form_upper: upper bound on it (Gauss-Radau), infinite where no bound is known.
        converged: whether the residual meets the tolerance.
        num_matvecs: products.
        method: "conjugate gradients" or "MINRES".

    Example:
        >>> found = hs.solve(H0, torch.ones(13, dtype=torch.float64), shift=1.0)
        >>> found.converged, found.error_bound < 1e-3
        (True, True)
    """

    x: Tensor
    residual: float
    error_bound: float
    form: float
    form_lower: float
    form_upper: float
    converged: bool
    num_matvecs: int
    method: str

    def __repr__(self) -> str:
        bound = (
            f"error at most {self.error_bound:.2g}"
            if math.isfinite(self.error_bound)
            else ("error not bounded")
        )
        state = "" if self.converged else ", not converged"
        return (
            f"Solution({self.method}: residual {self.residual:.2g}, {bound}, "
            f"{self.num_matvecs} products{state})"
        )


@full_precision()
def solve(
    op: Operator | SymmetricOperator | Tensor,
    b: Tensor,
    shift: float | int = 0.0,
    *,
    tol: float | None = None,
    smallest: float | None = None,
    max_products: int = 1000,
    max_bytes: int = 2**33,
) -> Solution:
    r"""$(A + sI)^{-1} b$ without the matrix.

        hs.solve(hs.GaussNewton(risk), risk.gradient(), shift=1e-3).x     # a damped Newton step

    Args:
        op: A, an operator or a symmetric tensor.
        b: shape (n,), or columns (n, k).
        shift: s.
        tol: relative residual; by default 1e-10 in float64 and 1e-5 in float32.
        smallest: a proven lower bound on the eigenvalues of A; 0 where A is known to be positive
            semidefinite. It gives the bounds of the errors.
        max_products: for each column.
        max_bytes: memory limit of the Krylov basis, which is kept and orthogonalised in full; it
            limits the number of products.

    Returns:
        A `Solution`. Where it does not converge, a warning is given and `converged` is False.

    Raises:
        InputError: for a bad argument.
        IndefiniteError: if A + sI is found to be indefinite against `smallest`.

    Cost: products until convergence, of the order of the square root of the condition number, and
    4 n k multiply-adds for the k-th.

    Example:
        >>> b = torch.ones(13, dtype=torch.float64)
        >>> found = hs.solve(H0, b, shift=0.1)
        >>> bool(torch.allclose(H0 @ found.x + 0.1 * found.x, b, atol=1e-5))
        True
    """
    operator = as_operator(op)
    shift = number("shift", shift)
    count("max_products", max_products)
    limit = min(
        max_products,
        memory("max_bytes", max_bytes) // (operator.shape[0] * operator.dtype.itemsize) - 4,
    )
    if limit < 1:
        msg = f"max_bytes: {max_bytes}; not even five vectors of {operator.shape[0]} entries fit"
        raise InputError(msg)
    double = operator.dtype == torch.float64
    tol = (1e-10 if double else 1e-5) if tol is None else positive("tol", tol)
    if smallest is None and operator.positive_semidefinite:
        smallest = 0.0
    lowest = None if smallest is None else number("smallest", smallest) + shift
    columns = _columns(operator, b)
    found = [_solved(operator, c.contiguous(), shift, tol, lowest, limit) for c in columns]
    whole = found[0] if b.dim() == 1 else Solution(
        x=torch.stack([one.x for one in found], dim=1),
        residual=max(one.residual for one in found),
        error_bound=max(one.error_bound for one in found),
        form=found[0].form,
        form_lower=found[0].form_lower,
        form_upper=found[0].form_upper,
        converged=all(one.converged for one in found),
        num_matvecs=sum(one.num_matvecs for one in found),
        method=found[0].method,
    )  # fmt: skip
    if not whole.converged:
        msg = (
            f"solve: relative residual {whole.residual:.2g} after {whole.num_matvecs} products, "
            f"tol {tol:g}; raise max_products, or shift"
        )
        warnings.warn(msg, ConvergenceWarning, stacklevel=2)
    return whole


def _columns(operator: SymmetricOperator, b: Tensor) -> tuple[Tensor, ...]:
    """The right-hand sides.

    Raises:
        InputError: for another shape, dtype or device, or entries that are not finite.
    """
    n = operator.shape[0]
    if not isinstance(b, Tensor) or b.dim() not in (1, 2) or b.shape[0] != n or not b.numel():
        shape = tuple(b.shape) if isinstance(b, Tensor) else type(b).__name__
        msg = f"b: {shape}; a tensor ({n},) or ({n}, k) is required"
        raise InputError(msg)
    if (b.dtype, b.device) != (operator.dtype, operator.device):
        msg = f"b: {b.dtype} on {b.device}; {operator.dtype} on {operator.device} is required"
        raise InputError(msg)
    if not all_finite(b):
        msg = "b: has entries that are NaN or infinite"
        raise InputError(msg)
    return b.detach().reshape(n, -1).unbind(1)


def _solved(
    operator: SymmetricOperator,
    b: Tensor,
    shift: float,
    tol: float,
    lowest: float | None,
    limit: int,
) -> Solution:
    """One right-hand side."""
    definite = lowest is not None and lowest > 0
    method = "conjugate gradients" if definite else "MINRES"
    length = float(norm(b))
    if length == 0:
        return Solution(
            x=torch.zeros_like(b), residual=0.0, error_bound=0.0, form=0.0, form_lower=0.0,
            form_upper=0.0, converged=True, num_matvecs=0, method=method,
        )  # fmt: skip
    process = LanczosProcess(b, min(limit, operator.shape[0]), passes=2)
    weights = np.empty(0)
    while not process.finished:
        process.absorb(operator @ process.direction)
        size = len(process.alphas)
        if size % _EVERY and not process.finished:
            continue
        weights, relative = _projected(process, shift, length, definite=definite)
        if relative <= tol:
            break
    size = len(process.alphas)
    x = torch.from_numpy(weights).to(b) @ process.basis[:size]
    residual = float(norm(b - operator @ x - shift * x)) / length
    rule = GaussRule(
        diagonal=np.array(process.alphas) + shift,
        offdiagonal=np.array(process.betas),
        mass=length**2,
    )
    lower, upper = -math.inf, math.inf
    if definite:
        assert lowest is not None
        nodes = rule.gauss()[0]
        if nodes[0] < lowest * (1 - 1e-6) - 1e-12 * abs(nodes[-1]):
            msg = (
                f"smallest: {lowest - shift:g}; a Ritz value {nodes[0] - shift:.6g} lies below; a "
                "lower bound on the eigenvalues is required"
            )
            raise IndefiniteError(msg, ritz_value=float(nodes[0]))
        lower, upper = (length**2 * float(w @ (1 / n)) for n, w in (
            rule.gauss(), rule.radau(min(lowest, float(nodes[0]))),
        ))  # fmt: skip
        upper = max(lower, upper)
    bound = math.inf
    if definite and lowest is not None:
        eps = 8 * float(torch.finfo(b.dtype).eps)
        rounding = eps * (float(nodes[-1]) * float(norm(x)) + length)
        by_form = math.sqrt((upper - lower + eps * upper) / lowest) + eps * float(norm(x))
        bound = min((residual * length + rounding) / lowest, by_form)
    return Solution(
        x=x, residual=residual, error_bound=bound, form=float(inner(b[None], x)), form_lower=lower,
        form_upper=upper, converged=residual <= 2 * tol, num_matvecs=size + 1, method=method,
    )  # fmt: skip


def _projected(
    process: LanczosProcess, shift: float, length: float, *, definite: bool
) -> tuple[FloatArray, float]:
    """Coefficients of the iterate in the basis and its relative residual."""
    size = len(process.alphas)
    T = np.zeros((size + 1, size))
    T[np.arange(size), np.arange(size)] = np.array(process.alphas) + shift
    betas = np.array(process.betas)
    T[np.arange(1, size + 1), np.arange(size)] = betas
    T[np.arange(size - 1), np.arange(1, size)] = betas[:-1]
    rhs = np.zeros(size + 1)
    rhs[0] = length
    if definite:
        weights = np.linalg.solve(T[:size], rhs[:size])
    else:
        weights = np.linalg.lstsq(T, rhs, rcond=None)[0]
    relative = float(np.linalg.norm(T @ weights - rhs)) / length
    return np.asarray(weights, dtype=np.float64), relative
