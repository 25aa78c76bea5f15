"""The type checker that the tests put on every function of the library.

The hook of jaxtyping opens a context for the names of dimensions around every call, which costs
twenty times what beartype does; where no signature names a dimension, beartype alone checks.
"""

import dataclasses
import inspect
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

# as static checkers read PEP 484: an int is a float
check = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeError))

_with_dimensions = jaxtyping.jaxtyped


def _names_dimensions(function: Any) -> bool:
    """Whether an annotation holds a string within its text, as in Float[Tensor, "n k"]."""
    texts = getattr(function, "__annotations__", {}).values()
    return any('"' in str(text) or "'" in str(text) for text in texts)


def _plain(part: Any) -> bool:
    return inspect.isfunction(part) and not _names_dimensions(part)


def jaxtyped(part: Any, *, typechecker: Any) -> Any:
    """What the hook puts on functions, methods of any kind and dataclasses."""
    if isinstance(part, type) and dataclasses.is_dataclass(part) and _plain(part.__init__):
        if "__init__" in vars(part):
            type.__setattr__(part, "__init__", check(part.__init__))
        return part
    return check(part) if _plain(part) else _with_dimensions(part, typechecker=typechecker)


# the hook looks it up here whenever it meets a definition
vars(jaxtyping)["jaxtyped"] = lambda typechecker: (
    lambda part: jaxtyped(part, typechecker=typechecker)
)
