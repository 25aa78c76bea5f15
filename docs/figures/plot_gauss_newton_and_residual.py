"""The two parts of a Hessian
==========================

H0 has first derivatives of the network only and no negative eigenvalue; H1 has both signs. The
Hessian is their sum.
"""

import matplotlib.pyplot as plt

import hessium as hs
from hessium.examples import relu_landscape

risk = relu_landscape.make()
figure, axes = plt.subplots(3, 1, sharex=True, figsize=(6, 7), layout="constrained")
for ax, operator, name in zip(
    axes,
    (hs.Hessian(risk), hs.GaussNewton(risk), hs.ResidualHessian(risk)),
    ("H", "H0", "H1"),
    strict=True,
):
    ax.hist(hs.spectrum(operator).nodes, bins=60)
    ax.set(ylabel=name, yscale="log")
axes[-1].set_xlabel("eigenvalue")
