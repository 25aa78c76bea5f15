"""Where negative eigenvalues begin
================================

The energy below which typical critical points are minima, for the linear and the ReLU model.
"""

import matplotlib.pyplot as plt
import numpy as np

import hessium as hs

ratio = np.linspace(0.02, 0.98, 97)
figure, ax = plt.subplots()
for activation in ("linear", "relu"):
    ax.plot(ratio, hs.theory.critical_energy(ratio, activation), label=activation)
ax.set(xlabel="ratio", ylabel="critical energy", yscale="log")
ax.legend()
