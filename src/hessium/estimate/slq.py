"""Stochastic Lanczos quadrature of the spectral distribution."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hessium._arguments import count, fraction, function, memory, nonnegative
from hessium._arithmetic import full_precision
from hessium._random import Rng, generator
from hessium.errors import ConvergenceWarning, InputError
from hessium.estimate.basis_size import BESIDE, probe_bytes
from hessium.estimate.checkpoint import Checkpoint, folder_of
from hessium.estimate.deflation import Deflate, number_deflated, pairs_to_deflate
from hessium.estimate.eigenpairs import Eigenpairs
from hessium.estimate.lanczos_probes import Sampler
from hessium.estimate.same_call import require_same_call
from hessium.linalg.adapt import Operator, as_operator
from hessium.linalg.lanczos import Passes
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.shares import Shares
from hessium.progress import Progress, part_of, silent
from hessium.spectra import Spectrum

MOST_STEPS = 4  # factor by which `until` may raise the steps
MOST_PROBES = 400


@full_precision()
def spectral_measure(
    op: Operator | SymmetricOperator | Tensor,
    probes: int = 10,
    steps: int = 80,
    *,
    deflate: Deflate = 0,
    until: float | None = None,
    reorthogonalize: Passes = 1,
    max_bytes: int = 2**33,
    rng: Rng = 0,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 60.0,
    progress: Progress = silent,
) -> Spectrum:
    r"""Spectral distribution by stochastic Lanczos quadrature, with error brackets.

    Gaussian probes, a Gauss rule of `steps` nodes for each (Golub & Welsch 1969; Ubaru, Chen &
    Saad 2017). Known eigenpairs are deflated from the probes and enter exactly, with mass 1/n each;
    the probes then sample the bulk alone.

    Args:
        op: an operator, or a symmetric tensor.
        probes: random vectors.
        steps: Lanczos steps for each.
        deflate: eigenpairs to deflate: a number of those largest in magnitude, computed first, or
            given pairs, of which only the converged ones are used. One product verifies that they
            belong to the operator; several calls share it through a `Deflation`.
        until: target half-width of the 95 % band of the cdf, averaged over the range of the bulk.
            The first probe determines the number of steps whose algorithmic error is half of it (at
            most four times `steps`), then probes are added (at most 400). A warning is issued if
            the target is not reached.
        reorthogonalize: passes of full reorthogonalisation in every step.
        max_bytes: memory limit of the bases. Of several processes (`EmpiricalRisk(process_group=)`)
            each holds an equal share of them, and this limits the memory of one.
        rng: seed or generator of the probes.
        checkpoint: a folder for the state of this call; the same call with the same seed resumes
            from it and gives bit-identical results. Of several processes each writes its share, and
            another number of processes can resume; all must see the folder.
        checkpoint_every: seconds between two states; work since the last one is lost.
        progress: called with products done and products in all.

    Raises:
        InputError: for a bad argument, or if the basis of one probe does not fit.
        NonFiniteError: if a product is not finite, with the measure so far as `partial`.

    Cost: probes x steps products and one that verifies them, and about 2 probes x steps^2 x n
    multiply-adds a pass.

    Example:
        >>> s = hs.spectral_measure(H, probes=4, steps=8)
        >>> s.exact, s.num_matvecs
        (False, 33)
    """
    max_bytes = memory("max_bytes", max_bytes)
    function("progress", progress, "(done, total, what) ")
    nonnegative("checkpoint_every", checkpoint_every)
    folder = None if checkpoint is None else folder_of(checkpoint)
    operator = as_operator(op)
    taken = number_deflated(operator, deflate)
    check_request(operator, probes, steps, taken, max_bytes)
    if reorthogonalize not in (1, 2):
        msg = f"reorthogonalize: {reorthogonalize!r}; 1 or 2 passes are required"
        raise InputError(msg)
    if until is not None:
        fraction("until", until)
    seeds = generator(rng)
    told = {"probes": probes, "steps": steps, "deflate": taken, "until": until}
    told |= {"passes": reorthogonalize, "checkpoint": folder is not None, "max_bytes": max_bytes}
    require_same_call(operator.shares, {"work": "spectral_measure", **told}, seeds)
    known = pairs_to_deflate(
        operator,
        deflate,
        seeds,
        max_bytes,
        part_of(progress, after=probes * steps),
        None if folder is None else folder / "deflation",
        checkpoint_every,
    )
    log = found = None
    if folder is not None:
        work = {"work": "spectral_measure", "steps": steps, "passes": reorthogonalize}
        work |= {"until": until, "rng": str(seeds.bit_generator.state)}
        work |= {"deflated": [] if known is None else _marks(known, operator.shares)}
        log = Checkpoint(folder, work, operator, checkpoint_every)
        found = log.load("rng", "products", "steps", "wanted", "rules", "running", "choice")
    operator = operator.prepare(
        probes * steps, probes, choice=None if found is None else found[0]["choice"]
    )
    sampler = Sampler(operator, known, steps, reorthogonalize, max_bytes, seeds, log)
    if found is not None:
        sampler.restore(*found)
    if known is not None and isinstance(deflate, int):
        progress = part_of(progress, before=known.num_matvecs)
    if until is None:
        sampler.run(probes, progress)
        sampler.save()
        sampler.prove()
        return sampler.estimate()
    sampler.find_steps(until / 2, MOST_STEPS * steps)
    sampler.run(sampler.wanted, progress)  # decided before the interruption
    while True:
        estimate = sampler.estimate()
        missing = _probes_missing(estimate, until)
        if estimate.probes >= probes and missing == 0:
            sampler.save()
            sampler.prove()
            return sampler.estimate()
        if estimate.probes >= probes and (missing is None or estimate.probes >= MOST_PROBES):
            warnings.warn(
                f"{estimate!r}: target half-width until = {until:g} not reached; increase steps, "
                "deflate more eigenpairs, or increase until",
                ConvergenceWarning,
                stacklevel=2,
            )
            sampler.save()
            sampler.prove()
            return sampler.estimate()
        wanted = max(probes, min(MOST_PROBES, estimate.probes + (missing or 0)))
        sampler.run(wanted, progress)


def check_request(
    operator: SymmetricOperator, probes: int, steps: int, deflate: int, max_bytes: int
) -> None:
    """Check the arguments before the first product.

    Raises:
        InputError: for a number that is too small, or if the basis of one probe does not fit.
    """
    count("probes", probes, at_least=1)
    count("steps", steps, at_least=1)
    count("deflate", deflate, at_least=0)
    n = operator.shape[0]
    vectors = min(steps, n) + BESIDE + 2 * deflate
    needed = probe_bytes(operator, 1, steps, deflate)
    if needed > max_bytes:
        msg = (
            f"max_bytes: {max_bytes / 2**30:.3g} GiB; {vectors} vectors of size {n} for {steps} "
            f"Lanczos steps need {needed / 2**30:.3g} GiB (fewer steps, or raise it)"
        )
        raise InputError(msg)


def _probes_missing(estimate: Spectrum, until: float) -> int | None:
    """Number of probes needed for the target width; None if the steps cannot reach it."""
    grid = np.linspace(
        min(r.gauss()[0][0] for r in estimate.rules),
        max(r.gauss()[0][-1] for r in estimate.rules),
        65,
    )
    band = estimate.cdf_band(grid)
    half = float((band.upper - band.lower).mean() / 2)
    left = float(band.algorithmic.mean())
    if half <= until:
        return 0
    if left >= until:
        return None
    factor = ((half - left) / (until - left)) ** 2
    return max(1, int(np.ceil(estimate.probes * min(factor, 4.0))) - estimate.probes)


def _marks(pairs: Eigenpairs, shares: Shares) -> list[float]:
    """Numbers that identify a set of eigenpairs."""
    seen = pairs.vectors.mT @ torch.ones_like(pairs.vectors[:, 0])
    if pairs.rows:
        seen = shares.sum(seen)
    return [*pairs.values.tolist(), *(seen * pairs.scale).tolist()]
