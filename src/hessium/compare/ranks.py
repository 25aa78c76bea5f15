"""Measured ranks of H0, H1 and H, compared with the theory of deep linear networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from hessium import _arguments
from hessium._display import Displayable
from hessium.compare.architecture import Architecture
from hessium.compare.curvature import Curvature, as_curvature
from hessium.errors import InputError
from hessium.problem import EmpiricalRisk
from hessium.problem.cross_entropy import CrossEntropy
from hessium.spectra import Count
from hessium.spectra.inertia import check_tol
from hessium.theory import NetworkRank, linear_network_rank


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Ranks(Displayable):
    """Ranks of H0, H1 and H, measured and predicted.

    Attributes:
        gauss_newton, residual, hessian: measured.
        theory: ranks of the linear network of these widths and data, or None without a formula.
        why: why the theory does not apply; "" if it does.
        linear: whether the outputs are those of a linear network, so that the theory is an equality
            for generic weights and residuals; other networks exceed it by many small eigenvalues.
        data_rank: rank of the inputs (of the centred inputs where there are biases).
        parameters: size of the matrices.
        tol: relative size of zero.

    Example:
        >>> found = hs.compare.ranks(risk)
        >>> found.linear, found.hessian.value <= found.parameters
        (False, True)
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
        """Whether all three equal the theory; None without a theory."""
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
        """Whether none of the three exceeds the theory; None without a theory."""
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
        measured += f" of {self.parameters} at |eigenvalue| > {self.tol:g} of the largest"
        if self.theory is None:
            return f"Ranks(H0, H1, H: {measured}; no theory: {self.why})"
        t = self.theory
        kind = "formula" if self.linear else "linear network of these widths"
        return f"Ranks(H0, H1, H: {measured}; {kind}: {t.gauss_newton}, {t.residual}, {t.hessian})"


def ranks(risk: EmpiricalRisk | Curvature, tol: float = 1e-10, *, max_bytes: int = 2**33) -> Ranks:
    r"""Ranks of H0, H1 and H beside Singh, Bachmann and Hofmann (NeurIPS 2021).

    The theory is that of the deep linear network with the same widths and the same rank of the
    data. It applies to fully connected chains, squared error and cross-entropy; otherwise `why`
    gives the reason.

    Args:
        risk: a risk or its `Curvature`, in float64: in float32 the null space is lost in
            rounding.
        tol: an eigenvalue counts beyond this fraction of the largest of its matrix. Formulas count
            every eigenvalue that is not exactly zero, so the default is near rounding, not the
            1e-6 of `hs.rank`, which asks how many directions matter.
        max_bytes: memory limit for a dense matrix.

    Raises:
        InputError: for a closure, a model that returns its loss or float32, or if a matrix does
            not fit.

    Cost: dense H0 and H1, and the eigenvalues of three matrices.

    Example:
        >>> found = hs.compare.ranks(risk)
        >>> found.parameters, found.gauss_newton.upper <= 12
        (13, True)
    """
    curvature = as_curvature(risk, "ranks", max_bytes)
    risk = curvature.risk
    tol = check_tol(_arguments.nonnegative("tol", tol))
    if risk.dtype != torch.float64:
        msg = f"risk: parameters are {risk.dtype}; ranks need float64 (model.double())"
        raise InputError(msg)
    matrices = curvature.gauss_newton, curvature.residual, curvature.hessian
    counts = [one.spectrum.inertia(tol).rank for one in matrices]
    theory, why, linear, data_rank = _theory(curvature)
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


def _theory(curvature: Curvature) -> tuple[NetworkRank | None, str, bool, int | None]:
    risk, shape = curvature.risk, curvature.architecture
    layers = shape.chain
    linear = layers is not None and all(link.activation == "none" for link in shape.links)
    if layers is None or not all(isinstance(layer.module, nn.Linear) for layer in layers):
        return None, shape.unread or "the model is not a chain of linear layers", False, None
    reason = _no_network(shape, risk) or curvature.data.no_formula
    if reason:
        return None, reason, linear, None
    loss = "cross-entropy" if isinstance(risk.loss, CrossEntropy) else "squared-error"
    bias = layers[0].bias is not None
    data_rank = _data_rank(curvature, centred=bias)
    widths = [layers[0].module.in_features, *(layer.width for layer in layers)]
    try:
        found = linear_network_rank(widths, data_rank, loss=loss, bias=bias)
    except InputError as error:
        return None, str(error), linear, data_rank
    return found, "", linear, data_rank


def _no_network(shape: Architecture, risk: EmpiricalRisk) -> str:
    """Reason why the formula does not cover the layers, or ""."""
    layers = shape.layers
    if len(layers) < 2:
        return "the network has no hidden layer"
    if shape.softmax:
        return "the network ends in a softmax, which is not linear"
    if any(link.second.module.in_features != link.first.width for link in shape.links):
        return "the inputs of some layer differ in number from the outputs of the previous layer"
    if len({layer.bias is not None for layer in layers}) > 1:
        return "some layers have biases and some do not"
    free = {name for layer in layers for name in (layer.weight, layer.bias) if name}
    return "" if free == set(risk.names) else "some parameters are frozen or left out"


def _data_rank(curvature: Curvature, *, centred: bool) -> int:
    """Rank of the inputs of the first layer."""
    assert curvature.first_inputs is not None
    inputs = curvature.first_inputs.double()
    if centred:
        inputs = inputs - inputs.mean(dim=0)
    return int(torch.linalg.matrix_rank(inputs))
