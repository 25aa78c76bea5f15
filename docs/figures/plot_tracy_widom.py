"""Fluctuations of the largest eigenvalue
======================================

Largest eigenvalues of 400 random matrices, centred and scaled at the edge, beside the Tracy-
Widom law.
"""

import matplotlib.pyplot as plt
import numpy as np

import hessium as hs

n, edge = 60, hs.theory.soft_edge(hs.theory.Semicircle(1.0), n=60)
rng = np.random.default_rng(0)
largest = [np.linalg.eigvalsh(hs.theory.goe(n, rng=rng))[-1] for _ in range(400)]
figure, ax = plt.subplots()
ax.hist((np.array(largest) - edge.location) / edge.scale, bins=30, density=True, alpha=0.4)
x = np.linspace(-5, 3, 200)
ax.plot(x, hs.theory.TracyWidom(beta=1).pdf(x))
ax.set(xlabel="(largest eigenvalue - edge) / scale", ylabel="density")
