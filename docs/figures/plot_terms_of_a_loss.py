"""Terms of a physics-informed loss
================================

Curvature of equation, boundary values and data of a Poisson problem.
"""

import hessium as hs
from hessium.examples import poisson_terms

hs.compare.terms(poisson_terms.make()).plot()
