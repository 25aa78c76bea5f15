"""What can go wrong, by kind, so that a caller and the command line can tell them apart."""

from __future__ import annotations


class InputError(ValueError):
    """An argument breaks a rule; the message is one sentence with argument, value and rule."""


class SelfCheckError(RuntimeError):
    """The route chosen for a curvature product disagrees with double backward on this model."""


class NonFiniteError(ArithmeticError):
    """A product, loss or gradient is not finite.

    Attributes:
        partial: what had been computed before, or None.
    """

    def __init__(self, message: str, partial: object = None) -> None:
        super().__init__(message)
        self.partial = partial


class IndefiniteError(ArithmeticError):
    """A matrix that must be positive definite is not.

    Attributes:
        ritz_value: an upper bound on its smallest eigenvalue, not positive.
        partial: what had been computed before, or None.
    """

    def __init__(self, message: str, ritz_value: float, partial: object = None) -> None:
        super().__init__(message)
        self.ritz_value = ritz_value
        self.partial = partial


class ConvergenceError(ArithmeticError):
    """A number did not meet its certificate, so none is returned."""


class ConvergenceWarning(UserWarning):
    """An iteration stopped before its tolerance; the result says how far it came."""


class RouteWarning(UserWarning):
    """The library took another way than the one written in the model, and says which."""


class StaleStateWarning(UserWarning):
    """A risk keeps buffers that the model has changed since; `refreshed` takes the current ones."""


class OutsideParameterWarning(UserWarning):
    """The loss depends on a trainable tensor that is not a parameter of the model."""


class SelfCheckWarning(UserWarning):
    """A self-check could not be decided, and the message says why."""


class SampleAxisWarning(UserWarning):
    """Which dimension of the outputs is the samples is taken by convention."""
