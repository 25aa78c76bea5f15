"""The assumptions behind Wishart + Wigner, and why networks break them."""

from __future__ import annotations

WISHART, WIGNER = "H0 is Wishart of the network's ratio", "H1 is Wigner of its own variance"
VARIANCE = "H1 has the variance of the Wigner model, 2 energy"
FREE_MOMENTS, FREE_SUM = (
    "H0 and H1 are free: mixed moments",
    "H0 and H1 are free: spectrum of the sum",
)
SHORT = {
    WISHART: "H₀: Marchenko-Pastur of ratio φ",
    "H0 is Wishart of some ratio and scale": "H₀: some Marchenko-Pastur",
    WIGNER: "H₁: semicircle",
    "H1 is Wigner of some variance": "H₁: some semicircle",
    VARIANCE: "variance of H₁ is 2ε",
    FREE_MOMENTS: "free: mixed moments",
    FREE_SUM: "free: spectrum of the sum",
    "residuals are normal": "residuals normal",
    "weights 0.weight are normal": "weights normal, first layer",
    "weights last are normal": "weights normal, last layer",
}

ASSUMPTIONS: tuple[tuple[str, str, str, str, str], ...] = (
    (
        WISHART,
        "H₀ is Wishart: its spectrum is Marchenko-Pastur of the network's ratio.",
        "section 4, eq. 8 and 16",
        "wishart",
        "Entries of the Jacobian of a network are products of weights and data, not "
        "independent normal numbers.",
    ),
    (
        WIGNER,
        "H₁ is Wigner: its spectrum is a semicircle.",
        "section 4, eq. 16",
        "wigner",
        "Entries of H₁ are sums over the same residuals and inputs; they are not independent.",
    ),
    (
        FREE_MOMENTS,
        "H₀ and H₁ are free.",
        "primary assumptions",
        "free",
        "Both come from the same weights and data, so that their eigenvectors are aligned.",
    ),
    (
        "residuals are normal",
        "Residuals are normal.",
        "primary assumptions",
        "",
        "",
    ),
    (
        "weights 0.weight are normal",
        "Weights are normal (first layer).",
        "primary assumptions",
        "",
        "",
    ),
)
"""Name in the audit, claim, its place in the paper, chart ("" for the table), reason."""
