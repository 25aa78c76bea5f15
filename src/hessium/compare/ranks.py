"""Measured ranks of the curvature matrices beside the rank theory of deep linear networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from hessium.compare.architecture import architecture
from hessium.curvature import GaussNewton, Hessian, ResidualHessian
from hessium.errors import InputError
from hessium.estimate import Count, rank
from hessium.problem import EmpiricalRisk
from hessium.problem.losses import SquaredError
from hessium.problem.torch_losses import CrossEntropy, Elementwise
from hessium.theory import NetworkRank, linear_network_rank


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Ranks:
    """Ranks of H0, H1 and H, measured and predicted.

    Attributes:
        gauss_newton, residual, hessian: measured.
        theory: of the linear network of these widths and data, or None where no formula is known.
        why: why there is no theory, or "".
        linear: whether the network is linear, so that the theory is an equality for generic
            weights and residuals; others exceed it, by many small eigenvalues.
        data_rank: rank of the inputs (of the centred inputs where there are biases).
        parameters: size of the matrices.
        tol: relative size of zero.
    """

    gauss_newton: Count
    residual: Count
    hessian: Count
    theory: NetworkRank | None
    why: str
    linear: bool
    data_rank: int | None
    parameters: int
    tol: float

    @property
    def agree(self) -> bool | None:
        """Whether all three equal the theory; None where there is none."""
        if self.theory is None:
            return None
        pairs = (
            (self.gauss_newton, self.theory.gauss_newton),
            (self.residual, self.theory.residual),
            (self.hessian, self.theory.hessian),
        )
        return all(count.lower <= number <= count.upper for count, number in pairs)

    @property
    def within(self) -> bool | None:
        """Whether none of the three exceeds the theory; None where there is none."""
        if self.theory is None:
            return None
        return (
            self.gauss_newton.lower <= self.theory.gauss_newton
            and self.residual.lower <= self.theory.residual
            and self.hessian.lower <= self.theory.hessian
        )

    def __repr__(self) -> str:
        counts = (self.gauss_newton, self.residual, self.hessian)
        measured = ", ".join(count.bracket for count in counts)
        measured += f" of {self.parameters} at tol {self.tol:g}"
        if self.theory is None:
            return f"Ranks(H0, H1, H: {measured}; no theory: {self.why})"
        t = self.theory
        kind = "formula" if self.linear else "linear network of these widths"
        return f"Ranks(H0, H1, H: {measured}; {kind}: {t.gauss_newton}, {t.residual}, {t.hessian})"


def ranks(risk: EmpiricalRisk, tol: float = 1e-10, *, max_bytes: int = 2**33) -> Ranks:
    r"""Ranks of H0, H1 and H beside Singh, Bachmann and Hofmann (NeurIPS 2021).

    The theory is that of the deep linear network with the same widths and the same rank of the
    data. It applies to fully connected chains, squared error and cross-entropy; what is missing is
    said in `why`.

    Args:
        risk: in float64: in float32 the null space drowns in rounding.
        tol: an eigenvalue counts beyond this fraction of the largest of its matrix.
        max_bytes: what a dense matrix may take.

    Raises:
        InputError: for a closure or float32, or if a matrix does not fit.

    Cost: the ranks of three dense matrices.
    """
    if risk.dtype != torch.float64:
        msg = f"risk: parameters are {risk.dtype}; ranks need float64 (model.double())"
        raise InputError(msg)
    operators = GaussNewton(risk), ResidualHessian(risk), Hessian(risk)
    counts = [rank(operator, tol, max_bytes=max_bytes) for operator in operators]
    theory, why, linear, data_rank = _theory(risk)
    return Ranks(
        gauss_newton=counts[0],
        residual=counts[1],
        hessian=counts[2],
        theory=theory,
        why=why,
        linear=linear,
        data_rank=data_rank,
        parameters=risk.dim,
        tol=tol,
    )


def _theory(risk: EmpiricalRisk) -> tuple[NetworkRank | None, str, bool, int | None]:
    shape = architecture(risk.model)
    layers = shape.chain
    linear = all(link.activation == "none" for link in shape.links)
    if layers is None or not all(isinstance(layer.module, nn.Linear) for layer in layers):
        return None, shape.unread or "the model is no chain of linear layers", linear, None
    if len(layers) < 2:
        return None, "the network has no hidden layer", linear, None
    if shape.softmax:
        return None, "the network ends in a softmax, which is no linear layer", linear, None
    biases = {layer.bias is not None for layer in layers}
    free = {name for layer in layers for name in (layer.weight, layer.bias) if name}
    if len(biases) > 1:
        return None, "some layers have biases and some do not", linear, None
    if free != set(risk.names):
        return None, "some parameters are frozen or left out", linear, None
    if isinstance(risk.loss, CrossEntropy):
        loss = "cross-entropy"
    elif isinstance(risk.loss, Elementwise) and risk.loss.flat:
        return None, f"no formula for {risk.loss!r}, whose second derivative vanishes", linear, None
    elif isinstance(risk.loss, (SquaredError, Elementwise)):
        loss = "squared-error"
    else:
        return None, f"no formula for {risk.loss!r}", linear, None
    bias = biases.pop()
    data_rank = _data_rank(risk, centred=bias)
    widths = [layers[0].module.in_features, *(layer.width for layer in layers)]
    try:
        found = linear_network_rank(widths, data_rank, loss=loss, bias=bias)
    except InputError as error:
        return None, str(error), linear, data_rank
    return found, "", linear, data_rank


def _data_rank(risk: EmpiricalRisk, *, centred: bool) -> int:
    rows = torch.cat([inputs.reshape(inputs.shape[0], -1) for inputs, _ in risk.batches()])
    rows = rows.double()
    if centred:
        rows = rows - rows.mean(dim=0)
    return int(torch.linalg.matrix_rank(rows))
