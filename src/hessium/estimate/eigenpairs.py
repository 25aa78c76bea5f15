"""A few eigenpairs of a large operator, with residuals."""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from hessium._arguments import count, flag, fraction, function, memory, nonnegative
from hessium._arithmetic import full_precision
from hessium._display import Directional
from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.errors import ConvergenceWarning, InputError, NonFiniteError
from hessium.estimate.basis_size import basis_rows
from hessium.estimate.checkpoint import Checkpoint, folder_of
from hessium.estimate.convergence import ORDER, Forecast, Which, bounds_of, wanted
from hessium.estimate.krylov_checkpoint import KrylovCheckpoint
from hessium.estimate.same_call import require_same_call
from hessium.linalg.adapt import Operator, as_operator
from hessium.linalg.krylov import KrylovSpace
from hessium.linalg.operator import NamedShapes, SymmetricOperator
from hessium.linalg.vectors import start_rows
from hessium.progress import Progress, silent

_CHECK_EVERY = 4  # products between two checks of the Ritz values


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Eigenpairs(Directional):
    r"""Approximate eigenpairs $(\theta_i, x_i)$ with $|x_i| = 1$.

    The operator has an eigenvalue within `residuals[i]` of `values[i]`. A Krylov space of block
    size b resolves multiplicities up to b - 1.

    Attributes:
        values: in the order of `which`, shape (k,); fewer than requested if the others are zero.
        vectors: orthonormal columns, shape (n, k), on the operator's device; with `gather=False`
            those of their rows that this process holds, which `rows` lists.
        residuals: $|A x_i - \theta_i x_i|$, shape (k,).
        converged: which residuals meet the tolerance, shape (k,).
        multiplicity_known: whether all copies of an eigenvalue are listed, shape (k,). Copies are
            eigenvalues closer than their residuals.
        null_space: whether eigenvalues that are zero to rounding were found and left out.
        requested: the argument k.
        which: the argument.
        dim: n.
        scale: largest |Ritz value|.
        num_matvecs: products spent.
        named_shapes: names and shapes of the parameters, if the operator is one of a risk, for
            `by_parameter`. Of a preconditioned operator, vectors are in its own coordinates.
        rows: (start, stop) of the rows of `vectors` that this process holds; empty if all.

    Example:
        >>> pairs = hs.eigenpairs(H, 1)
        >>> pairs.vectors.shape
        torch.Size([13, 1])
        >>> bool((H @ pairs.vectors - pairs.vectors * pairs.values[0]).norm() <= 1e-6)
        True
    """

    values: FloatArray
    vectors: Float[Tensor, "n k"]
    residuals: FloatArray
    converged: npt.NDArray[np.bool_]
    multiplicity_known: npt.NDArray[np.bool_]
    null_space: bool
    requested: int
    which: Which
    dim: int
    scale: float
    num_matvecs: int
    named_shapes: NamedShapes = ()
    rows: tuple[tuple[int, int], ...] = ()

    def gathered(self, op: SymmetricOperator) -> Eigenpairs:
        """The same pairs with whole vectors; all processes call it together.

        Args:
            op: the operator of these pairs.

        Raises:
            InputError: if this process holds other rows of the operator's vectors.

        Bytes: all vectors, gathered one after another.
        """
        if not self.rows:
            return self
        shares = op.shares
        if self.rows != shares.pieces or self.dim != shares.dim:
            msg = f"op: {op!r} holds other rows than these eigenpairs; the operator that they are "
            raise InputError(msg + "of is required, in the same processes")
        with shares.together(f"gathering {len(self)} eigenvectors"):
            pass
        return dataclasses.replace(self, vectors=shares.whole_columns(self.vectors), rows=())

    def __len__(self) -> int:
        return self.values.size

    def __repr__(self) -> str:
        words = [f"{len(self)} eigenvalues {ORDER[self.which]}"]
        if len(self):
            words[0] += f", {self.values[0]:.6g} to {self.values[-1]:.6g}"
            words[0] += f", residuals up to {self.residuals.max():.1e}"
        if not self.converged.all():
            words.append(f"{int((~self.converged).sum())} not converged")
        if self.null_space:
            words.append("and a null space")
        if not self.multiplicity_known.all():
            words.append("multiplicities not resolved")
        return f"Eigenpairs({'; '.join(words)}; {self.num_matvecs} products)"


