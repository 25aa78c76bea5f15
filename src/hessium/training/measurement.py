"""What one record measures, from the model as it is now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessium._finite import all_finite
from hessium.curvature import GaussNewton, Hessian
from hessium.curvature.graph import UNKNOWN
from hessium.errors import InputError, NonFiniteError, NonFiniteInputError
from hessium.estimate import spectral_measure
from hessium.linalg.vectors import inner, norm
from hessium.problem import EmpiricalRisk
from hessium.training.extremes import DEEP, measure_extremes
from hessium.training.points import Point
from hessium.training.quantities import (
    along,
    batch_sharpness,
    counts,
    effective_dimension,
    top_share,
    traces,
)
from hessium.training.settings import Settings
from hessium.training.stability import Preconditioner, preconditioner_of
from hessium.training.targets import SCALED, is_identity, near_threshold, sides_of
from hessium.training.warm_start import TOP, Extremes, Warm, require_size

_OF_GRADIENT = frozenset({"loss", "gradient_norm", "directional_sharpness", "gradient_share"})
_OF_GAUSS_NEWTON = frozenset({"gauss_newton_trace", "effective_dimension"})
_COUNTED = frozenset({"inertia", "rank", "index"})
_EXPLORE_EVERY = 3  # records between two that also multiply the vectors next to the ends
_GRAPH_BYTES = 2**30  # limit of the memory of graphs until they are known to fit
_DEEP_EVERY = 10  # records between two that explore the complement of the kept vectors


class Measurement:
    """A risk of the live model, with the vectors that pass from record to record.

    Args:
        risk: at the present parameters.
        settings: of the monitor.
        origin: parameters from which the distance is measured; by default the present ones.

    Raises:
        InputError: if the optimiser holds none of the parameters.
        SelfCheckError: if the products are wrong.
    """

    def __init__(
        self, risk: EmpiricalRisk, settings: Settings, origin: Point | None = None
    ) -> None:
        self.risk, self._settings = risk, settings
        self._warm = Warm()
        self._track = settings.track
        self._origin = (origin or Point.of(risk)) if "distance" in settings.track else None
        self._preconditioner()
        self._checked: set[str] = set()
        self._graph_bytes = _GRAPH_BYTES
        if settings.mode == "eval":
            self._operator(Hessian)
            if not _OF_GAUSS_NEWTON.isdisjoint(settings.track):
                self._operator(GaussNewton)

    def follow(self) -> bool:
        """Take the present parameters; False if the risk no longer fits the model.

        Raises:
            NonFiniteError: if a parameter is not finite.
        """
        try:
            self.risk = self.risk.refreshed()
        except NonFiniteInputError as error:
            raise NonFiniteError(str(error)) from None
        except InputError:
            return False
        return True

    def remade(self, risk: EmpiricalRisk) -> Measurement:
        """The same measurement of a model whose architecture or free parameters have changed.

        It starts cold. The distance goes on; new parameters count from now.
        """
        origin = None if self._origin is None else self._origin.extended(risk)
        return Measurement(risk, self._settings, origin)

    def move(self, risk: EmpiricalRisk, settings: Settings, origin: Point | None) -> None:
        """Go on with another model, such as that of the next checkpoint.

        Args:
            risk: of that model; kept vectors serve if it has the same parameters.
            settings: with the optimiser of that model.
            origin: parameters from which the distance is measured, if it is.
        """
        both = (risk, self.risk)
        now, before = ((r.names, r.layout.sizes) for r in both)
        if now != before:
            self._warm = Warm()
            self._checked.clear()
        self._graph_bytes = _GRAPH_BYTES  # graphs of other data may be larger than those before
        self.risk, self._settings, self._origin = risk, settings, origin

    def warm(
        self,
        vectors: Mapping[str, Tensor],
        seconds: Mapping[str, float],
        slopes: Mapping[str, float],
    ) -> None:
        """Start the next record from vectors of an earlier one, see `state`."""
        like = self.risk.theta
        self._warm = Warm(
            vectors={name: vector.to(like) for name, vector in vectors.items()},
            seconds=dict(seconds),
            slopes=dict(slopes),
        )

    def parameters(self) -> Point | None:
        """Copies of the present parameters; None if one is gone."""
        named = dict(self.risk.model.named_parameters())
        if not set(self.risk.names) <= set(named):
            return None
        return Point.copied(named, self.risk.names, self.risk.dtype)

    def prices(self) -> tuple[float, float, int]:
        """Seconds of a record without products and of a product, and the products of a block step.

        Cost: one pass over the data and two products.
        """
        times = [time.perf_counter()]
        operator = self._operator(Hessian)
        assert isinstance(operator, Hessian)
        operator.value_and_gradient()
        times.append(time.perf_counter())
        vector = torch.ones_like(self.risk.theta)
        for _ in range(2):
            _ = operator @ vector
        times.append(time.perf_counter())
        track = self._settings.track
        ends = sum(name in track for name in ("sharpness", "most_negative"))
        ends += "preconditioned_sharpness" in track
        return times[1] - times[0], (times[2] - times[1]) / 2, max(ends, 1)

    def record(
        self,
        step: int,
        number: int,
        before: Point | None,
        most: int | None = None,
        *,
        full: bool = False,
    ) -> dict[str, Any]:
        """Fields of a record.

        Args:
            step: of the training; with the seed, it fixes the random vectors.
            number: of the record.
            before: parameters before the last update, if known.
            most: products of the extreme eigenvalues, if limited.
            full: whether it holds the quantities that are measured at times.
        """
        settings = self._settings
        self._track = track = settings.track + (settings.at_times if full else ())
        rng = np.random.default_rng([settings.seed, step])
        operator = self._operator(Hessian)
        assert isinstance(operator, Hessian)
        found: dict[str, Any] = {"num_matvecs": 0}
        gradient = self._first_order(operator, found)
        preconditioner = self._preconditioner()
        exact = full or number % _DEEP_EVERY == 0
        extremes = self._extremes(operator, preconditioner, rng, number, most, exact=exact)
        if extremes is not None:
            found |= {n: b for n, b in extremes.brackets.items() if n in track}
            found["restarted"] = extremes.restarted
            found["bound_steps"] = extremes.bound_steps
            found["num_matvecs"] += extremes.num_matvecs
        if preconditioner is not None:
            self._thresholds(preconditioner, extremes, found)
        if "gradient_share" in track and gradient is not None and bool(gradient.any()):
            self._share(operator, gradient, extremes, rng, found)
        self._directions(operator, gradient, before, found)
        self._sums(operator, rng, number, found)
        if operator.cached:
            self._graph_bytes = UNKNOWN  # they fit: their memory need not be measured again
        return found

    def _operator(self, kind: type[Hessian] | type[GaussNewton]) -> Hessian | GaussNewton:
        # once for an architecture
        check = self._settings.mode == "eval" and kind.__name__ not in self._checked
        operator = kind(self.risk, check=check, graph_bytes=self._graph_bytes)
        self._checked.add(kind.__name__)
        return operator

    def _first_order(self, operator: Hessian, found: dict[str, Any]) -> Tensor | None:
        track = self._track
        gradient = None
        if not _OF_GRADIENT.isdisjoint(track):
            loss, gradient = operator.value_and_gradient()
            if not all_finite(gradient):
                msg = "gradient: not finite"
                raise NonFiniteError(msg)
            if "loss" in track:
                found["loss"] = loss
            if "gradient_norm" in track:
                found["gradient_norm"] = float(norm(gradient))
        if self._origin is not None:
            found["distance"] = self._origin.distance(self.risk)
        return gradient

    def _preconditioner(self) -> Preconditioner | None:
        if {"preconditioned_sharpness", "threshold"}.isdisjoint(self._track):
            return None
        return preconditioner_of(
            self._settings.optimizer,
            self.risk.layout,
            dict(self.risk.model.named_parameters()),
            self.risk.theta,
        )

    def _extremes(
        self,
        operator: Hessian,
        preconditioner: Preconditioner | None,
        rng: np.random.Generator,
        number: int,
        most: int | None,
        *,
        exact: bool,
    ) -> Extremes | None:
        track, settings = self._track, self._settings
        sides = sides_of(track, preconditioner, settings.top)
        if not sides:
            return None
        steps = settings.bound_steps
        if steps is None and exact:
            steps = DEEP
        usual, explore = 1 + sum(len(one) for _, one in sides), number % _EXPLORE_EVERY == 0
        more = max((settings.matvecs or usual) - usual, 3 * (usual - 1) if explore else 0)
        found = measure_extremes(
            operator, sides, self._warm, rng,
            tol=settings.tol, confidence=settings.confidence, steps=steps, most=most,
            usual=usual, more=more, explore=explore,
            exact=exact, near=near_threshold(preconditioner, self._warm),
        )  # fmt: skip
        if is_identity(track, preconditioner) and "sharpness" in found.brackets:
            found.brackets[SCALED] = found.brackets["sharpness"]
            found.vectors[SCALED] = found.vectors["sharpness"]
        return found

    def _thresholds(
        self, preconditioner: Preconditioner, extremes: Extremes | None, found: dict[str, Any]
    ) -> None:
        if "threshold" in self._track:
            vectors = extremes.vectors if extremes is not None else {}
            found["threshold"] = preconditioner.threshold_along(vectors.get(SCALED))

    def _share(
        self,
        operator: Hessian,
        gradient: Tensor,
        extremes: Extremes | None,
        rng: np.random.Generator,
        found: dict[str, Any],
    ) -> None:
        """The share of the gradient in the top space."""
        if self._settings.top == 1:
            assert extremes is not None
            top = extremes.vectors["sharpness"]
            found["gradient_share"] = float(inner(top, gradient) / norm(gradient)) ** 2
            return
        kept = self._warm.vectors
        found["gradient_share"], kept[TOP], spent = top_share(
            operator, gradient, self._settings.top, kept.get(TOP), rng
        )
        found["num_matvecs"] += spent

    def _directions(
        self,
        operator: Hessian,
        gradient: Tensor | None,
        before: Point | None,
        found: dict[str, Any],
    ) -> None:
        track, directions = self._track, {}
        if "directional_sharpness" in track and gradient is not None:
            directions["directional_sharpness"] = gradient
        update = before.update(self.risk) if before is not None else None
        if "update_sharpness" in track and update is not None:
            directions["update_sharpness"] = update
        if directions:
            found |= along(operator, directions)
            found["num_matvecs"] += len(directions)
        if "batch_sharpness" in track:
            found["batch_sharpness"] = batch_sharpness(self.risk, self._settings.confidence)
            found["num_matvecs"] += 1

    def _sums(
        self, operator: Hessian, rng: np.random.Generator, number: int, found: dict[str, Any]
    ) -> None:
        settings, track = self._settings, self._track
        if "trace" in track or "layer_traces" in track:
            total, layers = traces(operator, settings.probes, rng, settings.confidence)
            both = {"trace": total, "layer_traces": layers}
            found |= {name: value for name, value in both.items() if name in track}
            found["num_matvecs"] += settings.probes
        if "gauss_newton_trace" in track:
            part = self._operator(GaussNewton)
            found["gauss_newton_trace"], _ = traces(part, settings.probes, rng, settings.confidence)
            found["num_matvecs"] += settings.probes
        if "effective_dimension" in track:
            assert settings.prior_precision is not None
            found["effective_dimension"], spent = effective_dimension(
                self._operator(GaussNewton), settings.prior_precision, settings.probes, rng,
                settings.confidence,
            )  # fmt: skip
            found["num_matvecs"] += spent
        if not _COUNTED.isdisjoint(track):
            counted, spent = counts(operator, rng)
            found |= {name: value for name, value in counted.items() if name in track}
            found["num_matvecs"] += spent
        if "spectrum" in track and number % settings.spectrum_every == 0:
            probes, steps = 2, min(40, self.risk.dim)
            found["spectrum"] = spectral_measure(operator, probes, steps, rng=rng)
            found["num_matvecs"] += probes * steps

    def state(self) -> dict[str, Any]:
        """Vectors for a checkpoint."""
        return {
            "vectors": dict(self._warm.vectors),
            "seconds": dict(self._warm.seconds),
            "slopes": dict(self._warm.slopes),
            "origin": None if self._origin is None else self._origin.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`.

        Raises:
            InputError: if its vectors are of another number of parameters.
        """
        require_size(state["vectors"], self.risk.dim)
        self.warm(state["vectors"], state["seconds"], state.get("slopes", {}))
        if self._origin is not None and state["origin"] is not None:
            self._origin = Point.of_state(state["origin"])
