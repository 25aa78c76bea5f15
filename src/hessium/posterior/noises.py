r"""Standard deviations of measurements, one for each output of a sample or one for each term.

They make the data measurements of their own: with the residuals of a squared-error loss, whatever
its weights, the negative log-likelihood is

$$\tfrac12 \sum_{s,i} m_{si} \, (f_{si} - y_{si})^2 / \sigma_i^2,$$

where $m_{si}$ is 0 for a measurement to which the loss gives no weight (a mask) and 1 for all
others. $y = f - \Lambda^{-1} \nabla_f \ell$ is read from the loss.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from hessium._arguments import positive, reals
from hessium._typing import AnyArray, FloatArray
from hessium.errors import InputError, SelfCheckWarning
from hessium.posterior.known_loss import Known, KnownLoss
from hessium.posterior.measurements import Measurements, measurements, simplest
from hessium.problem import EmpiricalRisk, SumRisk
from hessium.problem.data import Batch
from hessium.problem.losses import rows
from hessium.problem.output_hessian import Diagonal
from hessium.problem.shared import Shared
from hessium.problem.term_loss import OfTerm

Noise: TypeAlias = float | FloatArray | dict[str, float]
"""For all measurements, for each output of a sample, or for each term of a sum by name."""

NoiseArgument: TypeAlias = (
    float | int | Sequence[Any] | AnyArray | Tensor | Mapping[str, Any] | None
)
"""What a user may give; None: estimated."""

_MASKED = 1e-14  # of the largest weight: no weight
_SAME = 1e-9  # relative: noises of terms that are equal


def noise_argument(noise: Any, risk: EmpiricalRisk) -> Noise | None:
    """The argument `noise` as a number, an array or a dict; None stays.

    Raises:
        InputError: if it is not positive, or does not fit to the risk.
    """
    if noise is None:
        return None
    several = isinstance(noise, (list, tuple, Tensor, np.ndarray)) and np.ndim(noise) > 0
    if isinstance(noise, Mapping):
        return _by_term(noise, risk)
    if not several:
        return positive("noise", noise)
    if isinstance(risk, SumRisk):
        msg = (
            f"noise: {len(noise)} numbers; the terms of a sum have outputs of their own, so give "
            f"the noise of each term by name: {_names(risk)}"
        )
        raise InputError(msg)
    given = noise.detach().cpu().numpy() if isinstance(noise, Tensor) else noise
    found = np.array(reals("noise", given))
    if not found.size or not bool((found > 0).all() and np.isfinite(found).all()):
        msg = f"noise: {found.tolist()}; a positive finite number for each output is required"
        raise InputError(msg)
    found.flags.writeable = False
    return found


def measured(
    risk: EmpiricalRisk, noise: Noise | None
) -> tuple[EmpiricalRisk, Measurements, float | None]:
    r"""The risk whose loss has the noises, its measurements, and $\sigma$ for the largest weight.

    Args:
        risk: in float64.
        noise: as `noise_argument` gives it.

    Raises:
        InputError: for a noise and a loss that is not a squared error; for no noise and several
            terms; and as `KnownNoises`.
    """
    data = measurements(risk)
    if noise is None:
        if data.quadratic:
            _require_one_term(risk)
        return risk, data, None
    if not data.quadratic:
        msg = f"noise: {noise_words(noise)}; {risk.loss!r} is not a squared error, so it takes no "
        raise InputError(msg + "noise")
    if isinstance(noise, float):
        _warn_of_terms(risk, data, noise)
        return risk, data, noise
    risk = KnownNoises(risk, noise)
    data = measurements(risk)
    return risk, data, 1 / math.sqrt(data.largest_weight)


def _require_one_term(risk: EmpiricalRisk) -> None:
    """Check that the noise of a risk may be estimated from all residuals together."""
    if isinstance(risk, SumRisk) and len(risk.terms) > 1:
        msg = (
            "noise: None; residuals of an equation or of boundary values do not have "
            f"the noise of the data, so give the noise of every term by name: {_names(risk)}"
        )
        raise InputError(msg)


def _warn_of_terms(risk: EmpiricalRisk, data: Measurements, noise: float) -> None:
    """Warn if one number means another noise for every term."""
    if not isinstance(risk, SumRisk):
        return
    each = {
        name: noise * math.sqrt(data.largest_weight / weight)
        for name, weight in data.largest_weights.items()
        if name is not None and weight > 0
    }
    if max(each.values()) <= (1 + _SAME) * min(each.values()):
        return
    listed = ", ".join(f"{name!r}: {value:.4g}" for name, value in each.items())
    msg = (
        f"noise: {noise:.4g}; this is the noise of a measurement of the largest weight, so by the "
        f"weights of the loss those of the terms are {{{listed}}}; give the noise of every term "
        "by name"
    )
    warnings.warn(msg, SelfCheckWarning, stacklevel=4)


def noise_words(noise: Noise) -> str:
    """The noise for a repr."""
    if isinstance(noise, dict):
        return ", ".join(f"{value:.4g} of {name}" for name, value in noise.items())
    if isinstance(noise, np.ndarray):
        shown = [f"{one:.4g}" for one in noise.reshape(-1)[:4]]
        return ", ".join(shown) + (", ..." if noise.size > len(shown) else "")
    return f"{noise:.4g}"


class KnownNoises(EmpiricalRisk):
    """A risk whose loss is the negative log-likelihood of its data with known noises.

    Args:
        risk: with a squared error, in float64.
        noise: for each output of a sample, or each term.

    Raises:
        InputError: if the noises do not have the shape of the outputs, or the loss couples outputs.

    Cost: one forward pass, and the derivatives of the loss in the outputs.
    """

    def __init__(self, risk: EmpiricalRisk, noise: FloatArray | dict[str, float]) -> None:
        self.__dict__.update(risk.__dict__)
        self._origin, self.noise = risk, noise
        self._known = tuple(_known(risk, noise))
        self._loss = KnownLoss()
        self._shared = Shared()
        self._survey = dataclasses.replace(risk.survey, denominator=1.0)

    def own_batches(self) -> Iterator[Batch]:
        """The inputs of the data, with what was measured there."""
        pairs = self._origin.own_batches()
        for (inputs, _), known in zip(pairs, self._known, strict=True):
            yield inputs, known


@torch.enable_grad()
def _known(risk: EmpiricalRisk, noise: FloatArray | dict[str, float]) -> list[Known]:
    read: list[tuple[str | None, Tensor, Tensor, Tensor]] = []
    tops: dict[str | None, float] = {}
    for inputs, targets in risk.batches():
        f = risk.outputs(risk.leaves(), inputs).detach()  # a forward pass may differentiate
        middle = simplest(risk.output_hessian(f, targets), len(rows(f)))
        if not isinstance(middle, Diagonal):
            msg = (
                f"noise: {noise_words(noise)}; {risk.loss!r} couples the outputs of a sample, so "
                "they have no noises of their own; one number is required"
            )
            raise InputError(msg)
        term = inputs.term if isinstance(inputs, OfTerm) else None
        tops[term] = max(tops.get(term, 0.0), float(middle.entries.max()))
        read.append((term, f, middle.entries.view(f.shape), risk.output_gradient(f, targets)))
    found = []
    for term, f, curvature, slope in read:
        seen = curvature > _MASKED * tops[term]
        moved = torch.where(seen, slope / curvature.clamp(min=1e-300), 0.0)
        weights = torch.where(seen, _precision(risk, noise, term, f), 0.0)
        found.append(Known(f - moved, weights))
    return found


def _precision(
    risk: EmpiricalRisk, noise: FloatArray | dict[str, float], term: str | None, f: Tensor
) -> Tensor:
    """1 / sigma^2 of each output of a batch."""
    if isinstance(noise, dict):
        assert term is not None
        return torch.full_like(f, noise[term] ** -2)
    shape = tuple(f.shape[1:])
    same = noise.shape == shape or (noise.size == 1 and f.shape[1:].numel() == 1)
    if not same or risk.sample_axis:
        first = " with samples along the first dimension" if risk.sample_axis else ""
        msg = (
            f"noise: shape {noise.shape}; the outputs of a sample have the shape {shape}{first}: "
            "one number for each of them, or one for all, is required"
        )
        raise InputError(msg)
    each = torch.from_numpy(noise.reshape(shape) ** -2.0).to(f)
    return each.expand(f.shape).clone()


def _by_term(noise: Mapping[Any, Any], risk: EmpiricalRisk) -> dict[str, float]:
    if not isinstance(risk, SumRisk):
        msg = (
            f"noise: {dict(noise)!r}; names are those of the terms of an hs.SumRisk: a number, or "
            "one for each output of a sample, is required"
        )
        raise InputError(msg)
    wrong = [name for name in noise if name not in risk.terms]
    missing = [name for name in risk.terms if name not in noise]
    if wrong or missing:
        what = f"{wrong[0]!r} is not a term" if wrong else f"the noise of {missing[0]!r} is missing"
        msg = f"noise: {what}; a number for every term is required: {_names(risk)}"
        raise InputError(msg)
    return {name: positive(f"noise[{name!r}]", noise[name]) for name in risk.terms}


def _names(risk: SumRisk) -> str:
    return "noise={" + ", ".join(f"{name!r}: ..." for name in risk.terms) + "}"
