"""The parts of one measurement, each on disk as soon as it is there."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from hessium.experiments.experiment import Result
from hessium.experiments.store import Results, key
from hessium.problem import EmpiricalRisk


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
        store = self._store if on_disk else None
        name = key("spectrum", {"of": self._of, "part": part, **settings}, self._code)
        result = store.load(name) if store else None
        if result is None:
            start = time.perf_counter()
            result = {**compute(), "seconds": time.perf_counter() - start}
            if store:
                store.save(name, result)
        else:
            self.loaded.append(part)
        self.found[part] = result
        return result


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
