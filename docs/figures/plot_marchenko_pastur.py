"""A Wishart matrix beside its law
===============================

Eigenvalues of a sampled Wishart matrix and the Marchenko-Pastur law of the same ratio.
"""

import numpy as np

import hessium as hs

matrix = hs.theory.wishart(400, samples=1600, rng=0)
hs.Spectrum.of(np.linalg.eigvalsh(matrix)).plot(law=hs.theory.MarchenkoPastur(ratio=0.25))
