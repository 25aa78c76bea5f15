"""The studies by name, with a sentence on the content of each: what `hessium list` prints.

It is a module of its own, because those of the studies import torch.
"""

from __future__ import annotations

from collections.abc import Mapping

CATALOGUE: Mapping[str, str] = {
    "rank-vs-samples": (
        "Rank of the Hessian of a small network against the number of training samples, beside "
        "the published curve, and why it reaches a plateau."
    ),
    "rank-vs-duplicates": "Rank of the Hessian when inputs are repeated exactly, or nearly.",
    "linearization": (
        "The premise of the rank argument, measured over the width of the network: distance "
        "travelled in training and error of the first-order model."
    ),
    "trust-region": (
        "Numbers of positive and negative eigenvalues and angles of steps along BFGS, L-BFGS-B and "
        "trust-region Newton on an inverse problem with a PDE, beside the published counts."
    ),
    "real-data": (
        "Spectrum of H, H₀ and H₁, rank, index and layer blocks of a network trained on "
        "handwritten digits."
    ),
    "edge-of-stability": (
        "Sharpness of a tanh network during training with gradient descent, momentum, Adam and "
        "RMSprop beside their stability thresholds, and batch sharpness under SGD."
    ),
    "pb-fig1": (
        "The Wishart + Wigner law of the Hessian at three ratios and four energies, with sampled "
        "matrices over it."
    ),
    "pb-index": (
        "Exact index, small-index law and its slope 3/2 for both models, with sampled matrices."
    ),
    "pb-critical-energy": (
        "Critical energy against the ratio for both models: closed forms, edges of the law, "
        "printed formulas and sampled matrices."
    ),
    "pb-fig2": (
        "The spectrum of H₀ + H₁ of a trained ReLU autoencoder beside H₀ + Q H₁ Qᵀ with random "
        "rotations Q, its outliers, and an exact test of freeness."
    ),
    "pb-fig3": (
        "Eigenvalues of H₁ of ReLU networks whose residuals are replaced by normal noise, beside "
        "eq. 28, and how the difference vanishes with the width."
    ),
    "pb-fig4": (
        "The spectrum of H₀ at initialisation, the zeros that symmetries force for three "
        "activations, and its smallest non-zero eigenvalues."
    ),
    "pb-fig5": (
        "The smallest non-zero eigenvalue of H₀ of ReLU networks against 1/ratio, beside the edge "
        "of Marchenko-Pastur with one fitted scale and the published points."
    ),
    "singh-ranks": (
        "Ranks of H₀, H₁ and H of deep linear networks beside the formulas of Singh et al. (2021), "
        "with bottlenecks and cross-entropy, and the ranks of ReLU and tanh networks."
    ),
    "spacings": (
        "Ratios of consecutive spacings of Hessians beside GOE, GUE and Poisson, with null space "
        "and symmetry sectors removed, and the effect of keeping them."
    ),
    "wishart-or-not": (
        "Every assumption behind Wishart + Wigner tested on networks with four activations, "
        "several widths and ratios, random and trained, and the predictions beside the "
        "measurement."
    ),
    "pb-fig6": (
        "Certified critical points over the whole range of indices, the points that the published "
        "test accepts, a test of the 3/2 law, and minimisations that do not converge."
    ),
    "linear-fig6": (
        "Measured energies, indices and zero modes of critical points of linear networks beside "
        "the closed form of every class."
    ),
}
"""In the order of the page."""
