"""Colours belong to quantities: position in the palette of `plots`, the same in every figure."""

HESSIAN, GAUSS_NEWTON, RESIDUAL, LAW, OTHER, PUBLISHED = range(6)
BY_LABEL = {
    "H": HESSIAN,
    "Hessian": HESSIAN,
    "Gauss-Newton": GAUSS_NEWTON,
    "GaussNewton": GAUSS_NEWTON,
    "residual": RESIDUAL,
    "H0": GAUSS_NEWTON,
    "H₀": GAUSS_NEWTON,
    "H1": RESIDUAL,
    "H₁": RESIDUAL,
}


def hue_of(label: str) -> int:
    """The colour of a quantity, by the first word of its label; the first one for others."""
    return BY_LABEL.get(_first_word(label), HESSIAN)


def is_quantity(label: str) -> bool:
    """Whether a label names a quantity that has a colour of its own; sums have none."""
    return _first_word(label) in BY_LABEL and label.split()[1:2] != ["+"]


def _first_word(label: str) -> str:
    words = label.replace(",", " ").split()
    return words[0] if words else ""
