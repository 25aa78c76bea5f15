"""Inputs, targets and outputs of a risk as arrays, where they are vectors of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.posterior.measurements import measurements
from hessium.problem import EmpiricalRisk, SumRisk
from hessium.problem.other_inputs import OnInputs
from hessium.problem.term_loss import OfTerm

_GRID = {1: 101, 2: 15}  # default candidates along each input


def term_of(risk: EmpiricalRisk, term: str | None, candidates: Any) -> str | None:
    """The term of a sum whose outputs are measurements; None for a risk that is no sum.

    Raises:
        InputError: if it is not said which, does not exist, or the candidates are of another one.
    """
    if not isinstance(risk, SumRisk):
        if term is not None:
            msg = f"term: {term!r}; the risk is not a sum of terms, so it takes no term"
            raise InputError(msg)
        return None
    names = ", ".join(map(repr, risk.terms))
    given = candidates.term if isinstance(candidates, OfTerm) else None
    if term is None and given is None and len(risk.terms) > 1:
        msg = (
            f"term: None; the risk is a sum of the terms {names}: name the one whose outputs are "
            "measured (term=), or give candidates=risk.inputs_of(name, inputs)"
        )
        raise InputError(msg)
    found = term or given or next(iter(risk.terms))
    if found not in risk.terms or (given is not None and given != found):
        wrong = f"the candidates are of {given!r}" if found in risk.terms else f"one of {names}"
        msg = f"term: {found!r}; {wrong}" + (" is required" if found not in risk.terms else "")
        raise InputError(msg)
    return found


def counts_of(
    risk: EmpiricalRisk, term: str | None, num_measurements: int
) -> tuple[int, dict[str, int]]:
    """Number of measurements, and of the residuals of each other term of a sum.

    A measurement is an output of positive weight for a squared error, and a sample for every other
    loss. Cost: one forward pass for a sum.
    """
    if not isinstance(risk, SumRisk):
        return num_measurements, {}
    found = {}
    for name, one in risk.terms.items():
        data = measurements(one if one.dtype == torch.float64 else one.in_dtype(torch.float64))
        found[name] = data.count if data.quadratic else int(one.num_samples or 0)
    assert term is not None
    return found.pop(term), found


def places_of(
    risk: EmpiricalRisk, term: str | None, candidates: Any
) -> tuple[Any, FloatArray, Any, FloatArray, FloatArray]:
    """Inputs and targets of the data; candidates as the risk takes them, as columns, and outputs.

    Raises:
        InputError: if the model does not take the candidates.
    """
    if not isinstance(risk, SumRisk) or term is None:
        x, y = data_of(risk)
        there = candidates_of(risk, x, candidates)
        return x, y, there, columns_of(there), outputs_at(risk, there)
    own = risk.terms[term]
    x, y = data_of(own)
    values = candidates_of(own, x, candidates)
    there = risk.inputs_of(term, values)
    return x, y, there, columns_of(values), outputs_at(risk, there)


def data_of(risk: EmpiricalRisk) -> tuple[Any, FloatArray]:
    """Inputs as one array with its columns, or the first batch as it is; and targets."""
    batches = list(risk.batches())
    tensors = [inputs for inputs, _ in batches]
    if not all(isinstance(one, Tensor) and one.dim() in (1, 2) for one in tensors):
        return batches[0][0], np.empty((0, 0))
    rows = [one.detach().cpu().double().reshape(one.shape[0], -1) for one in tensors]
    x = torch.cat(rows).numpy()
    if x.shape[1] not in _GRID:
        return torch.cat(tensors), np.empty((0, 0))
    targets = [
        y.detach().cpu().double().reshape(y.shape[0], -1).numpy()
        for _, y in batches
        if isinstance(y, Tensor) and y.is_floating_point() and y.dim()
    ]
    whole = len(targets) == len(batches)
    return x, np.concatenate(targets) if whole else np.empty((0, 0))


def candidates_of(risk: EmpiricalRisk, x: Any, given: Any) -> Any:
    """Inputs to predict at: those given, a grid over the range of the data, or the data.

    A grid has one point along an input that is the same for all data, and as many dimensions as the
    inputs. For integer inputs the candidates are the distinct inputs of the data.
    """
    if given is not None:
        return given.value if isinstance(given, OfTerm) else given
    if not isinstance(x, np.ndarray):
        return x
    found = [inputs for inputs, _ in risk.batches()]
    if not found[0].is_floating_point():
        return torch.cat(found).unique(dim=0)
    low, high = x.min(axis=0), x.max(axis=0)
    num = _GRID[x.shape[1]]
    axes = [np.linspace(a, b, num if b > a else 1) for a, b in zip(low, high, strict=True)]
    points = np.stack([one.reshape(-1) for one in np.meshgrid(*axes, indexing="ij")], axis=1)
    return torch.from_numpy(points).reshape(-1, *found[0].shape[1:]).to(found[0].device)


def columns_of(inputs: Any) -> FloatArray:
    """Inputs with one or two columns as an array, else an empty one."""
    if not isinstance(inputs, Tensor) or inputs.dim() not in (1, 2):
        return np.empty((0, 0))
    columns = (inputs if inputs.dim() == 2 else inputs[:, None]).detach().cpu().double().numpy()
    return columns if columns.shape[1] in _GRID else np.empty((0, 0))


def outputs_at(risk: EmpiricalRisk, inputs: Any) -> FloatArray:
    """Outputs of the model, (samples, outputs of each)."""
    fine = risk if risk.dtype == torch.float64 else risk.in_dtype(torch.float64)
    try:
        there = OnInputs(fine, [inputs])
        _ = there.shapes  # what the model does not take is refused
    except InputError as error:
        text = str(error).removeprefix("inputs: ")
        pair = isinstance(inputs, (tuple, list)) and len(inputs) == 2
        hint = "; give inputs without targets" if pair else ""
        msg = f"candidates: {text}{hint}"
        raise InputError(msg) from error
    f = there.outputs(there.leaves(), next(iter(there.batches()))[0]).detach().cpu().double()
    if f.dim() == 0:
        msg = "candidates: the model gives one number for all samples; one row for each is required"
        raise InputError(msg)
    return f.reshape(f.shape[0], -1).numpy()
