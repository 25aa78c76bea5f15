"""Parameters by layer."""

from __future__ import annotations

from hessium.problem import EmpiricalRisk


def layers(risk: EmpiricalRisk, most: int | None = None) -> dict[str, list[str]]:
    """Names of parameters by the module that owns them, in the order of the flat vector.

    Args:
        risk: whose parameters.
        most: with more modules than this, nested modules are grouped by their parent.
    """
    owners = {name: name.split(".")[:-1] or ["top level"] for name in risk.names}
    depth = max(map(len, owners.values()))
    while True:
        groups: dict[str, list[str]] = {}
        for name, owner in owners.items():
            groups.setdefault(".".join(owner[:depth]), []).append(name)
        if most is None or len(groups) <= most or depth == 1:
            return groups
        depth -= 1
