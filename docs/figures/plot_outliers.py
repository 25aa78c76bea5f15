"""Outliers beyond the bulk
========================

A spike of size 3 in noise: one eigenvalue leaves the bulk and stands at 3 + 1/3, as the theory
says.
"""

import numpy as np

import hessium as hs

matrix, _ = hs.theory.spiked(hs.theory.goe(400, rng=0), [3.0], rng=1)
found = hs.compare.outliers(np.linalg.eigvalsh(matrix), hs.theory.Semicircle(1.0))
found.plot()
