"""Eigenvalues repel
=================

Ratios of neighbouring spacings: those of a random matrix follow the GOE law, those of
independent numbers do not.
"""

import hessium as hs

hs.compare.levels(hs.theory.goe(400, rng=0)).plot()
