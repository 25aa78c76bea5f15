"""What a search reports while it runs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import hessium as hs


def saddle(model: nn.Module) -> Tensor:
    w: Tensor = model.w  # type: ignore[assignment]
    return w[0] ** 2 - w[1] ** 2 + w[0] ** 4 + w[1] ** 4


def test_a_search_tells_its_steps_and_the_parts_of_its_certificate() -> None:
    model = nn.Module()
    model.w = nn.Parameter(torch.tensor([0.3, 0.2], dtype=torch.float64))
    risk = hs.EmpiricalRisk.from_closure(model, saddle)
    for method, index in (("levenberg-marquardt", None), ("saddle", 1)):
        seen: dict[str, list[tuple[int, int]]] = {}

        def tell(done: int, total: int, what: str, seen: dict[str, list[tuple[int, int]]] = seen) -> None:  # fmt: skip  # noqa: E501
            seen.setdefault(what, []).append((done, total))

        point = hs.find_critical_point(
            risk, method=method, index=index, max_steps=50, progress=tell
        )
        assert point.kind == "critical"
        assert seen["tries"] == [(0, 1)]
        assert seen["steps"] == [(i, 50) for i in range(point.steps + 1)]
        assert seen["parts of the certificate"] == [(i, 4) for i in range(5)]
        assert ("steps of descent" in seen) == (method == "saddle")
