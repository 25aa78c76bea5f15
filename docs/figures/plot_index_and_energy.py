"""The index of critical points
============================

Share of negative eigenvalues against the energy, for three ratios of parameters to residuals,
exact in the limit.
"""

import matplotlib.pyplot as plt
import numpy as np

import hessium as hs

energy = np.linspace(0.0, 0.5, 101)
figure, ax = plt.subplots()
for ratio in (0.25, 0.5, 0.75):
    ax.plot(energy, hs.theory.index(energy, ratio), label=f"ratio {ratio:g}")
    ax.axvline(float(hs.theory.critical_energy(ratio)), linewidth=0.6, color="gray")
ax.set(xlabel="energy", ylabel="index (share of negative eigenvalues)")
ax.legend()
