"""Where to measure next
=====================

Standard error of the deflection of a beam that is measured near its support only, and the three
places where further measurements improve it most.
"""

import matplotlib.pyplot as plt
import torch

import hessium as hs
from hessium.examples import beam

post = hs.GaussNewtonPosterior(beam.make(), noise=beam.NOISE, prior_precision=beam.PRIOR)
at = torch.linspace(0.02, 1.0, 50, dtype=torch.float64)[:, None]
figure, ax = plt.subplots()
ax.plot(at, 1e3 * post.prediction_std(at), label="standard error now")
for place in at[post.next_measurements(at, 3)].flatten():
    ax.axvline(float(place), linestyle="--", linewidth=0.8)
ax.set(xlabel="x in m", ylabel="standard error in mm", title="dashed: measure here next")
ax.legend()
