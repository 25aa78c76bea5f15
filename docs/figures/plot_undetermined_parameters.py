"""An interval that is not symmetric
=================================

Refits at fixed capacities of logistic growth, from early samples: the deviance is not the parabola
of the quadratic model, steeper to the left and flatter to the right.
"""

import hessium as hs
from hessium.examples import logistic_growth

post = hs.GaussNewtonPosterior(logistic_growth.make(3.0))
post.profile_likelihood("capacity").plot()
