"""The page's numbers in a real browser, beside `hessium.theory`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hessium import theory
from hessium.explore.page import render
from support.browser import found_by, needs_browser

pytestmark = [pytest.mark.slow, needs_browser]

# errors relative to the value itself, however small it is
WITHIN = 1e-10

ASK = """
<script type="module">
const table = {table}, h = window.hessium;
const found = table.map(([ratio, energy, activation, x]) => [
  h.edges(ratio, energy, activation), h.density(x, ratio, energy, activation),
  h.index(ratio, energy, activation), h.criticalEnergy(ratio, activation),
  h.atoms(ratio, energy, activation)]);
const one = h.density(table[0][3][0], ...table[0].slice(0, 3)) === found[0][1][0];
const refused = [() => h.index(-1, 1, "linear"), () => h.edges(1, NaN, "linear"),
  () => h.criticalEnergy(1, "tanh")].map((ask) => {{
    try {{ ask(); return ""; }} catch (error) {{ return error.message; }} }});
document.body.append(Object.assign(document.createElement("pre"),
  {{id: "found", textContent: JSON.stringify({{found, one, refused}})}}));
</script>
"""


def table(count: int, seed: int = 0, *, every: int = 10) -> list[dict[str, Any]]:
    """Settings, points inside the support, and what `hessium.theory` says there.

    Closer to the critical energy than here, or at ratios closer to 1, the lower edge is a
    difference of equal numbers in both implementations: it then agrees to 1e-15 of the width of
    the support, and the index to the relative error of the edge.

    Args:
        count: number of settings.
        seed: of the settings.
        every: each such setting lies beside its critical energy, where indices are tiny.
    """
    rng, rows = np.random.default_rng(seed), []
    special = [
        (1.0, 0.5),
        (0.5, 2.0),
        (1.0, 2.0),
        (2.0, 0.3),
        (0.25, 0.0),
        (4.0, 0.0),
        (10.0, 1e-6),
    ]
    for k in range(count):
        ratio, energy = (float(10.0**v) for v in (rng.uniform(-2, 1), rng.uniform(-6, 1)))
        if k // 2 < len(special):
            ratio, energy = special[k // 2]
        elif k % every == every - 1 and ratio < 0.9:
            critical = float(theory.critical_energy(ratio, ("linear", "relu")[k % 2]))
            energy = critical * (1 + float(10.0 ** rng.uniform(-3, -1)))
        activation = ("linear", "relu")[k % 2]
        law = theory.hessian_law(energy, ratio, activation)
        ends = law.support_intervals()
        x = np.concatenate([low + (high - low) * rng.uniform(0, 1, 5) for low, high in ends])
        x = np.concatenate([x, [ends[0][0] - 0.1, ends[-1][1] + 0.1]])  # and off the support
        rows.append(
            {
                "setting": (ratio, energy, activation, x.tolist()),
                "edges": np.ravel(ends),
                "density": law.pdf(x),
                "index": theory.index(energy, ratio, activation),
                "critical": theory.critical_energy(ratio, activation),
                "atom": law.atoms.get(0.0, 0.0),
            }
        )
    return rows


def worst(found: list[Any], rows: list[dict[str, Any]]) -> float:
    """The largest relative error; a number that should be zero must be."""
    error = 0.0
    for (edges, density, index, critical, atoms), row in zip(found, rows, strict=True):
        assert len(edges) == len(row["edges"]), row["setting"]
        got = np.concatenate([edges, density, [index, critical, sum(w for _, w in atoms)]])
        true = np.concatenate(
            [row["edges"], row["density"], np.ravel([row["index"], row["critical"], row["atom"]])]
        )
        off = np.abs(got - true)
        assert (off[true == 0] == 0).all(), row["setting"]
        error = max(error, float((off / np.where(true == 0, 1.0, np.abs(true))).max()))
    return error


def test_the_page_computes_what_the_library_computes(tmp_path: Path) -> None:
    rows = table(200)
    ask = ASK.format(table=json.dumps([row["setting"] for row in rows]))
    page = tmp_path / "page.html"
    page.write_text(render().replace("</body>", f"{ask}</body>"), encoding="utf-8")
    answer = found_by(page, tmp_path)
    assert worst(answer["found"], rows) < WITHIN
    assert answer["one"]
    assert [message.split(":")[0] for message in answer["refused"]] == [
        "ratio",
        "energy",
        "activation",
    ]
    # negative control: an energy that is wrong by one part in 10^8 would be seen
    wrong = rows[:20]
    for row in wrong:
        ratio, energy, activation, x = row["setting"]
        row["density"] = theory.hessian_law(energy * (1 + 1e-8), ratio, activation).pdf(x)
    assert worst(answer["found"][:20], wrong) > WITHIN
