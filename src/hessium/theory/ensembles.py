"""Random matrices of any size, seeded: the ensembles behind the laws."""

from __future__ import annotations

import numpy as np

from hessium._random import Rng, generator
from hessium._typing import ComplexArray, FloatArray, Real
from hessium.theory import _check


def goe(n: int, variance: Real = 1.0, rng: Rng = None) -> FloatArray:
    r"""Real symmetric, off-diagonal entries $N(0, v/n)$, diagonal $N(0, 2v/n)$.

    The spectrum tends to the semicircle of variance v, edges $\pm 2\sqrt v$.

    Raises:
        InputError: if n < 1 or `variance` is not positive.

    Example:
        >>> a = hs.theory.goe(50, rng=0)
        >>> a.shape, bool((a == a.T).all())
        ((50, 50), True)
    """
    size, v = _check.count("n", n), _check.positive("variance", variance)
    noise = generator(rng).standard_normal((size, size))
    return np.asarray(np.sqrt(v / (2 * size)) * (noise + noise.T))


def gue(n: int, variance: Real = 1.0, rng: Rng = None) -> ComplexArray:
    r"""Complex Hermitian, $E|H_{ij}|^2 = v/n$; the same limit law as `goe`.

    Raises:
        InputError: if n < 1 or `variance` is not positive.

    Example:
        >>> a = hs.theory.gue(4, rng=0)
        >>> bool(np.allclose(a, a.conj().T))
        True
    """
    size, v = _check.count("n", n), _check.positive("variance", variance)
    source = generator(rng)
    noise = source.standard_normal((size, size)) + 1j * source.standard_normal((size, size))
    return np.asarray(np.sqrt(v / (4 * size)) * (noise + noise.conj().T))


def wishart(n: int, samples: int, scale: Real = 1.0, rng: Rng = None) -> FloatArray:
    r"""$J J^T$, J of shape n x samples with entries $N(0, \text{scale}/\text{samples})$.

    The spectrum tends to `MarchenkoPastur(ratio=n/samples, scale=scale)`.

    Raises:
        InputError: if a size is below 1 or `scale` is not positive.

    Example:
        >>> a = hs.theory.wishart(10, samples=40, rng=0)
        >>> a.shape, bool(np.linalg.eigvalsh(a)[0] > 0)
        ((10, 10), True)
    """
    size, columns = _check.count("n", n), _check.count("samples", samples)
    factor = generator(rng).standard_normal((size, columns))
    return np.asarray(_check.positive("scale", scale) / columns * (factor @ factor.T))


def haar(n: int, rng: Rng = None) -> FloatArray:
    """A random orthogonal matrix from Haar measure.

    QR of a Gaussian matrix, with the signs of R's diagonal moved into Q (without this step the law
    differs from Haar measure: Mezzadri, Notices AMS 2007).

    Raises:
        InputError: if n < 1.

    Example:
        >>> q = hs.theory.haar(5, rng=0)
        >>> bool(np.allclose(q @ q.T, np.eye(5)))
        True
    """
    size = _check.count("n", n)
    q, r = np.linalg.qr(generator(rng).standard_normal((size, size)))
    return np.asarray(q * np.where(np.diagonal(r) < 0, -1.0, 1.0))
