"""The loss in a plane of eigenvectors
===================================

Contours of the loss of a beam model and the circle within which the quadratic model is right
to a tenth.
"""

import hessium as hs
from hessium.examples import beam

hs.loss_slice(beam.make(), "eigenvectors", extent=0.5, num=25).plot()
