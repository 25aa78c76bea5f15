r"""The data of a risk as measurements: their weights, residuals and number.

For a quadratic loss $\ell_s = \frac12 (f_s - y_s)^T \Lambda_s (f_s - y_s)$ up to a factor, the
measurements have the covariance $\sigma^2 q \Lambda^{-1}$, where q is the largest eigenvalue of all
$\Lambda_s$: $\sigma$ is the standard deviation of a measurement of the largest weight, whatever the
scale and the reduction of the loss. A measurement of weight zero (a mask) does not exist.

Where noises are given for each output or each term, the loss is that of `noises.KnownNoises`.

For every other loss the numerator of the risk is the negative log-likelihood.

A measurement at a new place (a candidate) has the weight that the data of its term have: the output
Hessian of a sample where that is the same for all samples; the largest weight of each output where
weights differ from sample to sample, and zero for an output that no sample has; the largest weight
of all where neither can be said (outputs of other shapes, or coupled ones).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hessium._arithmetic import full_precision
from hessium.errors import InputError
from hessium.posterior.known_loss import KnownLoss
from hessium.problem import EmpiricalRisk
from hessium.problem.losses import rows
from hessium.problem.output_hessian import Diagonal, OutputHessian, Softmax
from hessium.problem.term_loss import OfTerm

_SHIFT_SEED = 271828
_COUPLED = 1e-13  # of the largest weight: independent outputs below
_ALIKE = 1e-9  # of the largest weight: one weight for all samples
_QUADRATIC = 1e-9  # relative: slopes of a quadratic loss after a step of the size of the outputs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measurements:
    r"""Weights and residuals at the parameters of a risk.

    Attributes:
        quadratic: whether the loss is a squared error.
        largest_weight: q; 1 for other losses.
        count: measurements of positive weight.
        slopes: $S^+ e / \sqrt q$ with $e = \nabla_f \ell$, one for each row of `whiten`: residuals
            with the square roots of their relative weights, if the loss is quadratic.
        log_weights: sum of the logarithms of the relative weights.
        total: numerator of the risk.
        norm: largest singular value of $S/\sqrt q$.
        size: $|S^T f|^2 / q$ of the outputs f.
        terms: the term of each batch, or None.
    """

    quadratic: bool
    largest_weight: float
    count: int
    slopes: Tensor
    log_weights: float
    total: float
    norm: float
    size: float
    terms: tuple[str | None, ...]
    _factors: tuple[tuple[OutputHessian, torch.Size], ...]

    def whiten(self, block: Tensor, batch: int | None = None) -> Tensor:
        r"""$(S/\sqrt q)^T B$ for B with a row for each output (of one batch only, if given)."""
        factors = self._factors if batch is None else self._factors[batch : batch + 1]
        parts, start = [], 0
        for middle, shape in factors:
            part = block[start : start + shape.numel()].mT
            start += shape.numel()
            whitened = middle.factor_transpose(part.reshape(-1, *shape))
            parts.append(whitened.reshape(part.shape[0], -1).mT)
        return torch.cat(parts) / math.sqrt(self.largest_weight)

    def unwhiten(self, block: Tensor) -> Tensor:
        r"""$(S/\sqrt q) B$: the transpose of `whiten`, for B (rows,) or (rows, k)."""
        columns = block if block.dim() == 2 else block[:, None]
        parts, start = [], 0
        for middle, shape in self._factors:
            count = shape[0] * middle.rank
            part = columns[start : start + count].mT
            start += count
            found = middle.factor(part.reshape(-1, shape[0], middle.rank))
            parts.append(found.reshape(part.shape[0], -1).mT)
        return torch.cat(parts).reshape(-1, *block.shape[1:]) / math.sqrt(self.largest_weight)

    def of_candidate(self, term: str | None, outputs: int) -> Tensor:
        r"""$S/\sqrt q$ of a measurement at a new place, (outputs, rank).

        Args:
            term: of the sum, or None.
            outputs: of a sample.
        """
        own = [f for f, name in zip(self._factors, self.terms, strict=True) if name == term]
        found = _common(own, outputs)
        if found is None:
            like, top = self.slopes, self.largest_weights[term]
            found = torch.eye(outputs, dtype=like.dtype, device=like.device) * math.sqrt(top)
        return found / math.sqrt(self.largest_weight)

    @property
    def largest_weights(self) -> dict[str | None, float]:
        """The largest weight of each term by name; without terms, one weight under the key None."""
        found: dict[str | None, float] = {}
        for (middle, shape), name in zip(self._factors, self.terms, strict=True):
            found[name] = max(found.get(name, 0.0), float(_weights(middle, shape[0]).max()))
        return found

    def residuals_by_output(self) -> Tensor | None:
        """Slopes by sample and output, (samples, outputs).

        None if outputs are coupled, or batches have different numbers of them.
        """
        diagonal = all(isinstance(middle, Diagonal) for middle, _ in self._factors)
        if not diagonal or len({shape[1:] for _, shape in self._factors}) > 1:
            return None
        return self.slopes.reshape(-1, self._factors[0][1][1:].numel())

    def weights_by_output(self) -> Tensor:
        """Relative weights by sample and output, where `residuals_by_output` is not None."""
        weights = torch.cat([_weights(m, shape[0]) for m, shape in self._factors])
        return weights / self.largest_weight

    @property
    def residual_sum(self) -> float:
        """Sum of squared residuals, each with its relative weight."""
        return float(self.slopes.square().sum())


@full_precision()
@torch.enable_grad()
def measurements(risk: EmpiricalRisk) -> Measurements:
    """Read the data once.

    Raises:
        InputError: if the loss is not convex in the outputs, couples samples, or has no curvature.

    Cost: one forward pass.
    """
    factors: list[tuple[OutputHessian, torch.Size]] = []
    terms: list[str | None] = []
    slopes, total, quadratic, top, size = [], 0.0, True, 0.0, 0.0
    for inputs, targets in risk.batches():
        f = risk.outputs(risk.leaves(), inputs).detach()
        middle = risk.output_hessian(f, targets)
        middle.require_factor()
        middle = simplest(middle, len(rows(f)))
        slope = rows(risk.output_gradient(f, targets))
        quadratic = quadratic and _is_quadratic(risk, f, targets, middle, slope)
        factors.append((middle, rows(f).shape))
        terms.append(inputs.term if isinstance(inputs, OfTerm) else None)
        slopes.append(_whitened_slope(middle, slope))
        size += float(middle.factor_transpose(rows(f)).square().sum())
        total += float(risk.loss_of(f, targets).detach())
        top = max(top, float(_weights(middle, len(rows(f))).max()))
    if top == 0:
        msg = f"risk: {risk.loss!r} has no curvature in the outputs; the data determine nothing"
        raise InputError(msg)
    largest = top if quadratic else 1.0
    weights = torch.cat([_weights(m, s[0]).reshape(-1) for m, s in factors]) / largest
    # given noises may differ by more than weights of a loss do
    present = weights > (0.0 if isinstance(risk.loss, KnownLoss) else 1e-14)
    return Measurements(
        quadratic=quadratic,
        largest_weight=largest,
        count=int(present.sum()),
        slopes=torch.cat(slopes) / math.sqrt(largest),
        log_weights=float(weights[present].log().sum()),
        total=total,
        norm=math.sqrt(top / largest),
        size=size / largest,
        terms=tuple(terms),
        _factors=tuple(factors),
    )


def simplest(middle: OutputHessian, samples: int) -> OutputHessian:
    """Blocks that are diagonal as such: measurements of different outputs are independent."""
    if isinstance(middle, (Diagonal, Softmax)):
        return middle
    S = _columns(middle, samples)
    entries = S.square().sum(dim=2)
    beside = S @ S.mT - torch.diag_embed(entries)
    return Diagonal(entries) if beside.abs().max() <= _COUPLED * entries.max() else middle


def _common(factors: list[tuple[OutputHessian, torch.Size]], outputs: int) -> Tensor | None:
    """S of one sample where all samples have one, or the largest of independent outputs."""
    if any(shape[1:].numel() != outputs for _, shape in factors):
        return None
    if all(isinstance(middle, Diagonal) for middle, _ in factors):
        top = torch.stack([_weights(m, shape[0]).amax(dim=0) for m, shape in factors]).amax(dim=0)
        return torch.diag(top.sqrt())
    blocks = torch.cat([_columns(middle, shape[0]) for middle, shape in factors])
    products = blocks @ blocks.mT
    alike = (products - products[:1]).abs().max() <= _ALIKE * products.abs().max()
    return blocks[0] if alike else None


def _columns(middle: OutputHessian, samples: int) -> Tensor:
    """S of every sample, (N, C, r)."""
    return middle.columns(0, middle.rank, samples).permute(1, 2, 0)


def _weights(middle: OutputHessian, samples: int) -> Tensor:
    """Squared norms of the columns of S, (N, r): eigenvalues where these are orthogonal."""
    if isinstance(middle, Diagonal):
        return middle.entries
    return _columns(middle, samples).square().sum(dim=1)


def _whitened_slope(middle: OutputHessian, slope: Tensor) -> Tensor:
    """S^+ e for every sample, flat."""
    if isinstance(middle, Diagonal):
        root = middle.entries.sqrt()
        return torch.where(root > 0, slope / root.clamp(min=1e-300), 0.0).reshape(-1)
    inverse = torch.linalg.pinv(_columns(middle, len(slope)))
    return (inverse @ slope[..., None]).reshape(-1)


def _is_quadratic(
    risk: EmpiricalRisk, f: Tensor, targets: object, middle: OutputHessian, slope: Tensor
) -> bool:
    """Whether slopes change by the second derivative over a step as large as the outputs."""
    generator = torch.Generator().manual_seed(_SHIFT_SEED)
    step = torch.randn(rows(f).shape, generator=generator, dtype=torch.float64, device="cpu")
    step = step.to(f) * (1.0 + float(f.abs().max()))
    there = rows(risk.output_gradient(f + step.view(f.shape), targets))
    predicted = slope + middle.product(step)
    size = float(there.norm() + slope.norm() + predicted.norm())
    return float((there - predicted).norm()) <= _QUADRATIC * size
