"""The parts of one measurement, each on disk as soon as it is there."""

from __future__ import annotations

import hashlib
import shutil
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hessium.errors import InputError
from hessium.problem import EmpiricalRisk
from hessium.runs.experiment import Result
from hessium.runs.result_store import CorruptTaskWarning, Results, key, own


class Kept:
    """Computes a part once: what a run that was stopped has finished is loaded.

    Args:
        store: where parts are kept, or None to keep them in memory alone.
        of: what is measured; parts of anything else are never found.
        code: fingerprint of the code that computes.

    Attributes:
        found: parts by name, in the order in which they were asked for.
        loaded: names of those that came from disk.
    """

    def __init__(self, store: Results | None, of: Mapping[str, Any], code: str = "") -> None:
        self._store, self._of, self._code = store, dict(of), code
        self.found: dict[str, Result] = {}
        self.loaded: list[str] = []

    def __call__(
        self,
        part: str,
        settings: Mapping[str, Any],
        compute: Callable[[], Result],
        *,
        on_disk: bool = True,
    ) -> Result:
        """The part computed with these settings, from disk or now, with its `seconds`."""
        return self.going_on(part, settings, lambda _: compute(), on_disk=on_disk, under_way=False)

    def going_on(
        self,
        part: str,
        settings: Mapping[str, Any],
        compute: Callable[[Path | None], Result],
        *,
        on_disk: bool = True,
        under_way: bool = True,
    ) -> Result:
        """The same, for a computation that keeps its state in a folder while it is under way.

        Args:
            part: its name.
            settings: with which it is computed.
            compute: takes the folder, or None for no state; the same call goes on from it. The
                folder is this process's alone, and is removed when the part is stored. `seconds`
                are those of this process, unless the result has its own.
            on_disk: whether the part is kept on disk.
            under_way: whether its state is, too.
        """
        store = self._store if on_disk else None
        name = key("spectrum", {"of": self._of, "part": part, **settings}, self._code)
        folder = store.checkpoint(name) if store and under_way else None
        result = store.load(name) if store else None
        if result is None:
            with own(folder) as mine:
                start = time.perf_counter()
                found = _taken_up(compute, mine)
                result = {"seconds": time.perf_counter() - start, **found}
                if store:
                    store.save(name, result)
                if mine is not None:
                    shutil.rmtree(mine, ignore_errors=True)
        else:
            self.loaded.append(part)
        self.found[part] = result
        return result

    def tidy(self) -> None:
        """All parts are stored: no state is needed any more, of this code or of an older one."""
        if self._store is not None:
            self._store.tidy()


def _taken_up(compute: Callable[[Path | None], Result], folder: Path | None) -> Result:
    """Go on from the state in the folder; from the start, with a warning, if it is not valid."""
    if folder is None or not folder.exists():
        return compute(folder)
    try:
        return compute(folder)
    except InputError as error:
        if not str(error).startswith("checkpoint:"):
            raise
        warnings.warn(
            f"{folder.name} cannot be used ({error}); its computation starts again",
            CorruptTaskWarning,
            stacklevel=4,
        )
    shutil.rmtree(folder)
    return compute(folder)


def identity(risk: EmpiricalRisk, loss: float, slope: float) -> dict[str, Any]:
    """What tells one risk from another: parameters to the bit, loss and gradient to some digits.

    Sums over threads round differently from run to run, hence not all digits.
    """
    theta = risk.theta.cpu().numpy()
    return {
        "risk": repr(risk),
        "theta": hashlib.sha256(theta.tobytes()).hexdigest()[:32],
        "names": hashlib.sha256(repr(risk.names).encode()).hexdigest()[:32],
        "loss": f"{loss:.4e}",
        "slope": f"{slope:.3e}",
    }
