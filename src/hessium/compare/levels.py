"""Level repulsion: ratios of consecutive spacings, without unfolding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.stats import norm
from torch import Tensor

from hessium import _arguments
from hessium._display import Displayable
from hessium._typing import FloatArray
from hessium.compare._spectrum import as_measure, eigenvalues_of
from hessium.compare.curvature import Curvature
from hessium.errors import InputError
from hessium.linalg import SymmetricOperator
from hessium.linalg.adapt import Operator, as_operator
from hessium.spectra import Measure, Spectrum
from hessium.theory import SpacingRatio

_ENSEMBLES = ("poisson", "goe", "gue")
_EXACT = 1e-12  # entries below this fraction of the largest couple nothing
_RESOLVED = 10.0  # resolutions: of GOE spacings less than 1 % are then too fine


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class LevelStatistics(Displayable):
    r"""Ratios $r = \min(s_k, s_{k+1})/\max(s_k, s_{k+1})$ of consecutive spacings.

    Attributes:
        ratios: in all sectors, shape (k,).
        sectors: number of levels in each sector with ratios, without removed levels.
        zeros: levels removed as null space.
        degenerate: number of pairs of levels in one sector that are equal to rounding, due to a
            remaining symmetry or a spacing below the resolution of the dtype. They count as r = 0.

    Example:
        >>> found = hs.compare.levels(hs.theory.goe(200, rng=0))
        >>> 0.4 < float(found.ratios.mean()) < 0.65  # 0.53 for GOE, 0.39 for independent levels
        True
    """

    ratios: FloatArray
    sectors: tuple[int, ...]
    zeros: int
    degenerate: int

    @property
    def mean(self) -> float:
        """Mean ratio: 0.3863 without repulsion (Poisson), 0.5307 GOE, 0.5996 GUE."""
        return float(self.ratios.mean())

    @property
    def stderr(self) -> float:
        """Standard deviation of the mean of as many ratios of the nearest ensemble.

        It is not estimated from the ratios, which may be few or equal.
        """
        return self._spread(self.nearest)

    @property
    def z(self) -> Mapping[str, float]:
        """Difference from each ensemble's large-matrix mean, in its own standard deviations."""
        return {name: self._excess(name) / self._spread(name) for name in _ENSEMBLES}

    def p_value(self, ensemble: str = "goe") -> float:
        """Probability of a mean as far from that of an ensemble, from the normal law.

        The false-alarm rate at alpha .05 is 4 % (five levels) to 5 % (ten and more).

        Raises:
            InputError: if the ensemble is unknown.
        """
        if ensemble not in _ENSEMBLES:
            msg = f"ensemble: {ensemble!r}; one of {', '.join(_ENSEMBLES)} is required"
            raise InputError(msg)
        return float(2 * norm.sf(abs(self._excess(ensemble)) / self._spread(ensemble)))

    @property
    def nearest(self) -> str:
        """The ensemble whose mean is nearest."""
        return min(_ENSEMBLES, key=lambda name: abs(self._excess(name)))

    def _excess(self, ensemble: str) -> float:
        return self.mean - SpacingRatio(ensemble).large_matrix_mean

    def _spread(self, ensemble: str) -> float:
        # a sector has two ratios fewer than levels
        return SpacingRatio(ensemble).mean_spread([count - 2 for count in self.sectors])

    def __repr__(self) -> str:
        doublets = (
            f"{self.degenerate} pairs equal to rounding: a symmetry, or too fine for this dtype"
            if self.degenerate
            else "no two equal"
        )
        return (
            f"LevelStatistics(mean ratio {self.mean:.4f} +- {self.stderr:.2g} of "
            f"{self.ratios.size} in {len(self.sectors)} sectors; nearest {self.nearest}, "
            f"{self.z[self.nearest]:+.1f} sd off; {self.zeros} zeros removed; {doublets})"
        )


