"""The publications whose claims the studies test."""

from __future__ import annotations

from hessium.figures.records import Origin, Publication

_ADCME = Publication(
    name="ADCME.jl, DNN Hessians",
    reference="ADCME.jl documentation (K. Xu and E. Darve), page hessian.md: The Mathematical "
    "Structure of DNN Hessians.",
)
_OPTIMISERS = Publication(
    name="ADCME.jl, optimisers",
    reference="ADCME.jl documentation (K. Xu and E. Darve), page second_order_optimizer.md.",
)
_PB = Publication(
    name="Pennington & Bahri (2017)",
    reference="J. Pennington and Y. Bahri, Geometry of Neural Network Loss Surfaces via Random "
    "Matrix Theory, ICML 2017; taught in Theories of Deep Learning, C6.5, video 8 (J. Tanner, "
    "Oxford).",
)
_SINGH = Publication(
    name="Singh et al. (2021)",
    reference="S. P. Singh, G. Bachmann and T. Hofmann, Analytic Insights into Structure and Rank "
    "of Neural Network Hessian Maps, NeurIPS 2021.",
)
_COHEN = Publication(
    name="Cohen et al. (2021)",
    reference="J. Cohen et al., Gradient Descent on Neural Networks Typically Occurs at the Edge "
    "of Stability, ICLR 2021, arXiv:2103.00065.",
)
_ADAPTIVE = Publication(
    name="Cohen et al. (2022)",
    reference="J. Cohen et al., Adaptive Gradient Methods at the Edge of Stability, "
    "arXiv:2207.14484.",
)
_BATCHES = Publication(
    name="Andreyev & Beneventano (2024)",
    reference="A. Andreyev and P. Beneventano, Edge of Stochastic Stability, arXiv:2412.20553.",
)


def adcme(place: str) -> Origin:
    """A claim of the ADCME page on the structure of Hessians."""
    return Origin(kind="source", publication=_ADCME, place=place)


def optimisers(place: str) -> Origin:
    """A claim of the ADCME page on second-order optimisers."""
    return Origin(kind="source", publication=_OPTIMISERS, place=place)


def pennington_bahri(place: str) -> Origin:
    """A claim of Pennington & Bahri (2017)."""
    return Origin(kind="source", publication=_PB, place=place)


def singh(place: str) -> Origin:
    """A claim of Singh et al. (2021)."""
    return Origin(kind="source", publication=_SINGH, place=place)


def edge(kind: str, batch: int) -> Origin:
    """The claim on sharpness and the threshold of an optimiser, from the abstract.

    Args:
        kind: of the optimiser, its name in torch.
        batch: samples in a batch, 0 for all.
    """
    found = _BATCHES if batch else _COHEN if kind == "SGD" else _ADAPTIVE
    return Origin(kind="source", publication=found, place="abstract")
