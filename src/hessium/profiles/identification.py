"""What the data of a risk determine, how well, and where to measure next: all of it at once."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from hessium import _arguments
from hessium._display import Displayable
from hessium._typing import AnyArray, FloatArray
from hessium.curvature.requirements import require_risk
from hessium.errors import InputError
from hessium.estimate import SpectralSum
from hessium.figures.records import Findings
from hessium.posterior import (
    Design,
    GaussNewtonPosterior,
    Identifiability,
    ParameterShares,
    ParameterTable,
    ProfileLikelihood,
    TrustRadius,
    Undetermined,
)
from hessium.posterior.design import Criterion
from hessium.posterior.entries import chosen_names, scalar_names
from hessium.posterior.noises import Noise, NoiseArgument
from hessium.problem import EmpiricalRisk
from hessium.profiles.identification_data import (
    counts_of,
    places_of,
    term_of,
)
from hessium.profiles.identification_numbers import csv_tables, summary_of
from hessium.profiles.identification_page import identification_findings
from hessium.profiles.identification_refits import profiles_of
from hessium.profiles.identification_words import counted
from hessium.profiles.measurement import describe
from hessium.profiles.report_page import Reported
from hessium.profiles.units import Units
from hessium.progress import Progress, silent
from hessium.spectra import Count

_MOST_REFITS = 6  # parameters whose intervals are checked by refits
_BUDGET = 300  # factorisations of the Jacobian in all refits
_REFIT_DIM = 2000  # parameters of a risk up to which refits are made without being asked for


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Identification(Reported, Displayable):
    """What data determine, how well, and where to measure next.

    Attributes:
        parameters: value, standard deviation and answer of the parameters asked for; None if none
            was named and the model has no scalar parameters.
        answers: which of them the data alone determine, and which combinations; None as above.
        undetermined: how the open ones may move, and what would fix them; None as above.
        shares: parameter tensors in the directions of largest variance that the data determine.
        rank: directions that the data determine.
        effective_dimension: the same against the prior.
        noise: standard deviation of a measurement, or that of each output or term as it was given;
            None unless the loss is a squared error.
        noise_degrees_of_freedom: of its estimate; infinite if it was given.
        coverage_factor: standard deviations of a 95 % interval.
        distance_from_minimum: of the parameters, in standard deviations.
        inputs: of the data, (n, d); empty if they are not one tensor of one or two columns.
        targets: of the data, (n, outputs); empty likewise.
        candidates: inputs of the predictions and of possible measurements, (m, d), likewise.
        prediction: outputs there, (m, outputs).
        prediction_std: their standard deviations without noise, infinite where undetermined.
        gains: information of one measurement at each candidate in nats, (m,); empty without noise.
        design: the next measurements, in the order of choice; None without noise.
        trust: how far the linear model holds.
        profiles: checks of single intervals by refits.
        units: of parameters, inputs and outputs.
        model: class of the model, loss, sizes, dtype and device; "measurements" counts outputs of
            positive weight for a squared error, samples for other losses, of the named term only
            for a sum, and "residuals" those of each other term.
        settings: arguments of `hs.identify`.
        warnings: of the computation.
        seconds: computing time.

    Example:
        >>> line = hs.EmpiricalRisk(nn.Linear(1, 1).double(), loss, (x, y))
        >>> found = hs.identify(line, noise=0.1, refits=0)
        >>> found.noise
        0.1
    """

    parameters: ParameterTable | None
    answers: Identifiability | None
    undetermined: Undetermined | None
    shares: ParameterShares
    rank: Count
    effective_dimension: SpectralSum
    noise: Noise | None
    noise_degrees_of_freedom: float
    coverage_factor: float
    distance_from_minimum: float
    inputs: FloatArray
    targets: FloatArray
    candidates: FloatArray
    prediction: FloatArray
    prediction_std: FloatArray
    gains: FloatArray
    design: Design | None
    trust: TrustRadius
    profiles: tuple[ProfileLikelihood, ...]
    units: Units
    model: Mapping[str, Any]
    settings: Mapping[str, Any]
    warnings: tuple[str, ...]
    seconds: float

    experiment = "identify"
    command = "hessium.identify(risk)"

    @property
    def arrays(self) -> dict[str, AnyArray]:
        """Parameters, predictions, gains and radii."""
        found: dict[str, AnyArray] = {
            "inputs": self.inputs,
            "targets": self.targets,
            "candidates": self.candidates,
            "prediction": self.prediction,
            "prediction_std": self.prediction_std,
            "gains": self.gains,
            "first_order_radius": self.trust.first_order,
        }
        if self.parameters is not None:
            found |= {"value": self.parameters.value, "std": self.parameters.std}
        if self.design is not None:
            found["next_measurements"] = self.design.indices
        return found

    @property
    def refit_steps(self) -> int:
        """Factorisations of the Jacobian in all refits."""
        return self.trust.steps + sum(one.steps for one in self.profiles)

    @property
    def refits_exhausted(self) -> bool:
        """Whether a refit ended because the budget was used up."""
        return self.trust.exhausted or any(one.exhausted for one in self.profiles)

    @property
    def csv(self) -> dict[str, Mapping[str, Sequence[Any]]]:
        """Tables that the page stores as CSV: parameters, coverage, predictions, measurements."""
        return csv_tables(self)

    @property
    def findings(self) -> Findings:
        """Statements, charts and tables of the page."""
        return identification_findings(self)

    @property
    def title(self) -> str:
        """Heading of the page."""
        return f"What the data determine of {self.model['model']}"

    @property
    def shows(self) -> str:
        """One sentence below the heading."""
        m = self.model
        return (
            f"{counted(self)}, {m['parameters']} parameters, loss {m['loss']}: which "
            "parameters and predictions are determined, with what error, and where to measure next."
        )

    @property
    def config(self) -> dict[str, Any]:
        """Settings for the page."""
        return {**self.model, **self.settings}

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the random directions."""
        return (int(self.settings["seed"]),)

    def summary(self) -> dict[str, Any]:
        """The answers as JSON values; what is infinite is None."""
        return summary_of(self)

    def rows(self) -> list[dict[str, Any]]:
        """One row for each parameter, or for each prediction where no parameter is reported."""
        name = "predictions" if self.parameters is None else "parameters"
        columns = self.csv[name]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def __repr__(self) -> str:
        words = [f"{counted(self)} determine {self.rank.bracket} directions"]
        words[0] += f" of {self.model['parameters']} parameters"
        if self.parameters is not None:
            known = int(np.isfinite(self.parameters.std).sum())
            words.append(f"{known} of {self.parameters.std.size} parameters have an error")
        if self.design is not None:
            words.append(f"measure next at candidates {self.design.indices.tolist()}")
        words.append(f"errors {'may' if self.trust.valid else 'may not'} be believed")
        return f"Identification({'; '.join(words)})"


