"""
Which layer is stiff?
=====================

Share of each parameter in the leading eigenvectors of the Hessian.
"""

import matplotlib.pyplot as plt

import hessium as hs
from hessium.examples import digits

pairs = hs.eigenpairs(hs.Hessian(digits.make(width=6, images=200)), 6, which="LA")
shares = pairs.by_parameter()
figure, ax = plt.subplots()
image = ax.imshow(shares.shares, aspect="auto", vmin=0, vmax=1, cmap="Blues")
ax.set_xticks(range(6), [f"{value:.2g}" for value in pairs.values])
ax.set_yticks(range(len(shares.names)), shares.names)
ax.set_xlabel("eigenvalue")
figure.colorbar(image, label="share of the squared length")
