"""Exceptions and warnings of hessium."""

from __future__ import annotations


class InputError(ValueError):
    """An argument breaks a rule; the message is one sentence with argument, value and rule."""


class NonFiniteInputError(InputError):
    """Parameters, outputs or the loss of a model are NaN or infinite, as after a divergence."""


class SelfCheckError(RuntimeError):
    """A curvature product or gradient disagrees with an independent derivative."""


class NonFiniteError(ArithmeticError):
    """A product, loss or gradient is not finite.

    Attributes:
        partial: the result computed before, or None.
    """

    def __init__(self, message: str, partial: object = None) -> None:
        super().__init__(message)
        self.partial = partial


class IndefiniteError(ArithmeticError):
    """A matrix that must be positive definite is not.

    Attributes:
        ritz_value: an upper bound on its smallest eigenvalue, not positive.
        partial: the result computed before, or None.
    """

    def __init__(self, message: str, ritz_value: float, partial: object = None) -> None:
        super().__init__(message)
        self.ritz_value = ritz_value
        self.partial = partial


class ConvergenceError(ArithmeticError):
    """A number failed its certificate and is not returned."""


class LostProcessError(ConnectionError):
    """Another process of the group has ended, or has not answered within its timeout."""


class ConvergenceWarning(UserWarning):
    """An iteration stopped before its tolerance; the result holds its state."""


class RouteWarning(UserWarning):
    """A kernel without second derivatives was replaced by an equivalent one."""


class StaleStateWarning(UserWarning):
    """Buffers of the model differ from those of the risk; `refreshed` takes the current ones."""


class OutsideParameterWarning(UserWarning):
    """The loss depends on a trainable tensor that is not a parameter of the model."""


class SelfCheckWarning(UserWarning):
    """A self-check was inconclusive; the message gives the reason."""


class SharedDataWarning(UserWarning):
    """Several processes do not hold disjoint parts of one data set."""


class SampleAxisWarning(UserWarning):
    """The sample dimension of the outputs was chosen by convention."""
