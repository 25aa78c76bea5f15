"""Places at which a measurement could be made: their term of a sum, and their joint covariance."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.posterior.factor import Functionals
from hessium.posterior.state import State
from hessium.problem import EmpiricalRisk, SumRisk
from hessium.problem.containers import tensors
from hessium.problem.forward import call
from hessium.problem.term_loss import OfTerm


def measured_in(risk: EmpiricalRisk, inputs: Any, term: str | None) -> Any:
    """Candidates with the term of a sum that would measure there.

    By default the only term whose outputs are those of the model itself (no `forward=`).

    Raises:
        InputError: if several terms or none could measure there, or `term` contradicts the inputs.
    """
    if not isinstance(risk, SumRisk):
        if term is not None:
            msg = f"term: {term!r}; the risk has no terms: leave it out"
            raise InputError(msg)
        return inputs
    if isinstance(inputs, OfTerm):
        if term not in (None, inputs.term):
            msg = f"term: {term!r}; the candidates are inputs of {inputs.term!r}"
            raise InputError(msg)
        return inputs
    if term is None:
        terms = risk.terms
        plain = [name for name, one in terms.items() if one._forward is call] or list(terms)
        if len(plain) > 1:
            msg = (
                f"term: None; {', '.join(map(repr, plain))} could take the candidates: name the "
                "term that measures there"
            )
            raise InputError(msg)
        (term,) = plain
    return risk.inputs_of(term, inputs)


def joined(candidates: Any, targets: Any) -> Any:
    """Candidates and targets as one batch.

    Raises:
        InputError: if they are not tensors of one shape, or not of one term.
    """
    if targets is None:
        return candidates
    if isinstance(candidates, OfTerm):
        if isinstance(targets, OfTerm) and targets.term != candidates.term:
            msg = (
                f"targets: inputs of {targets.term!r}; inputs of {candidates.term!r}, the term of "
                "the candidates, are required"
            )
            raise InputError(msg)
        value = targets.value if isinstance(targets, OfTerm) else targets
        return OfTerm(candidates.term, joined(candidates.value, value))
    same = all(isinstance(one, Tensor) for one in (candidates, targets))
    if not same or candidates.shape[1:] != targets.shape[1:]:
        msg = "targets: inputs as one tensor, with samples of the shape of the candidates, required"
        raise InputError(msg)
    if not len(targets):
        msg = "targets: no sample; at least one is required"
        raise InputError(msg)
    return torch.cat([candidates, targets])


def num_samples(inputs: Any) -> int:
    """Samples in a batch of inputs."""
    return int(tensors(inputs)[0].shape[0])


def in_noises(state: State, inputs: Any) -> tuple[Functionals, int]:
    r"""Outputs at some inputs as measurements of noise one: $S^T g / (\sqrt q \sigma)$.

    Returns:
        The functionals with their joint rest, by sample, then measurement; and measurements of a
        sample. One to which the loss gives no weight is zero.
    """
    axis = state.factor.risk.sample_axis
    if axis:
        msg = (
            f"candidates: samples are dimension {axis} of the outputs, so rows are not what is "
            "measured together; put samples first with forward="
        )
        raise InputError(msg)
    g, shape = state.factor.outputs(inputs, joint=True)
    each = shape[1:].numel() if shape else 1
    term = inputs.term if isinstance(inputs, OfTerm) else None
    root = state.factor.data.of_candidate(term, each).cpu().numpy() / state.noise
    along = _turned(g.along, root)
    rest = _turned(_turned(g.rest, root).T, root)
    rest = (rest + rest.T) / 2
    squares = np.square(along).sum(axis=1) + np.maximum(np.diagonal(rest), 0.0)
    return Functionals(along=along, rest=rest, squares=squares), root.shape[1]


def noise_variances(state: State, inputs: Any, each: int) -> FloatArray:
    """Of a measurement of each output at some inputs, (each,); infinite where there is none."""
    term = inputs.term if isinstance(inputs, OfTerm) else None
    root = state.factor.data.of_candidate(term, each).cpu().numpy() / state.noise
    precision = root @ root.T
    measured = np.diagonal(precision) > 0
    variances = np.diagonal(np.linalg.pinv(precision, hermitian=True))
    return np.where(measured, variances, np.inf)


def _turned(rows: FloatArray, root: FloatArray) -> FloatArray:
    """Rows of every sample, turned by the transpose of S."""
    by_sample = rows.reshape(-1, root.shape[0], rows.shape[1])
    return np.asarray(np.einsum("cr,sck->srk", root, by_sample)).reshape(-1, rows.shape[1])