def identify(
    risk: EmpiricalRisk,
    *,
    names: Sequence[str] | None = None,
    noise: NoiseArgument = None,
    prior_precision: float = 0.0,
    units: Mapping[str, str] | None = None,
    inputs: Mapping[str, str] | Sequence[str] = (),
    outputs: Mapping[str, str] | Sequence[str] = (),
    term: str | None = None,
    candidates: Any = None,
    k: int = 3,
    criterion: Criterion = "A",
    tol: float | None = None,
    refits: int | None = None,
    budget: int = _BUDGET,
    seed: int = 0,
    progress: Progress = silent,
) -> Identification:
    r"""What the data determine, how well, and where to measure next, as `hessium identify` does.

    The answers of `hs.GaussNewtonPosterior` in the order in which they are asked: parameters,
    predictions, the next measurements, and whether the linear model behind them holds.

        found = hs.identify(risk, names=["kappa"], units={"kappa": "W/m/K"}, inputs={"x": "m"})
        found.parameters, found.design, found.trust
        found.report("runs/kappa")

    Args:
        risk: a loss of outputs at its minimum.
        names: of the parameters to report, as in `restrict`; all others are nuisance parameters.
            By default the scalar parameters, or all entries of a model with at most 20.
        noise: standard deviation of a measurement, or of each output, or of each term of a sum by
            name, as in `GaussNewtonPosterior`; None: estimated from the residuals.
        prior_precision: of the parameters.
        units: of parameters by their names (a tensor has one unit).
        inputs: names of the columns of the inputs with their units, in order.
        outputs: names of the outputs with their units, in order.
        term: of an `hs.SumRisk`, the one whose outputs are measured; required there, unless
            `candidates` are `risk.inputs_of(term, inputs)`. Those of all other terms are residuals
            of equations or boundary values.
        candidates: inputs where measurements are possible and predictions wanted, one batch. By
            default a grid over the range of the data for one or two inputs, else the data.
        k: number of next measurements.
        criterion: "A": smallest mean variance of the predictions, which the page shows, at the
            candidates; "D", the default of `post.design`: most information about all parameters.
        tol: see `GaussNewtonPosterior`.
        refits: number of parameters whose interval is checked by refits; by default 6, and 0 for
            more than 2,000 parameters.
        budget: factorisations of the Jacobian in all refits, at most: half of them for
            `trust_radius`, and what it leaves for the intervals of `refits`, in equal parts. A
            refit for which none is left counts as not converged, and the answer says so.
        seed: of the random directions of `trust_radius`.
        progress: called with steps done and in all.

    Raises:
        InputError: for a closure, a bad argument, or a sum without `term`.

    Cost: that of `GaussNewtonPosterior`, one Jacobian at the candidates, about 40 forward passes
    and 15 gradients for each direction that is checked where the model is nearly linear; where it
    is not, that of `trust_radius` and `profile_likelihood`, with at most `budget` factorisations.

    Example:
        >>> line = hs.EmpiricalRisk(nn.Linear(1, 1).double(), loss, (x, y))
        >>> found = hs.identify(line, noise=0.1, refits=0)
        >>> found.rank.value
        2
    """
    require_risk(risk)
    measure = Units.of(units, inputs, outputs, risk.names)
    _arguments.function("progress", progress, "(done, total, what) ")
    count = _arguments.count("k", k)
    if refits is None:
        refits = _MOST_REFITS if risk.dim <= _REFIT_DIM else 0
    refits = _arguments.count("refits", refits, 0)
    budget = _arguments.count("budget", budget)
    chosen = chosen_names(risk, names) or scalar_names(risk)
    if criterion not in ("A", "D"):
        msg = f"criterion: {criterion!r}; 'A' or 'D' is required"
        raise InputError(msg)
    start = time.perf_counter()
    term = term_of(risk, term, candidates)
    x, y, there, places, value = places_of(risk, term, candidates)
    measure.require_columns(places.shape[1] if places.size else None, value.shape[1])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        post = GaussNewtonPosterior(risk, noise, prior_precision, tol=tol)
        progress(1, 4, "posterior")
        std = post.prediction_std(there).reshape(value.shape)
        gains, design = np.empty(0), None
        if post.noise is not None:
            gains = post.information_gain(there)
            design = post.design(
                there, min(count, len(value)), criterion=criterion, repeat=places.size == 0
            )
        progress(2, 4, "predictions")
        trust = post.trust_radius(
            chosen or None,
            k=2,
            random=0 if chosen else 3,
            rng=seed,
            budget=-(-budget // 2),
            progress=progress,
        )
        progress(3, 4, "trust radius")
        profiles = profiles_of(post, chosen, refits, budget - trust.steps)
        progress(4, 4, "refits")
        table = post.parameters(chosen) if chosen else None
        samples = risk.num_samples if post.noise is None else post.num_measurements
        measured, residuals = counts_of(risk, term, int(samples or 0))
        return Identification(
            parameters=table,
            answers=post.identifiable(chosen) if chosen else None,
            undetermined=post.undetermined(chosen) if chosen else None,
            shares=post.by_parameter(10),
            rank=post.rank,
            effective_dimension=post.effective_dimension,
            noise=post.noise,
            noise_degrees_of_freedom=post.noise_degrees_of_freedom,
            coverage_factor=post.coverage_factor(),
            distance_from_minimum=post.distance_from_minimum,
            inputs=x if places.size else np.empty((0, 0)),
            targets=y if places.size else np.empty((0, 0)),
            candidates=places,
            prediction=value,
            prediction_std=std,
            gains=gains,
            design=design,
            trust=trust,
            profiles=profiles,
            units=measure,
            model={**describe(risk), "measurements": measured, "residuals": residuals},
            settings={
                "names": list(chosen), "term": term, "noise": None if noise is None else post.noise,
                "prior_precision": post.prior_precision, "tol": tol, "k": count,
                "criterion": criterion, "refits": refits,
                "budget": budget, "seed": seed,
            },
            warnings=tuple(dict.fromkeys(str(one.message) for one in caught)),
            seconds=time.perf_counter() - start,
        )  # fmt: skip
