"""The barrier between two minima
==============================

The loss on the straight path between two trained networks that differ in their first weights.
"""

import hessium as hs
from hessium.examples import digits

first = digits.make(width=6, images=200, seed=0)
second = digits.make(width=6, images=200, seed=1)
hs.loss_path(first, [first.theta, second.theta], num=41).plot()