def levels(
    *sources: Operator | SymmetricOperator | Tensor | Measure | Curvature,
    sectors: Sequence[FloatArray] | None = None,
    tol: float = 1e-10,
    max_bytes: int = 2**33,
) -> LevelStatistics:
    r"""Spacing ratios of an operator, sector by sector.

    Levels of different symmetry sectors do not repel: mixed sectors lower the ratio towards that of
    Poisson although each sector follows random matrix theory. The sectors of an operator are
    detected: the connected blocks of its matrix (the hidden units of the residual part of a ReLU
    network), and within a block whose spectrum is symmetric about zero the positive half.
    Symmetries in another basis must be given as `sectors`. The null space, $|\lambda| \le
    \mathrm{tol} \max|\lambda|$, is removed first. Remaining symmetries are visible: coinciding
    levels are counted as `degenerate`, and nearly coinciding ones lower the mean below that of
    every ensemble.

    Args:
        sources: operators, whose dense matrices are taken, or spectra, each one a sector; of the
            matrices of a risk the Hessian.
        sectors: orthonormal bases (n, k) of invariant subspaces, together all of space, in the
            place of the blocks.
        tol: relative size of zero; at least the rounding of the dtype. Levels are equal where the
            rounding of their spectrum alone (`Spectrum.resolution`) may part them.
        max_bytes: memory limit for the dense matrix.

    Raises:
        InputError: if fewer than three ratios remain, spacings are below rounding, the sectors are
            not invariant subspaces, or `sectors` is given for a spectrum.

    Cost: an eigendecomposition of each block.

    Example:
        >>> found = hs.compare.levels(hs.theory.goe(200, rng=0))
        >>> len(found.ratios) > 100
        True
    """
    if not sources or (sectors is not None and len(sources) > 1):
        msg = f"sources: {len(sources)} given; one is required, several only without `sectors`"
        raise InputError(msg)
    tol = _arguments.nonnegative("tol", tol)
    spectra: list[Measure] = []
    for source in sources:
        if isinstance(source, Measure):
            if sectors is not None:
                msg = "sectors: given with a spectrum; they need the operator"
                raise InputError(msg)
            spectra.append(as_measure(source))
            eigenvalues_of(spectra[-1])  # a quadrature has no levels
            continue
        if isinstance(source, Curvature):
            dense, dtype = source.hessian.matrix, source.risk.dtype
        else:
            operator = as_operator(source)
            dense, dtype = operator.dense(max_bytes=max_bytes), operator.dtype
        matrix = dense.double().cpu().numpy()
        parts = _blocks(matrix) if sectors is None else _projected(matrix, sectors)
        unit = float(torch.finfo(dtype).eps)
        spectra += [Spectrum.of(np.linalg.eigvalsh(part), unit=unit) for part in parts]
    scale = max(float(np.abs(one.nodes).max()) for one in spectra)
    cut = max(tol * scale, *(one.resolution for one in spectra))
    zeros, degenerate, found, sizes, resolved = 0, 0, [], [], []
    for one in spectra:
        kept = one.nodes[np.abs(one.nodes) > cut]
        zeros += one.nodes.size - kept.size
        if kept.size > 2 and np.abs(kept + kept[::-1]).max() <= 10 * cut:
            kept = kept[kept > 0]  # +x and -x are one level of a bipartite block
        spacings = np.diff(kept)
        equal = spacings <= one.resolution
        degenerate += int(equal.sum())
        if spacings.size < 2:
            continue
        resolved.append(spacings[~equal] / one.resolution)
        spacings[equal] = 0.0
        near, far = np.minimum(spacings[1:], spacings[:-1]), np.maximum(spacings[1:], spacings[:-1])
        found.append(np.divide(near, far, out=np.zeros_like(near), where=near > 0))
        sizes.append(kept.size)
    if sum(map(len, found)) < 3:
        msg = f"sources: {sum(map(len, found))} spacing ratios after the null space; 3 are required"
        raise InputError(msg)
    fine = np.concatenate(resolved)
    if fine.size < 3 or np.median(fine) < _RESOLVED:
        msg = (
            f"sources: {fine.size} of {fine.size + degenerate} spacings exceed the rounding error, "
            f"by a median factor of {np.median(fine) if fine.size else 0:.2g}; at least 3 spacings "
            f"and a factor of {_RESOLVED:g} are required (use float64, or remove large eigenvalues)"
        )
        raise InputError(msg)
    return LevelStatistics(
        ratios=np.concatenate(found),
        sectors=tuple(sizes),
        zeros=zeros,
        degenerate=degenerate,
    )


def _blocks(matrix: FloatArray) -> list[FloatArray]:
    """Diagonal blocks of a matrix that some permutation makes block diagonal."""
    coupled = np.abs(matrix) > _EXACT * np.abs(matrix).max()
    count, label = connected_components(csr_matrix(coupled), directed=False)
    places = [np.flatnonzero(label == k) for k in range(count)]
    return [matrix[np.ix_(at, at)] for at in places]


def _projected(matrix: FloatArray, sectors: Sequence[FloatArray]) -> list[FloatArray]:
    n = matrix.shape[0]
    try:
        whole = np.concatenate([np.asarray(one, dtype=np.float64) for one in sectors], axis=1)
    except (TypeError, ValueError) as error:
        msg = f"sectors: {type(sectors).__name__}; a list of real arrays of shape ({n}, k) is "
        raise InputError(msg + "required") from error
    if (
        not np.isfinite(whole).all()
        or whole.shape != (n, n)
        or np.abs(whole.T @ whole - np.eye(n)).max() > 1e-8
    ):
        msg = f"sectors: bases of shape {whole.shape} together; an orthonormal basis of all {n} "
        raise InputError(msg + "dimensions is required")
    turned = whole.T @ matrix @ whole
    ends = np.cumsum([0, *(np.asarray(one).shape[1] for one in sectors)])
    parts = [turned[a:b, a:b] for a, b in pairwise(ends.tolist())]
    left = np.sqrt(max((turned**2).sum() - sum((part**2).sum() for part in parts), 0.0))
    if left > 1e-8 * np.sqrt((turned**2).sum()):
        msg = f"sectors: {left:.3g} of the matrix (Frobenius) couples them; invariant subspaces"
        raise InputError(msg + " are required")
    return parts
