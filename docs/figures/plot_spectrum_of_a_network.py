"""All eigenvalues of a small network
==================================

The Hessian of a trained classifier of digits: most eigenvalues are near zero, and about as
many are large as there are classes.
"""

import hessium as hs
from hessium.examples import digits

H = hs.Hessian(digits.make(width=6, images=300))
hs.spectrum(H).plot(label="Hessian")
