"""Checks of single intervals of an identification by refits."""

from __future__ import annotations

import math

from hessium.posterior import GaussNewtonPosterior, ProfileLikelihood


def profiles_of(
    post: GaussNewtonPosterior, names: list[str], most: int, budget: int
) -> tuple[ProfileLikelihood, ...]:
    """Refits of the first determined entries, with equal parts of the budget."""
    found: list[ProfileLikelihood] = []
    if not most:
        return ()
    entries = [
        (name, index)
        for name in names
        for index, std in enumerate(post.parameter_std([name]))
        if 0 < std < math.inf
    ][:most]
    for done, (name, index) in enumerate(entries):
        part = max(budget // (len(entries) - done), 1)
        found.append(post.profile_likelihood(name, index=index, budget=part))
        budget -= found[-1].steps
    return tuple(found)
