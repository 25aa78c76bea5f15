"""A free sum
==========

The law of the sum of a Wishart and a Wigner matrix, with no atom and negative eigenvalues,
beside one sample of 600.
"""

import numpy as np

import hessium as hs

law = hs.theory.free_sum(hs.theory.MarchenkoPastur(ratio=0.25), hs.theory.Semicircle(variance=0.2))
rng = np.random.default_rng(0)
matrix = hs.theory.wishart(600, samples=2400, rng=rng) + hs.theory.goe(600, variance=0.2, rng=rng)
ax = law.plot(label="free sum")
ax.hist(np.linalg.eigvalsh(matrix), bins=40, density=True, alpha=0.3)
