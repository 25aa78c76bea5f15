"""Arguments of wrong types, as callers without a type checker give them: named before any work."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import hessium as hs

SEARCH = {
    "ridge='a'": "ridge: 'a'; a finite real number is required",
    "ridge=None": "ridge: None; a finite real number is required",
    "restarts=0.5": "restarts: 0.5; an integer is required",
    "restarts=True": "restarts: True; an integer is required",
    "max_steps='many'": "max_steps: 'many'; an integer is required",
    "progress=3": "progress: 3; a function (done, total, what) is required",
    "method=None": "method: None; one of levenberg-marquardt",
    "method='saddle', index=0.5": "index: 0.5; an integer is required",
    "method='saddle', index='2'": "index: '2'; an integer is required",
    "start='origin'": "start: ",
    "start=0.5": "start: ",
    "start=lambda _: None": "start: ",
    "rng='seed'": "rng: 'seed' is neither",
}
CONTINUATION = {
    "risk, None": "point: NoneType; a result of find_critical_point is required",
    "risk, 'last'": "point: str; a result of find_critical_point is required",
    "None, point": "risk: ",
    "risk, point, to='zero'": "to: 'zero'; a finite real number is required",
    "risk, point, factor=None": "factor: None; a finite real number is required",
    "risk, point, max_steps=2.5": "max_steps: 2.5; an integer is required",
    "risk, point, rng='seed'": "rng: 'seed' is neither",
    "risk, point, progress=3": "progress: 3; a function (done, total, what) is required",
}
CALLS = {f"hs.find_critical_point(risk, {given})": said for given, said in SEARCH.items()}
CALLS |= {f"hs.continue_ridge({given})": said for given, said in CONTINUATION.items()}


class Point(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([0.8, 0.1], dtype=torch.float64))


def answers() -> dict[str, str]:
    """What each call says."""
    risk = hs.EmpiricalRisk.from_closure(Point(), lambda m: (m.p[0] ** 2 - 1) ** 2 + m.p[1] ** 2)
    names = {"hs": hs, "risk": risk, "point": hs.find_critical_point(risk, ridge=0.1)}
    found = {}
    for call in CALLS:
        try:
            found[call] = repr(eval(call, names))
        except Exception as error:
            found[call] = f"{type(error).__name__}: {error}"
    return found


@pytest.mark.unchecked
def test_wrong_types_are_named() -> None:
    found = answers()
    assert not {
        call: found[call]
        for call, said in CALLS.items()
        if not found[call].startswith(f"InputError: {said}") or "\n" in found[call]
    }
