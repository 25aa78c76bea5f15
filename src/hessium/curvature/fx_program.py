"""A linear map recorded as a program of plain tensor operations.

Autograd traverses the graphs of `graph.py` for every vector. A recorded program avoids its
bookkeeping, computes terms that do not depend on the vector once, and drops unused results:
derivatives of the outputs of a convolutional network take half the time. The operations and their
order are the same, so results are identical; the program can also be compiled.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

logger = logging.getLogger(__name__)

LinearMap = Callable[[Sequence[Tensor]], Sequence[Tensor]]


class CannotTraceError(RuntimeError):
    """A map that cannot be recorded as a program; the message gives the reason."""


class Program:
    """A linear map of several tensors, recorded once.

    Args:
        function: a linear map without state: vectors in, images out, leaf by leaf.
        like: tensors with the shapes of the vectors.
        compiled: compile the program with torch: takes seconds to a minute and needs a C++
            compiler.

    Raises:
        CannotTraceError: if recording or compiling fails.
    """

    def __init__(self, function: LinearMap, like: Sequence[Tensor], *, compiled: bool) -> None:
        self._vectorises = True
        example = [torch.zeros_like(t) for t in like]
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")  # torch's own, about its tracer
                recorded = make_fx(lambda parts: tuple(function(parts)))(example)
                recorded.graph.eliminate_dead_code()
                recorded.recompile()
                self._recorded = recorded
                self._run = torch.compile(recorded, dynamic=False) if compiled else recorded
                self._run(example)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # tracers and compilers raise exceptions of any type
            reason = str(error).strip().splitlines()
            msg = f"{type(error).__name__}: {reason[0] if reason else ''}"
            raise CannotTraceError(msg) from error

    def __call__(self, parts: Sequence[Tensor], *, batched: bool) -> list[Tensor]:
        """Images of the vectors; with `batched`, of a block of them in one vectorised run."""
        with torch.no_grad():
            if not batched:
                return list(self._run(list(parts)))
            if self._vectorises:
                try:
                    return list(torch.func.vmap(self._recorded)(list(parts)))
                except torch.OutOfMemoryError:
                    raise
                except Exception as error:  # for example an in-place operation
                    logger.info("a recorded program does not vectorise: %s", error)
                    self._vectorises = False
            images = [self._run(list(column)) for column in zip(*parts, strict=True)]
            return [torch.stack(leaf) for leaf in zip(*images, strict=True)]

    def storages(self) -> dict[int, int]:
        """Bytes of the stored tensors, by address."""
        module = self._recorded
        held = [*module.parameters(), *module.buffers(), *vars(module).values()]
        spaces = [t.untyped_storage() for t in held if isinstance(t, Tensor)]
        return {space.data_ptr(): space.nbytes() for space in spaces}
