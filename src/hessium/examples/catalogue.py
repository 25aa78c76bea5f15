"""The examples by name, with a sentence about each and a command: what `hessium example` prints.

It is a module of its own, because the examples import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """One example.

    Attributes:
        shows: a sentence about it.
        command: what to try first.
    """

    shows: str
    command: str


EXAMPLES: Mapping[str, Example] = {
    "digits": Example(
        "A 64-16-10 tanh classifier of scikit-learn's digits: 1,210 parameters, all eigenvalues.",
        "hessium spectrum hessium.examples.digits:make",
    ),
    "digits_cnn": Example(
        "A convolutional network with batch normalisation and a DataLoader, in float32.",
        "hessium spectrum hessium.examples.digits_cnn:make",
    ),
    "small_gpt": Example(
        "A small GPT on a page of text, with padded batches and tied embeddings.",
        "hessium spectrum hessium.examples.small_gpt:make",
    ),
    "physics_informed": Example(
        "A physics-informed network for a Poisson equation: the residuals are its outputs.",
        "hessium spectrum hessium.examples.physics_informed:make",
    ),
    "poisson_terms": Example(
        "A physics-informed loss by its terms: equation, boundary values and data.",
        "hessium spectrum hessium.examples.poisson_terms:make",
    ),
    "beam": Example(
        "A cantilever beam with 12 deflection samples: what they determine, where to measure next.",
        "hessium identify hessium.examples.beam:question",
    ),
    "heat_conductivity": Example(
        "The heat equation with a network for the conductivity, and a source strength beside it.",
        "hessium identify hessium.examples.heat_conductivity:question",
    ),
    "logistic_growth": Example(
        "Logistic growth by Runge-Kutta steps: which of three parameters do early samples "
        "determine?",
        "hessium identify hessium.examples.logistic_growth:question",
    ),
    "relu_landscape": Example(
        "A ReLU network with random data, as random matrix theory assumes it.",
        "hessium compare hessium.examples.relu_landscape:make",
    ),
}
