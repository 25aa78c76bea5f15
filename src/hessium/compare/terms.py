"""Which term of a loss has which curvature, and where the terms pull against each other."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from hessium._arguments import count, function
from hessium._display import Displayable
from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.curvature import GaussNewton, Hessian
from hessium.errors import InputError
from hessium.estimate import Eigenpairs, eigenpairs, spectral_measure, spectrum, trace
from hessium.linalg import SymmetricOperator
from hessium.linalg.adapt import as_operator
from hessium.problem import SumRisk
from hessium.progress import Progress, silent
from hessium.spectra import Spectrum

Matrix = Literal["hessian", "gauss-newton"]

_OPPOSED = -0.1  # cosine of gradients that the sentence mentions


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class TermCurvature(Displayable):
    r"""Value, slope and curvature of each weighted term $w_k L_k$ of a sum.

    The curvature of term k along a unit vector v is $v^T (w_k H_k) v$.

    Attributes:
        names: of the terms, T of them.
        weights: $w_k$, (T,).
        matrix: "hessian" or "gauss-newton".
        values: $w_k L_k$, (T,); they add up to the loss.
        gradient_norms: $|w_k \nabla L_k|$, (T,).
        gradient_cosines: (T, T); negative where two terms pull in opposite directions, NaN where a
            gradient is zero.
        traces: of the matrix of each term, (T,).
        trace_errors: their standard errors, (T,); 0 if exact.
        spectra: of each term; exact for small models, else estimated.
        pairs: eigenpairs of the sum, largest in magnitude first.
        along: curvature of each term along the eigenvectors of the sum, (k, T); each row adds up to
            the eigenvalue.
        along_highest: (T, T): row a is the curvature of all terms along the direction of largest
            curvature of term a; NaN if a has no positive curvature.
        along_lowest: likewise for the direction of most negative curvature of term a; NaN if a has
            none. A positive entry (a, b) is a conflict: b rises where a falls away.
        num_matvecs: products with matrices of terms.

    Example:
        >>> ends = hs.EmpiricalRisk(model, loss, (x[[0, -1]], y[[0, -1]]))
        >>> found = hs.compare.terms(hs.SumRisk({"data": risk, "ends": ends}))
        >>> found.gradient_cosines.shape
        (2, 2)
    """

    names: tuple[str, ...]
    weights: FloatArray
    matrix: Matrix
    values: FloatArray
    gradient_norms: FloatArray
    gradient_cosines: FloatArray
    traces: FloatArray
    trace_errors: FloatArray
    spectra: tuple[Spectrum, ...]
    pairs: Eigenpairs
    along: FloatArray
    along_highest: FloatArray
    along_lowest: FloatArray
    num_matvecs: int

    @property
    def trace_shares(self) -> FloatArray:
        """Share of each term in the sum of the absolute traces, with its sign, (T,)."""
        total = float(np.abs(self.traces).sum())
        return np.asarray(self.traces / total if total > 0 else self.traces)

    @property
    def shares(self) -> FloatArray:
        """Share of each term in each eigenvalue of the sum, (k, T); rows add up to one.

        Shares below zero and above one are terms that cancel. NaN for an eigenvalue of zero.
        """
        sums = self.along.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(sums == 0, np.nan, self.along / sums)

    def opposed(self) -> list[tuple[str, str, float]]:
        """Pairs of terms with gradients of negative cosine, the most opposed first."""
        found = [
            (self.names[a], self.names[b], float(self.gradient_cosines[a, b]))
            for a, b in itertools.combinations(range(len(self.names)), 2)
            if self.gradient_cosines[a, b] < 0
        ]
        return sorted(found, key=lambda one: one[2])

    def conflicts(self) -> list[tuple[str, str, float, float]]:
        """(a, b, curvature of a, of b) along the most negative direction of a, if b rises there.

        Sorted by how much of the negative curvature b takes away.
        """
        found = [
            (self.names[a], self.names[b], float(row[a]), float(row[b]))
            for a, row in enumerate(self.along_lowest)
            for b in range(len(row))
            if a != b and row[b] > 0
        ]
        return sorted(found, key=lambda one: one[3] / one[2])

    def rows(self) -> list[dict[str, Any]]:
        """One row for each term: the columns of `to_dataframe`."""
        return [
            {
                "term": name,
                "weight": float(self.weights[at]),
                "value": float(self.values[at]),
                "gradient_norm": float(self.gradient_norms[at]),
                "trace": float(self.traces[at]),
                "trace_error": float(self.trace_errors[at]),
                "largest": float(self.along_highest[at, at]),
                "most_negative": float(self.along_lowest[at, at]),
            }
            | {f"cosine_{other}": float(self.gradient_cosines[at, b])
               for b, other in enumerate(self.names)}
            | {f"along_{number}": float(value) for number, value in enumerate(self.along[:, at])}
            for at, name in enumerate(self.names)
        ]  # fmt: skip

    def __repr__(self) -> str:
        parts = ", ".join(
            f"{n} {s:.0%}" for n, s in zip(self.names, self.trace_shares, strict=True)
        )
        words = [f"share of the trace: {parts}"]
        if len(self.along) and np.isfinite(self.shares[0]).all():
            top = int(self.shares[0].argmax())
            words.append(
                f"eigenvalue {self.pairs.values[0]:.4g} is {self.shares[0, top]:.0%} "
                f"{self.names[top]}"
            )
        opposed = [one for one in self.opposed() if one[2] < _OPPOSED]
        if opposed:
            words.append(
                f"gradients of {opposed[0][0]} and {opposed[0][1]} oppose each other "
                f"(cosine {opposed[0][2]:.2f})"
            )
        if clash := self.conflicts():
            a, b, down, up = clash[0]
            words.append(f"where {a} has curvature {down:.3g}, {b} has {up:.3g}")
        return f"TermCurvature({'; '.join(words)})"


def terms(
    risk: SumRisk,
    k: int = 5,
    *,
    matrix: Matrix = "hessian",
    max_dim: int = 1000,
    probes: int = 5,
    steps: int = 60,
    matvecs: int = 60,
    rng: Rng = 0,
    progress: Progress = silent,
) -> TermCurvature:
    r"""Values, gradients, spectra and conflicts of the terms of a loss.

    Args:
        risk: a weighted sum of terms.
        k: number of eigenpairs of the sum.
        matrix: "hessian", or "gauss-newton" for terms that all have outputs.
        max_dim: up to this number of parameters the matrices are formed, and traces and spectra are
            exact.
        probes: random vectors of the estimated spectrum of a larger model.
        steps: Lanczos steps of each.
        matvecs: products for the trace of each term of a larger model.
        rng: seed or generator.
        progress: called with terms done, terms in all.

    Raises:
        InputError: if `risk` is not a SumRisk, an argument is invalid, or a term lacks the matrix.

    Cost: a small model: the dense matrix of each term. A larger one: for each term
        probes x steps + matvecs products and two eigenpairs, and k eigenpairs of the sum.

    Example:
        >>> ends = hs.EmpiricalRisk(model, loss, (x[[0, -1]], y[[0, -1]]))
        >>> found = hs.compare.terms(hs.SumRisk({"data": risk, "ends": ends}))
        >>> found.names, round(float(found.trace_shares.sum()), 9)
        (('data', 'ends'), 1.0)
    """
    if not isinstance(risk, SumRisk):
        msg = f"risk: {type(risk).__name__}; a hessium.SumRisk is required"
        raise InputError(msg)
    if matrix not in ("hessian", "gauss-newton"):
        msg = f"matrix: {matrix!r}; 'hessian' or 'gauss-newton' is required"
        raise InputError(msg)
    k = min(count("k", k), risk.dim)
    max_dim = count("max_dim", max_dim, 0)
    for name, number in (("probes", probes), ("steps", steps), ("matvecs", matvecs)):
        count(name, number)
    function("progress", progress, "(done, total, what) ")
    source = generator(rng)
    kind = Hessian if matrix == "hessian" else GaussNewton
    values, gradients, ops = [], [], list[SymmetricOperator]()
    for name, term in risk.terms.items():
        value, gradient = term.value_and_gradient()
        values.append(risk.weights[name] * value)
        gradients.append(risk.weights[name] * gradient.double())
        ops.append(risk.weights[name] * kind(term))
    named = ops[0].named_shapes
    small = risk.dim <= max_dim
    if small:
        ops = [as_operator(op.dense()) for op in ops]
    spectra, traces, errors, spent = [], [], [], 0
    high, low = list[Tensor | None](), list[Tensor | None]()
    for done, op in enumerate(ops):
        progress(done, len(ops), "terms")
        if small:
            found = spectrum(op)
            traces.append(float(found.nodes.sum()))
            errors.append(0.0)
        else:
            found = spectral_measure(op, probes, steps, rng=source)
            estimate = trace(op, matvecs, rng=source)
            traces.append(estimate.value)
            errors.append(estimate.stderr)
            spent += estimate.num_matvecs + found.num_matvecs
        spectra.append(found)
        ends = eigenpairs(op, min(2, risk.dim), which="BE", rng=source)
        spent += ends.num_matvecs
        high.append(_end(ends, largest=True))
        low.append(_end(ends, largest=False))
    pairs = eigenpairs(_sum(ops), k, which="LM", rng=source)
    progress(len(ops), len(ops), "terms")
    columns = [pairs.vectors, *(v[:, None] for v in (*high, *low) if v is not None)]
    directions = torch.cat(columns, dim=1)
    along = np.stack([_curvatures(op, directions) for op in ops], axis=1)
    rows = iter(along[pairs.vectors.shape[1] :])
    tables = [
        np.array([np.full(len(ops), np.nan) if v is None else next(rows) for v in vectors])
        for vectors in (high, low)
    ]
    stacked = torch.stack(gradients).cpu().numpy()
    norms = np.linalg.norm(stacked, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = np.where(norms[:, None] > 0, stacked / norms[:, None], np.nan)
    return TermCurvature(
        names=tuple(risk.terms),
        weights=np.array(list(risk.weights.values())),
        matrix=matrix,
        values=np.array(values),
        gradient_norms=norms,
        gradient_cosines=unit @ unit.T,
        traces=np.array(traces),
        trace_errors=np.array(errors),
        spectra=tuple(spectra),
        pairs=replace(pairs, named_shapes=named),
        along=along[: pairs.vectors.shape[1]],
        along_highest=tables[0],
        along_lowest=tables[1],
        num_matvecs=spent + len(ops) * (pairs.num_matvecs + directions.shape[1]),
    )


def _sum(ops: list[SymmetricOperator]) -> SymmetricOperator:
    total = ops[0]
    for op in ops[1:]:
        total = total + op
    return total


def _end(ends: Eigenpairs, *, largest: bool) -> Tensor | None:
    """The eigenvector of the largest positive, or the most negative eigenvalue, if there is one."""
    if not len(ends):
        return None
    at = int(ends.values.argmax() if largest else ends.values.argmin())
    value = float(ends.values[at])
    clear = abs(value) > float(ends.residuals[at])
    return ends.vectors[:, at] if clear and (value > 0) == largest else None


def _curvatures(op: SymmetricOperator, directions: Tensor) -> FloatArray:
    products = op @ directions
    return (directions * products).double().sum(dim=0).cpu().numpy()
