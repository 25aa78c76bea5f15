"""A spectrum from products alone
==============================

Lanczos quadrature gives the distribution without a matrix; the band holds the error of the
steps and of the random vectors.
"""

import numpy as np

import hessium as hs
from hessium.examples import digits

H = hs.Hessian(digits.make(width=6, images=300))
estimate = hs.spectral_measure(H, probes=10, steps=40)
exact = hs.spectrum(H)
grid = np.linspace(-0.02, 0.08, 200)
ax = estimate.cdf_band(grid).plot(label="estimate with its band")
ax.plot(grid, exact.cdf(grid), color="black", linewidth=0.8, label="exact")
ax.legend()
