"""The rank depends on the threshold
=================================

Number of eigenvalues above a threshold, for all thresholds at once. A rank without its
threshold says little.
"""

import hessium as hs
from hessium.examples import digits

risk = digits.make(width=6, images=60)
hs.rank_profile(hs.GaussNewton(risk)).plot()
