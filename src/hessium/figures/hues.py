"""Colours belong to quantities: position in the palette of `plots`, the same in every figure."""

HESSIAN, GAUSS_NEWTON, RESIDUAL, LAW, OTHER, PUBLISHED = range(6)
BY_LABEL = {
    "H": HESSIAN,
    "H0": GAUSS_NEWTON,
    "H₀": GAUSS_NEWTON,
    "H1": RESIDUAL,
    "H₁": RESIDUAL,
}


def hue_of(label: str) -> int:
    """The colour of a quantity, by the first word of its label."""
    words = label.replace(",", " ").split()
    return BY_LABEL.get(words[0], HESSIAN) if words else HESSIAN
