r"""Hessians of two-layer networks with random weights, data and residuals, without training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessium._random import Rng, generator
from hessium._typing import FloatArray, Real
from hessium.errors import InputError
from hessium.theory import _check
from hessium.theory.hessians.energies import checked_activation


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockHessian:
    """The two parts of a Hessian; parameters in the order first layer, second layer, row by row.

    Attributes:
        gauss_newton: H0, shape (p, p).
        residual: H1, shape (p, p).

    Example:
        >>> found = hs.theory.two_layer_hessian(4, samples=16, energy=0.1, rng=0)
        >>> found.residual.shape
        (32, 32)
    """

    gauss_newton: FloatArray
    residual: FloatArray

    @property
    def hessian(self) -> FloatArray:
        """H0 + H1."""
        return self.gauss_newton + self.residual


def two_layer_hessian(
    n: int, samples: int, energy: Real, activation: str = "relu", rng: Rng = None
) -> BlockHessian:
    r"""H0 and H1 of $\hat y = W_2 f(W_1 x)$ with residuals overwritten by $N(0, 2\epsilon)$.

    Loss $(2m)^{-1}\sum(\hat y - y)^2$, all layers of width n, weights N(0, 1/n), data N(0, 1):
    $H_0 = J J^T/m$ and $[H_1]_{ab;cd} = m^{-1}\sum_\mu e_{c\mu}\delta_{ad} f'(z_{a\mu}) x_{b\mu}$
    between the layers (Pennington and Bahri 2017, eq. 23). The ratio is 2 n / samples.

    Args:
        n: width; the matrices have side 2 n^2.
        samples: m.
        energy: epsilon >= 0.
        activation: "relu" or "linear".
        rng: seed.

    Raises:
        InputError: if an argument breaks its rule.

    Example:
        >>> found = hs.theory.two_layer_hessian(4, samples=16, energy=0.1, rng=0)
        >>> found.gauss_newton.shape
        (32, 32)
    """
    size, m = _check.count("n", n), _check.count("samples", samples)
    e = np.sqrt(2 * _check.nonnegative("energy", energy))
    source = generator(rng)
    first, second = source.standard_normal((2, size, size)) / np.sqrt(size)
    x, errors = source.standard_normal((2, size, m))
    errors = e * errors
    z = first @ x
    gate = (z > 0).astype(float) if checked_activation(activation) == "relu" else np.ones_like(z)
    hidden = gate * z
    identity = np.eye(size)
    # J[parameter, output i, sample]: d y_i / d W1[a, b] = W2[i, a] f'(z_a) x_b; d W2[c, d] = h_d
    j_first = np.einsum("ia,am,bm->abim", second, gate, x).reshape(size**2, -1)
    j_second = np.einsum("ci,dm->cdim", identity, hidden).reshape(size**2, -1)
    jacobian = np.concatenate([j_first, j_second])
    off = np.zeros((size, size, size, size))  # [a, b, c, d]
    rows = np.arange(size)
    off[rows, :, :, rows] = np.einsum("cm,am,bm->abc", errors, gate, x) / m
    corner = off.reshape(size**2, size**2)
    zero = np.zeros_like(corner)
    return BlockHessian(
        gauss_newton=jacobian @ jacobian.T / m,
        residual=np.block([[zero, corner], [corner.T, zero]]),
    )


def product_wishart(n: int, samples: int, energy: Real, rng: Rng = None) -> FloatArray:
    r"""$\begin{pmatrix} 0 & S \\ S^T & 0 \end{pmatrix}$, $S = \hat e \hat x^T/m$, of side 2n.

    Factors n x m/2 with entries $N(0, 2\epsilon)$ and N(0, 1): one of the n equal blocks of H1 of a
    ReLU network, where half of the units are off. The spectrum tends to
    `relu_residual(energy, ratio=2 n / samples)`.

    Raises:
        InputError: if an argument breaks its rule.

    Example:
        >>> hs.theory.product_wishart(6, samples=24, energy=0.1, rng=0).shape
        (12, 12)
    """
    size, m = _check.count("n", n), _check.count("samples", samples, 2)
    source = generator(rng)
    errors = np.sqrt(2 * _check.nonnegative("energy", energy)) * source.standard_normal(
        (size, m // 2)
    )
    block = errors @ source.standard_normal((size, m // 2)).T / m
    zero = np.zeros_like(block)
    return np.block([[zero, block], [block.T, zero]])


def spiked(
    matrix: FloatArray, spikes: FloatArray | list[float], rng: Rng = None
) -> tuple[FloatArray, FloatArray]:
    r"""Matrix + $\sum_k \theta_k u_k u_k^T$ with random orthonormal u, and the u as columns.

    Raises:
        InputError: if there are more spikes than rows.

    Example:
        >>> a, vectors = hs.theory.spiked(hs.theory.goe(50, rng=0), [3.0], rng=0)
        >>> a.shape, vectors.shape
        ((50, 50), (50, 1))
    """
    strengths = _check.spectrum("spikes", spikes)
    square = _check.reals("matrix", matrix)
    if square.ndim != 2 or square.shape[0] != square.shape[1] or not np.isfinite(square).all():
        msg = f"matrix: of shape {square.shape}; a square matrix of finite numbers is required"
        raise InputError(msg)
    n = len(square)
    if strengths.size > n:
        msg = f"spikes: {strengths.size} values; at most {n}, the size of the matrix, are possible"
        raise InputError(msg)
    directions = np.linalg.qr(generator(rng).standard_normal((n, strengths.size)))[0]
    return np.asarray(square + (directions * strengths) @ directions.T), directions
