"""A weighted sum of risks of one model: the terms of a loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hessium._arguments import positive
from hessium.errors import InputError
from hessium.problem.data import Batch
from hessium.problem.forward import Forward
from hessium.problem.passes import Passes
from hessium.problem.risk import EmpiricalRisk
from hessium.problem.samples import Counts
from hessium.problem.shared import Shared
from hessium.problem.substitution import Substitution
from hessium.problem.survey import Survey
from hessium.problem.term_loss import OfTerm, TermForward, TermLoss


class SumRisk(EmpiricalRisk):
    r"""A weighted sum of risks that share one model and its parameters.

    $$L(\theta) = \sum_k w_k L_k(\theta),$$

    as physics-informed networks have it: the residual of an equation, boundary values and data,
    each with its own loss, inputs, `forward=` and normalisation. It is a risk like any other: all
    operators, estimators and the posterior take it. Its samples and outputs are those of all terms,
    in the order of the terms.

        risk = hs.SumRisk({"residual": a, "boundary": b, "data": c}, weights={"boundary": 10.0})
        hs.spectrum(hs.Hessian(risk))
        hs.compare.terms(risk)                       # which term has which curvature
        risk.weights["data"] * hs.Hessian(risk.terms["data"])

    A term that is a closure has no outputs; then the sum has a Hessian and a gradient, but no
    Gauss-Newton part. `EmpiricalFisher` is refused, because samples of different terms have no
    common denominator.

    Args:
        terms: risks of one model by name, or in a sequence (named "0", "1", ...). They must have
            the same parameters, values included, dtype, device and buffers.
        weights: positive numbers by name (1 for a name that is missing), or in the order of the
            terms; 1 by default.

    Raises:
        InputError: if `terms` is empty; if a term is not an `EmpiricalRisk`, or is a `SumRisk`; if
            the terms have different models or parameters; or if a weight is not positive.

    Cost: none; the data were read when the terms were made.

    Example:
        >>> ends = hs.EmpiricalRisk(model, loss, (x[[0, -1]], y[[0, -1]]))
        >>> both = hs.SumRisk({"data": risk, "ends": ends}, weights={"data": 1.0, "ends": 10.0})
        >>> bool(abs(both.value() - risk.value() - 10 * ends.value()) < 1e-9)
        True
    """

    def __init__(
        self,
        terms: Mapping[str, EmpiricalRisk] | Sequence[EmpiricalRisk],
        weights: Mapping[str, float] | Sequence[float] | None = None,
    ) -> None:
        found = named(terms)
        self._weights = _weights(found, weights)
        risks = list(found.values())
        # the one that converts, if any: all have the same dtype
        first = next((r for r in risks if r._convert_to is not None), risks[0])
        for name, risk in found.items():
            _require_same(first, risk, name)
        self.__dict__.update({**first.__dict__, "_weights": self._weights})
        self._terms = found
        self._shared = Shared()
        self._check_mode = any(r._check_mode for r in risks)
        self._given = (None, None)
        self._survey = _survey(found, self._weights)
        losses = [r._places.beside for r in risks if r._places.beside is not None]
        self._places = Substitution(self._model, nn.ModuleList(losses) if losses else None)
        self._follow()

    @property
    def terms(self) -> dict[str, EmpiricalRisk]:
        """The terms by name, without their weights, at the parameters of the sum."""
        return dict(self._terms)

    @property
    def weights(self) -> dict[str, float]:
        """The weights by name."""
        return dict(self._weights)

    @property
    def has_outputs(self) -> bool:
        """Whether all terms have."""
        return all(term.has_outputs for term in self._terms.values())

    def inputs_of(self, term: str, inputs: Any) -> OfTerm:
        """Inputs of one term, for questions about outputs such as `prediction_std`.

        Args:
            term: its name.
            inputs: as this term takes them.

        Raises:
            InputError: if there is no such term.
        """
        if term not in self._terms:
            msg = f"term: {term!r}; one of {', '.join(self._terms)} is required"
            raise InputError(msg)
        return OfTerm(term, inputs)

    def at(self, theta: Float[Tensor, " n"]) -> SumRisk:
        """The same sum at other parameters. Errors as in `EmpiricalRisk.at`."""
        return self._followed(super().at(theta))

    def refreshed(self) -> SumRisk:
        """The same sum with the present parameters and buffers of the model, and these weights.

        Errors as in `EmpiricalRisk.refreshed`.
        """
        return self._followed(super().refreshed())

    def restrict(self, names: Sequence[str]) -> SumRisk:
        """The same sum as a function of some parameters only. See `EmpiricalRisk.restrict`."""
        return self._followed(super().restrict(names), fresh=True)

    def through(self, forward: Forward) -> SumRisk:
        """The same sum with outputs of all terms from another function of the module."""
        other = self._followed(super().through(forward))
        other._terms = {name: term.through(forward) for name, term in other._terms.items()}
        other._follow()
        return other

    def beginning(self, share: float) -> SumRisk:
        """The same sum with a share of the samples of every batch of every term."""
        other = self._followed(super().beginning(share))
        for term in other._terms.values():
            term._share = share
        return other

    def in_dtype(self, dtype: torch.dtype) -> SumRisk:
        """The same sum at the same parameters, computed in another dtype."""
        terms = {name: term.in_dtype(dtype) for name, term in self._terms.items()}
        return SumRisk(terms, self._weights)

    def weighted(self, weights: Mapping[str, float]) -> SumRisk:
        """The same terms with other weights; those of names that are missing stay."""
        return SumRisk(self._terms, {**self._weights, **weights})

    def own_batches(self) -> Iterator[Batch]:
        """The batches of all terms in turn, each with the name of its term."""
        for name, term in self._terms.items():
            for inputs, targets in term.own_batches():
                yield OfTerm(name, inputs), OfTerm(name, targets)

    @property
    def extent(self) -> str:
        """The number of terms and samples for a repr."""
        total = self._survey.counts.total
        samples = "" if total is None or not self.has_outputs else f", {total} samples"
        return f"{len(self._terms)} terms{samples}"

    def __repr__(self) -> str:
        terms = " + ".join(f"{w:g} {name}" for name, w in self._weights.items())
        outputs = f"{self.num_outputs} outputs" if self.has_outputs else ""
        facts = [f"{self.dim} parameters", self.extent, outputs, str(self.dtype)]
        return f"SumRisk({type(self.model).__name__}, {terms}: {', '.join(filter(None, facts))})"

    def _followed(self, other: EmpiricalRisk, *, fresh: bool = False) -> SumRisk:
        """`other`, made of this sum, with terms at its parameters."""
        assert isinstance(other, SumRisk)
        terms = {}
        for name, term in other._terms.items():
            one = terms[name] = _copied(term, other)
            if fresh:
                one._shared = Shared()
        other._terms = terms
        return other

    def _follow(self) -> None:
        """Take loss and outputs from the terms."""
        factors = {n: self._weights[n] / t.denominator for n, t in self._terms.items()}
        self._loss = TermLoss({n: t.loss for n, t in self._terms.items()}, self._weights, factors)
        self._forward = TermForward({n: t._forward for n, t in self._terms.items()})


def _copied(term: EmpiricalRisk, like: EmpiricalRisk) -> EmpiricalRisk:
    other = object.__new__(type(term))
    place = ("_state", "_layout", "_theta", "_fixed", "_buffers", "_convert_to")
    other.__dict__.update(term.__dict__)
    other.__dict__.update({name: like.__dict__[name] for name in place})
    return other


def named(terms: Any) -> dict[str, EmpiricalRisk]:
    """Terms by name.

    Raises:
        InputError: if there is none, one is not a risk or is a sum, or a name is not a string.
    """
    if isinstance(terms, Mapping):
        found = dict(terms)
    elif isinstance(terms, (list, tuple)):
        found = {str(number): risk for number, risk in enumerate(terms)}
    else:
        msg = f"terms: {type(terms).__name__}; risks by name, or a list of risks, are required"
        raise InputError(msg)
    if not found:
        msg = "terms: none; at least one risk is required"
        raise InputError(msg)
    for name, risk in found.items():
        if not isinstance(name, str):
            msg = f"terms: the name {name!r} is a {type(name).__name__}; a string is required"
            raise InputError(msg)
        if not isinstance(risk, EmpiricalRisk):
            msg = f"terms: {name!r} is a {type(risk).__name__}; a hessium.EmpiricalRisk is required"
            raise InputError(msg)
        if isinstance(risk, SumRisk):
            msg = f"terms: {name!r} is a sum itself; list its terms here, with their weights"
            raise InputError(msg)
    return found


def _weights(terms: Mapping[str, EmpiricalRisk], weights: Any) -> dict[str, float]:
    if weights is None:
        weights = {}
    elif not isinstance(weights, Mapping):
        values = list(weights) if isinstance(weights, (list, tuple, Tensor)) else [weights]
        if len(values) != len(terms):
            msg = f"weights: {len(values)} numbers; one for each of {len(terms)} terms is required"
            raise InputError(msg)
        weights = dict(zip(terms, values, strict=True))
    unknown = [name for name in weights if name not in terms]
    if unknown:
        msg = f"weights: {unknown[0]!r} is no term; the terms are {', '.join(terms)}"
        raise InputError(msg)
    return {name: positive(f"weights[{name!r}]", _number(weights.get(name, 1.0))) for name in terms}


def _number(weight: Any) -> Any:
    return weight.item() if isinstance(weight, Tensor) and weight.numel() == 1 else weight


def _require_same(first: EmpiricalRisk, risk: EmpiricalRisk, name: str) -> None:
    """Check that two terms are functions of the same parameters at the same place.

    Raises:
        InputError: if they are not.
    """
    if risk.spread is not None:
        msg = f"terms: {name!r} has parameters that are spread over processes (fully_shard); sums "
        raise InputError(msg + "of such risks are not supported")
    if risk._model is not first._model:
        msg = (
            f"terms: {name!r} has another model; all terms need one module (put several networks "
            "into one nn.Module, and choose among them in forward=)"
        )
        raise InputError(msg)
    pairs = ((risk.layout, first.layout, "free parameters"), (risk.dtype, first.dtype, "dtype"),
             (risk.device, first.device, "device"))  # fmt: skip
    for mine, other, what in pairs:
        if mine != other:
            msg = f"terms: {name!r} differs from the first in {what}; all terms need the same"
            raise InputError(msg)
    if not first.ranks.same_as(risk.ranks):
        msg = f"terms: {name!r} has another process_group than the first; all terms need the same"
        raise InputError(msg)
    same = torch.equal(risk._theta, first._theta) and all(
        _equal(mine, other)
        for mine, other in ((risk._fixed, first._fixed), (risk._buffers, first._buffers))
    )
    if not same:
        msg = (
            f"terms: {name!r} has other values of parameters or buffers than the first; make all "
            "risks of the model in one state, or take risk.refreshed() or risk.at(theta) of each"
        )
        raise InputError(msg)


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        a is other[n] or (a.shape == other[n].shape and torch.equal(a, other[n]))
        for n, a in one.items()
    )


def _survey(terms: Mapping[str, EmpiricalRisk], weights: Mapping[str, float]) -> Survey:
    """What the passes over the data of all terms found."""
    found = {name: term.survey for name, term in terms.items()}
    surveys = list(found.values())
    totals = [s.counts.total for s in surveys]
    doubt = next((s.counts.doubt for s in surveys if s.counts.total is None), "")
    counts = Counts(
        axis=max(s.counts.axis for s in surveys),
        each=tuple(n for s in surveys for n in s.counts.each),
        total=None if None in totals else sum(t or 0 for t in totals),
        doubt=doubt,
    )
    unused = [set(s.unused) for s in surveys]
    return dataclasses.replace(
        surveys[0],
        counts=counts,
        passes=Passes(sum(s.passes.batches for s in surveys), None, ()),
        outputs_by_rank=tuple(
            sum(each) for each in zip(*(s.outputs_by_rank for s in surveys), strict=True)
        ),
        scalar=any(s.scalar for s in surveys),
        denominator=1.0,
        value=sum(weights[name] * s.value for name, s in found.items()),
        unused=tuple(n for n in surveys[0].unused if all(n in names for names in unused)),
        read_by_loss=tuple(dict.fromkeys(n for s in surveys for n in s.read_by_loss)),
        recomputes=any(s.recomputes for s in surveys),
        runs_python=any(s.runs_python for s in surveys),
        draws=any(s.draws for s in surveys),
        convex=all(s.convex for s in surveys),
    )
