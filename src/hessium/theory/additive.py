"""Free additive convolution of any number of laws."""

from __future__ import annotations

from functools import reduce

import numpy as np

from hessium.errors import InputError
from hessium.theory._triple import LevyTriple
from hessium.theory.affine import affine
from hessium.theory.empirical import Empirical
from hessium.theory.law import Law
from hessium.theory.levy import FreeLevy, LevyLaw
from hessium.theory.levy_sum import LevySum
from hessium.theory.pair_sum import PairSum
from hessium.theory.two_point_sum import TwoPointSum

_VISIBLE = 8 * float(np.finfo(float).eps)


def free_sum(*laws: Law) -> Law:
    r"""The law of $X_1 + \dots + X_k$ for free $X_i$: $R = \sum_i R_i$.

    Summands with a finite-jump Levy form (semicircle, Marchenko-Pastur, ReLU residuals and their
    sums) add up exactly into one; a single atom is a shift; two two-point laws have a closed form;
    everything else is subordinated, pair by pair.

    Args:
        laws: one or more laws.

    Returns:
        A law; `residual(x)` certifies each of its density points where it is computed by iteration.

    Raises:
        InputError: if no law is given, or noise is too small to be told from none.
    """
    if not laws:
        msg = "laws: none given; a free sum needs at least one law"
        raise InputError(msg)
    for law in laws:
        if not isinstance(law, Law):
            msg = (
                f"laws: a {type(law).__name__} is no law; for a measured spectrum write "
                "theory.Empirical(spectrum.nodes, weights=spectrum.weights)"
            )
            raise InputError(msg)
    shift, triple, others = 0.0, LevyTriple(), []
    for law in laws:
        if isinstance(law, LevyLaw):
            triple = triple + law.triple
        elif isinstance(law, Empirical) and law.nodes.size == 1:
            shift += float(law.nodes[0])
        else:
            others.append(law)
    is_levy = bool(triple.rates) or triple.variance > 0
    if not others:
        if not is_levy:
            return Empirical([shift])
        return FreeLevy.from_triple(triple.affine(1.0, shift))
    result = reduce(_pair, others)
    if is_levy:
        noise = triple.affine(1.0, shift)
        _require_visible(noise, result)
        return LevySum(result, noise)
    return affine(result, shift=shift)


def _require_visible(noise: LevyTriple, base: Law) -> None:
    """Noise is wider than the rounding of positions: its bands have a length."""
    spread = float(noise.free_cumulants(2)[1]) ** 0.5
    size = max(abs(edge) for edge in base.support())
    if spread < _VISIBLE * size:
        msg = (
            f"laws: noise of standard deviation {spread:.3g} is below the rounding of positions "
            f"near {size:.3g}; leave it out"
        )
        raise InputError(msg)


def _pair(first: Law, second: Law) -> Law:
    both_two_point = all(
        isinstance(law, Empirical) and law.nodes.size == 2 for law in (first, second)
    )
    if both_two_point and isinstance(first, Empirical) and isinstance(second, Empirical):
        return TwoPointSum(first, second)
    return PairSum(first, second)
