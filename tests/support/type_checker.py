"""The type checker that `pytest --shapes` puts on every function of the library.

The hook of jaxtyping opens a context for the names of dimensions around every call, which costs
many times what beartype does; where no signature names a dimension, beartype alone checks.
"""

import dataclasses
import functools
import inspect
import typing
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

# as static checkers read PEP 484: an int is a float
check = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeError))

_with_dimensions = jaxtyping.jaxtyped


def _names_dimensions(function: Any) -> bool:
    """Whether an annotation holds a string within its text, as in Float[Tensor, "n k"]."""
    texts = function.__annotations__.values()
    return any('"' in str(text) or "'" in str(text) for text in texts)


def _known(function: Any) -> bool:
    """Whether all names of the annotations exist, also where no static checker runs."""
    try:
        typing.get_type_hints(function)
    except NameError:
        return False
    return True


def _checked(part: Any, typechecker: Any) -> Any:
    if not inspect.isfunction(part) or _names_dimensions(part):
        return _with_dimensions(part, typechecker=typechecker)

    @functools.cache
    def chosen() -> Any:  # at the first call, when the whole module is there
        return check(part) if _known(part) else _with_dimensions(part, typechecker=typechecker)

    @functools.wraps(part)
    def checked(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        return chosen()(*args, **kwargs)

    return checked


def jaxtyped(*, typechecker: Any) -> Any:
    """What the hook puts on functions, methods of any kind and classes."""

    def decorate(part: Any) -> Any:
        if not isinstance(part, type):
            return _checked(part, typechecker)
        if dataclasses.is_dataclass(part) and "__init__" in vars(part):
            type.__setattr__(part, "__init__", _checked(part.__init__, typechecker))
        return part

    return decorate


# the hook looks it up here whenever it meets a definition
vars(jaxtyping)["jaxtyped"] = jaxtyped
