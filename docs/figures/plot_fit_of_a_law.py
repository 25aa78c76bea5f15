"""Fit of a law
============

The ratio and the scale of a Marchenko-Pastur law from one spectrum, with intervals and a test.
"""

import numpy as np

import hessium as hs

matrix = hs.theory.wishart(200, samples=600, rng=0)
fit = hs.compare.fit(hs.Spectrum.of(np.linalg.eigvalsh(matrix)), "marchenko-pastur")
ax = fit.plot()
ax.set_title(
    ", ".join(f"{n} {p.value:.3f} [{p.low:.3f}, {p.high:.3f}]" for n, p in fit.parameters.items())
)
