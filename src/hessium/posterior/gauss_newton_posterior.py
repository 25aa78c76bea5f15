"""The Gauss-Newton posterior of the parameters of a network, in sample space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from hessium._arguments import count
from hessium._arithmetic import full_precision
from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.posterior import _tables
from hessium.posterior.entries import chosen_names
from hessium.posterior.identifiability import Identifiability, identifiability
from hessium.posterior.measurement_choice import MeasurementChoice
from hessium.posterior.parameter_table import ParameterTable, parameter_table
from hessium.posterior.posterior_radius import posterior_trust_radius
from hessium.posterior.profile_likelihood import ProfileLikelihood, profile_likelihood
from hessium.posterior.refit_budget import BUDGET
from hessium.posterior.shares import ParameterShares, posterior_shares
from hessium.posterior.state import limits
from hessium.posterior.trust_radius import TrustRadius
from hessium.posterior.undetermined import (
    Undetermined,
    undetermined_outputs,
    undetermined_parameters,
)
from hessium.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Names = Sequence[str]


class GaussNewtonPosterior(MeasurementChoice):
    r"""$\mathcal N(\theta, (J^T J/\sigma^2 + \alpha I)^{-1})$: what the data determine.

    For a squared error $\sigma$ is the standard deviation of a measurement, whatever the scale and
    the reduction of the loss; with weights, of a measurement of the largest weight. For every other
    loss with an output Hessian $\Lambda$ (cross-entropy, Poisson, ...) the numerator of the risk is
    the negative log-likelihood, and $J^T \Lambda J$ stands for $J^T J/\sigma^2$.

    Without a prior ($\alpha = 0$) everything is the limit of vanishing $\alpha$: what the data
    leave open has an infinite standard deviation. `undetermined` names the directions. These
    answers do not depend on the units of the parameters: columns of J are divided by their lengths
    (of all columns of a tensor together, where J does not fit into memory). With a prior, $\alpha$
    is in the units of the parameters.

        post = hs.GaussNewtonPosterior(risk, noise=0.1)
        post.parameter_std(["kappa"])       # the network's weights are nuisance parameters
        post.prediction_std(inputs)
        post.next_measurements(candidates, 3)

    Computed in float64 from the singular values of the Jacobian; by the Gram matrix of the samples
    where the Jacobian does not fit into memory. Never P x P unless that is smaller. It describes
    the risk at its parameters, which must be a minimum, and holds as far as the model is linear in
    its parameters within the standard deviations: see `trust_radius` and `profile_likelihood`.

    Args:
        risk: a loss of outputs at its minimum.
        noise: of a squared error: $\sigma$ > 0, of a measurement of the largest weight (a warning
            says what follows for the terms of a sum); or one number for each output of a sample, in
            the shape of its outputs; or, for an `hs.SumRisk`, one for every term by name. Given for
            outputs or terms, measurements have these standard deviations whatever the weights of
            the loss; only a weight of zero (a mask) stays. None: one $\sigma$ for all measurements,
            estimated from the residuals, with a warning if those of different outputs differ by
            more than chance (0.1 % false).
        prior_precision: $\alpha \ge 0$.
        prior_mean: a number or a vector (P,), for evidence, refits and `distance_from_minimum`.
        tol: eigenvalues of $J^T J$ below this fraction of the largest count as zero, where there is
            no prior, for J with columns of length one. By default only those that rounding cannot
            tell from zero.
        max_bytes: memory limit (1 GiB); a Jacobian above a quarter of it is not formed.
        check: compare products with differences of outputs and losses, once for a model.

    Raises:
        InputError: for a closure, a loss that is not convex in the outputs, a noise for a loss that
            is not a squared error, no noise and no degrees of freedom left or residuals of
            rounding, or no noise for a sum of several terms: residuals of an equation do not have
            the noise of the data.

    Cost: one gradient for each output of a sample if the layers are known, else one for each row of
    J; a factorisation of n x P numbers, or of n x n. Where the noise of several outputs is
    estimated, the rows of J once more.

    Source: MacKay 1992, "A practical Bayesian framework for backpropagation networks"; Woodbury's
    identity; the generalised Gauss-Newton Laplace approximation of Immer et al. 2021.

    Example:
        >>> post = hs.GaussNewtonPosterior(risk, noise=0.1, prior_precision=1.0)
        >>> post.parameter_std(["2.bias"]).shape, post.prediction_std(x).shape
        ((1,), (12, 1))
    """

    @full_precision()
    def parameter_std(self, names: Names | None = None) -> FloatArray:
        """Standard deviations of parameters; infinite where data and prior leave them open.

        All other free parameters of the risk are nuisance parameters: these are the diagonal
        entries of the inverse, not the inverses of diagonal entries.

        Args:
            names: parameters, modules or globs; all by default.

        Returns:
            Shape (entries,), in the order of the flat vector of the risk.

        Cost: none beyond the posterior's; by the Gram matrix one pass over the columns.
        """
        chosen = chosen_names(self._factor.risk, names)
        if self._factor.left is not None and self.prior_precision > 0:
            return self._streamed_std(chosen)
        return np.sqrt(self._state.variances(self._factor.parameters(chosen, joint=False)))

    def _streamed_std(self, names: list[str] | None) -> FloatArray:
        """Parameters tensor by tensor, so that no more than one has its components in memory."""
        chosen = (
            self._factor.risk.names
            if names is None
            else (self._factor.risk.layout.select(names).names)
        )
        found = [
            self._state.variances(self._factor.parameters([name], joint=False)) for name in chosen
        ]
        return np.sqrt(np.concatenate(found))

    def parameters(self, names: Names | None = None) -> ParameterTable:
        """Value, standard deviation and answer of each parameter, as a table."""
        return parameter_table(self._state, repr(self), chosen_names(self._factor.risk, names))

    @full_precision()
    def covariance(self, names: Names | None = None) -> FloatArray:
        r"""Joint covariance of some parameters, all by default.

        Without a prior the limit of vanishing $\alpha$: entries between undetermined parameters are
        plus or minus infinity where they vary together in an undetermined direction; those of a
        determined and an undetermined one are 0, or NaN as they depend on the prior that vanishes.

        Returns:
            Shape (entries, entries), in the order of the risk.
        """
        g = self._factor.parameters(chosen_names(self._factor.risk, names), joint=True)
        return limits(*self._state.covariance(g))

    @full_precision()
    def correlations(self, names: Names | None = None) -> FloatArray:
        """Correlations of some parameters (all by default), (entries, entries).

        Two undetermined parameters have the correlation of the undetermined directions; a
        determined one and an undetermined one have 0.
        """
        g = self._factor.parameters(chosen_names(self._factor.risk, names), joint=True)
        finite, open_part = self._state.covariance(g)
        is_open = np.diagonal(open_part) > 0
        mixed = np.where(np.outer(is_open, is_open), open_part, finite)
        mixed[is_open[:, None] != is_open[None, :]] = 0.0
        scale = np.sqrt(np.maximum(np.diagonal(mixed), 1e-300))
        return np.clip(mixed / np.outer(scale, scale), -1.0, 1.0)

    @full_precision()
    def prediction_std(self, inputs: Any) -> FloatArray:
        """Standard deviations of the model's outputs, without the noise of a measurement.

        Args:
            inputs: one batch, as the model takes it; no targets.

        Returns:
            In the shape of the outputs; infinite where the data leave an output open.
        """
        g, shape = self._factor.outputs(inputs, joint=False)
        return np.sqrt(self._state.variances(g)).reshape(tuple(shape))

    @full_precision()
    def prediction_covariance(self, inputs: Any) -> FloatArray:
        """Joint covariance of all outputs at some inputs, by sample, then output; without noise.

        Returns:
            Shape (samples x outputs, samples x outputs); infinities and NaN as in `covariance`.
        """
        g, _ = self._factor.outputs(inputs, joint=True)
        return limits(*self._state.covariance(g))

    @full_precision()
    def sample(self, n: int, rng: Rng = 0) -> Tensor:
        r"""Draws of the parameters.

        Args:
            n: number of draws.
            rng: seed or generator.

        Returns:
            Shape (n, P), in the dtype and on the device of the risk.

        Raises:
            InputError: if a direction is undetermined.
        """
        count("n", n)
        state, factor = self._state, self._factor
        dim, alpha = factor.risk.dim, state.prior_precision
        draws = generator(rng)
        if alpha == 0 and state.rank.lower < dim:
            msg = (
                f"prior_precision: 0; {dim - state.rank.lower} directions are not determined, so "
                "the posterior is improper; give a prior_precision, or restrict the "
                "risk to determined parameters"
            )
            raise InputError(msg)
        noise = torch.from_numpy(draws.standard_normal((n, dim))).to(factor.risk.device)
        precisions = (state.precisions + alpha)[:, None]
        if alpha == 0:
            steps = factor.to_parameters(noise.mT.cpu().numpy() / np.sqrt(precisions)).mT
        else:
            along = factor.from_functionals(noise.mT.contiguous())
            change = along * (1 / np.sqrt(precisions) - 1 / math.sqrt(alpha))
            steps = noise / math.sqrt(alpha) + factor.to_parameters(change).mT
        return (factor.risk.theta + steps).to(self.risk.dtype)

    @full_precision()
    def identifiable(self, names: Names | None = None) -> Identifiability:
        """Which of some named parameters (all by default) are determined, and which combinations.

        All other free parameters are nuisance parameters. See `Identifiability`.
        """
        chosen = chosen_names(self._factor.risk, names)
        return identifiability(self._state, list(self.risk.names) if chosen is None else chosen)

    @full_precision()
    def undetermined(self, names: Names | None = None) -> Undetermined:
        """Entries of parameters that the data alone leave open, their directions, and advice."""
        return undetermined_parameters(self._state, chosen_names(self._factor.risk, names))

    @full_precision()
    def undetermined_predictions(self, inputs: Any) -> Undetermined:
        """Outputs at some inputs that the data alone leave open: their directions, and advice."""
        return undetermined_outputs(self._state, inputs)

    @full_precision()
    def profile_likelihood(
        self,
        name: str,
        *,
        index: int = 0,
        at: Sequence[float] | None = None,
        budget: int = BUDGET,
    ) -> ProfileLikelihood:
        """Refits with one entry of a parameter held at some standard deviations from its value.

        Args:
            name: of a parameter.
            index: of the entry.
            at: distances in standard deviations; by default the ends of the 95 % interval, the
                middles between them and the estimate, and, where the model is not linear, farther
                ones until the deviance bounds the interval, up to three times as far.
            budget: factorisations of the Jacobian in all refits, at most; see
                `ProfileLikelihood.exhausted`.

        Raises:
            InputError: if the entry is undetermined.

        Cost: a refit without constraint and one for each distance (4, up to 14) of at most 40
        Levenberg-Marquardt steps: one factorisation of the Jacobian, one gradient and at most 16
        losses each. All are made anew, four times at most, if one finds a larger likelihood.
        """
        return profile_likelihood(
            self._state, self._prior_mean, self._freedom, name, index, at, budget
        )

    @full_precision()
    def trust_radius(
        self,
        names: Names | None = None,
        *,
        within: float = 0.1,
        k: int = 5,
        random: int = 5,
        confidence: float = 0.95,
        rng: Rng = 0,
        budget: int = BUDGET,
        progress: Progress = silent,
    ) -> TrustRadius:
        """Whether intervals cover what they say, and how far the first-order model reaches.

        See `TrustRadius`. The directions are those in which `names` vary, the k directions of
        largest variance that the data determine, and draws; in standard deviations.

        Args:
            names: parameters; by default the scalars.
            within: fraction by which the first-order model may be off.
            k: directions of largest variance.
            random: draws.
            confidence: of the intervals.
            rng: of the draws.
            budget: factorisations of the Jacobian in all refits, at most; each direction may use
                an equal part of what those before it left. See `TrustRadius.exhausted`.
            progress: called with directions done and in all.

        Cost: for each direction about 30 forward passes and 4 gradients where the model is nearly
        linear. Where it is not, up to 14 refits of at most 12 gradients and 48 losses each; where
        these do not converge and there are at most 2,000 parameters, each goes on with at most 25
        Levenberg-Marquardt steps of one factorisation of the Jacobian, one gradient and at most 16
        losses. For at most 20 undetermined parameters without effect two refits of this kind.
        """
        chosen = None if names is None else chosen_names(self._factor.risk, names)
        return posterior_trust_radius(
            self._state, self._prior_mean, self._freedom, chosen, within=within, k=k,
            random=random, confidence=confidence, rng=rng, budget=budget,
            distance=self.distance_from_minimum, progress=progress,
        )  # fmt: skip

    @full_precision()
    def by_parameter(
        self, k: int = 10, which: Literal["best", "worst"] = "worst"
    ) -> ParameterShares:
        """Share of each parameter in directions that the data determine best, or worst.

        Without a prior in units in which every column of the Jacobian has length one. A single
        tensor of at most 20 entries is taken entry by entry.

        Args:
            k: number of directions.
            which: "best": largest singular values first; "worst": smallest determined ones first.
        """
        return posterior_shares(self._state, k, which)

    def to_dataframe(self) -> pd.DataFrame:
        """Parameters with value, standard deviation and answer, one row for each entry.

        Raises:
            InputError: if pandas is not installed.
        """
        return self.parameters().to_dataframe()

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Values of the parameters with two standard deviations, as `parameters().plot()`."""
        return self.parameters().plot(ax, **options)

    def _repr_html_(self) -> str:
        small = self.risk.dim <= 200
        return self.parameters()._repr_html_() if small else _tables.html(repr(self), {})