@full_precision()
def eigenpairs(
    op: Operator | SymmetricOperator | Tensor,
    k: int,
    which: Which = "LM",
    *,
    tol: float | None = None,
    block: int = 1,
    max_products: int | None = None,
    max_bytes: int = 2**33,
    rng: Rng = 0,
    start: Tensor | None = None,
    gather: bool = True,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 60.0,
    progress: Progress = silent,
) -> Eigenpairs:
    r"""The k eigenpairs at one or both ends of the spectrum.

    Block Lanczos with full reorthogonalisation and thick restarts (Wu & Simon 2000). It stops when
    $|A x - \theta x| \le \mathrm{tol}\,|\theta|$ for all of them, or $\epsilon^{3/4}\max|\theta|$
    if that is larger ($\epsilon$: machine epsilon; 2e-12 and 6e-6), about the accuracy of the
    products. Full reorthogonalisation excludes spurious and repeated eigenvalues.

    Args:
        op: an operator, or a symmetric tensor.
        k: number of eigenpairs, 1 <= k <= n.
        which: "LA" largest, "SA" smallest, "LM" largest in magnitude, "BE" both ends, one more from
            the upper end if k is odd.
        tol: relative residual; by default 1e-6 in float64 and 1e-4 in float32. The error of an
            eigenvalue is at most its residual, and of the order of its square over the gap.
        block: block size; multiplicities up to block - 1 are resolved.
        max_products: largest number of products; then the pairs so far are returned with a warning.
            By default 50 k, at least 1000.
        max_bytes: memory limit of the basis; with less memory it restarts more often. Of several
            processes (`EmpiricalRisk(process_group=)`) each holds an equal share of the basis, and
            this limits the memory of one: more processes hold larger bases.
        rng: seed or generator of the start vectors.
        start: vectors (n,) or (n, j) near those sought, such as `vectors` of an operator that has
            changed since; they replace the random ones up to a hundredth of their length.
        gather: of several processes, whether each gets whole eigenvectors, or its rows of them.
        checkpoint: a folder for the state of this call; the same call with the same seed resumes
            from it and gives bit-identical results. Of several processes each writes its share, and
            another number of processes can resume; all must see the folder.
        checkpoint_every: seconds between two states; work since the last one is lost.
        progress: called with products done and the number predicted from the convergence so far.

    Raises:
        InputError: for a bad argument, or if k + 2 block + 1 vectors do not fit.
        NonFiniteError: if a product is not finite, with the eigenpairs so far as `partial`.

    Cost: `num_matvecs` products (one of them measures the rounding of products), and 4 j n
    multiply-adds for each, with j the size of the basis.

    Example:
        >>> pairs = hs.eigenpairs(H, 2, which="BE")  # one from each end
        >>> bool(pairs.values[0] > 0 > pairs.values[-1]), bool(pairs.converged.all())
        (True, True)
    """
    max_bytes = memory("max_bytes", max_bytes)
    function("progress", progress, "(done, total, what) ")
    flag("gather", gather)
    nonnegative("checkpoint_every", checkpoint_every)
    folder = None if checkpoint is None else folder_of(checkpoint)
    operator = as_operator(op)
    n = operator.shape[0]
    limit = 1000 if max_products is None else max_products
    tol = tolerance_of(operator, k, which, tol, block, limit)
    limit = max(1000, 50 * k) if max_products is None else max_products
    seeds = generator(rng)
    work = {"work": "eigenpairs", "k": k, "which": which, "tol": tol, "block": block}
    told = {**work, "max_bytes": max_bytes, "gather": gather, "start": start is not None}
    told["checkpoint"] = folder is not None
    require_same_call(operator.shares, told, seeds)
    capacity = basis_rows(operator, k, block, max_bytes, gather=gather)
    rows = start_rows(operator, start, min(block, n), seeds)
    log = None
    if folder is not None:
        total = operator.shares.sum(rows.double().sum())
        identity = {**work, "start": [float(total)]}
        log = KrylovCheckpoint(Checkpoint(folder, identity, operator, checkpoint_every), seeds)
        capacity = log.capacity(capacity)
    operator = operator.prepare(limit // 10, block, choice=log.choice if log else None)
    space = KrylovSpace(operator, rows, capacity, seeds)
    forecast = Forecast(limit)
    checked, done = log.restore(space) if log else (0, False)
    while not done:
        # before the step: a state may have been written between a step and its check
        due = space.full or space.num_matvecs - checked >= _CHECK_EVERY
        if due and space.size >= min(k, n):
            checked = space.num_matvecs
            pairs = space.ritz()
            chosen = wanted(pairs.values, which)[:k]
            bounds = bounds_of(pairs.values[chosen], tol, space.scale, operator.dtype)
            worst = float((pairs.residuals[chosen] / bounds).max())
            done = worst <= 1 or space.complete
            progress(space.num_matvecs, forecast(space.num_matvecs, worst), "products")
            if space.full and not done:
                kept = k + (space.size - k) // 3
                kept = min(kept, space.size - space.block)
                space.restart(pairs, np.sort(wanted(pairs.values, which)[:kept]))
                if log:
                    log.forget_rows()
        elif space.num_matvecs >= limit:
            break
        else:
            try:
                space.expand()
            except NonFiniteError as error:
                msg = f"{error} (after {space.num_matvecs} products)"
                partial = (
                    _result(space, k, which, tol, check=False, gather=gather)
                    if space.size
                    else None
                )
                raise NonFiniteError(msg, partial=partial) from error
            if log:
                log.save_if_due(space, checked)
    if log:
        log.save(space, checked, done=done)
    try:
        result = _result(space, k, which, tol, gather=gather)
    except NonFiniteError as error:
        partial = _result(space, k, which, tol, check=False, gather=gather)
        msg = f"{error} (after {space.num_matvecs} products)"
        raise NonFiniteError(msg, partial=partial) from error
    if not done:
        warnings.warn(
            f"{result!r}: not converged after max_products = {limit}; raise it, request fewer "
            "eigenpairs, or increase tol",
            ConvergenceWarning,
            stacklevel=2,
        )
    elif not result.converged.all():
        warnings.warn(
            f"{result!r}: rounding of the products exceeds tol; use a larger tol, or float64",
            ConvergenceWarning,
            stacklevel=2,
        )
    return result


def tolerance_of(
    operator: SymmetricOperator, k: int, which: str, tol: float | None, block: int, limit: int
) -> float:
    """The tolerance, after a check of the arguments.

    Raises:
        InputError: for a bad one.
    """
    n = operator.shape[0]
    if count("k", k, at_least=1) > n:
        msg = f"k: {k}; 1 <= k <= {n}, the size of the operator, is required"
        raise InputError(msg)
    if which not in get_args(Which):
        msg = f"which: {which!r}; one of {', '.join(get_args(Which))} is required"
        raise InputError(msg)
    count("block", block, at_least=1)
    count("max_products", limit, at_least=1)
    if tol is None:
        return 1e-6 if operator.dtype == torch.float64 else 1e-4
    return fraction("tol", tol)


def _result(
    space: KrylovSpace, k: int, which: Which, tol: float, *, gather: bool, check: bool = True
) -> Eigenpairs:
    shares, dtype, pairs = space.shares, space.basis.dtype, space.ritz()
    chosen = wanted(pairs.values, which)[:k]
    unit = 4 * float(torch.finfo(dtype).eps) * space.scale  # margin for LAPACK and rounding
    # residuals computed from T exclude the rounding of products; one product measures it
    rounding = max(unit, 2 * space.departure(pairs, chosen)) if check else unit
    known = np.maximum(pairs.residuals, rounding) <= bounds_of(
        pairs.values, tol, space.scale, dtype
    )
    zero = (np.abs(pairs.values[chosen]) <= 100 * unit) & known[chosen] & (space.scale > 0)
    # zero eigenvalues are listed only if all are zero; otherwise a flag reports them
    if zero.all():
        zero = np.zeros_like(zero)
    chosen = chosen[~zero]
    values = pairs.values[chosen]
    residuals = pairs.residuals[chosen] + rounding
    # copies of a value, among the listed pairs and among all Ritz values
    doubt = pairs.residuals + rounding
    near = np.abs(values[:, None] - pairs.values) <= residuals[:, None] + doubt
    copies = near.sum(axis=1)
    listed = near[:, chosen].sum(axis=1) == copies
    vectors, whole = space.vectors(pairs, chosen), gather or not shares.divided
    return Eigenpairs(
        values=values,
        vectors=shares.whole_columns(vectors) if whole else vectors,
        residuals=residuals,
        converged=known[chosen],
        multiplicity_known=listed & ((copies < space.width) | space.complete),
        null_space=bool(zero.any()) or (space.scale == 0.0),
        requested=k,
        which=which,
        dim=shares.dim,
        scale=space.scale,
        num_matvecs=space.num_matvecs,
        named_shapes=space.operator.named_shapes,
        rows=() if whole else shares.pieces,
    )
