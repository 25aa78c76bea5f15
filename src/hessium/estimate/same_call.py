"""Check that processes which compute together make the same call."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from hessium.linalg.shares import Shares


def require_same_call(shares: Shares, work: Mapping[str, Any], seeds: np.random.Generator) -> None:
    """Check that all processes compute the same, with the same seeds.

    Afterwards they decide alike, since all numbers on which they decide are the same on all.

    Raises:
        InputError: if one of them does something else.
    """
    if shares.divided:
        state = zlib.crc32(json.dumps(seeds.bit_generator.state, default=str).encode())
        told = ", ".join(f"{name}={value}" for name, value in work.items() if name != "work")
        with shares.together(f"{work['work']}({told}; seed {state:08x})"):
            pass
