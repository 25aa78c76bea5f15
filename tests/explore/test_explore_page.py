"""One file without network: how it is put together, and which spectra it carries."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hessium._typing import AnyArray
from hessium.cli import main
from hessium.errors import InputError
from hessium.explore.bundle import bundle, sources
from hessium.explore.overlay import overlays, thinned
from hessium.explore.page import MOST_BYTES, render, write_page
from hessium.figures.records import Findings, Section
from hessium.plots import PALETTE
from hessium.runs.run_directory import RunDirectory


def run_of(path: Path, arrays: dict[str, AnyArray], **config: Any) -> Path:
    """A run directory with one section and its arrays."""
    section = Section(
        experiment="spectrum",
        title="Curvature of a </script> network",
        shows="Numbers.",
        preset="",
        config=config,
        seeds=(),
        command="hessium spectrum model.py:make",
        versions={},
        tasks=1,
        seconds=1.0,
        finished="2026-01-01T00:00:00+00:00",
        findings=Findings(statements=(), charts=()),
    )
    RunDirectory.create(path).put(section, arrays, order=())
    return path


def test_the_page_is_one_small_file_that_fetches_nothing(tmp_path: Path) -> None:
    page = render()
    assert len(page.encode()) < MOST_BYTES / 3
    assert not re.search(r"\{\{\w+\}\}", page)
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)|@import|url\(|fetch\(|https?://""", page)
    assert not re.search(r"^\s*(?:import|export)\b", page, re.MULTILINE)


def test_colours_are_those_of_all_figures() -> None:
    page = render()
    for number, (light, dark) in enumerate(PALETTE):
        assert f"--series-{number}: {light};" in page
        assert page.count(f"--series-{number}: {dark};") == 2


def test_modules_are_joined_in_the_order_of_their_imports() -> None:
    modules = {
        "main": 'import { one } from "./one.js";\nconst two = one() + 1;\n',
        "one": "export function one() { return 1; }\n",
        "unused": "export const left = 0;\n",
    }
    text = bundle(modules, "main")
    assert text.index("function one") < text.index("const two")
    assert "unused" not in text
    assert all(f"// ---- {name}.js" in bundle(sources(), "main") for name in sources())


@pytest.mark.parametrize(
    ("main_js", "one_js", "says"),
    [
        ('import { a } from "./gone.js";\n', "", "gone.js: does not exist"),
        ('import { a } from "./one.js";\n', 'import { b } from "./main.js";\n', "imports itself"),
        ('import { a } from "./one.js";\nconst a = 1;\n', "export const a = 2;\n", "rename one"),
        ('import * as one from "./one.js";\n', "", "is read"),
        ("export default 1;\n", "", "is read"),
    ],
)
def test_what_cannot_be_joined_is_refused(main_js: str, one_js: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        bundle({"main": main_js, "one": one_js}, "main")


def test_spectra_of_run_directories(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    exact = run_of(
        tmp_path / "exact",
        {"hessian": rng.standard_normal(30), "gauss_newton": rng.random(30), "ranks": np.ones(3)},
        parameters=30,
        outputs=60,
    )
    nodes = {"hessian_nodes": np.array([2.0, 1.0]), "hessian_weights": np.array([0.25, 0.75])}
    estimated = run_of(tmp_path / "estimated", {**nodes, "hessian_eigenvalues": np.ones(2)})
    first, second = overlays([exact, estimated])
    assert first["ratio"] == 0.5
    assert set(first["spectra"]) == {"hessian", "gauss_newton"}
    assert first["spectra"]["hessian"]["values"] == sorted(first["spectra"]["hessian"]["values"])
    assert second["ratio"] is None
    assert second["spectra"]["hessian"] == {"values": [1.0, 2.0], "weights": [0.75, 0.25]}
    page = render([exact])
    assert page.count("</script>") == 2  # the title ends no element
    found = re.search(r'id="overlays">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    assert json.loads(found[1])[0]["label"] == "Curvature of a </script> network"


def test_large_spectra_are_thinned_and_keep_their_mean_and_ends() -> None:
    values = np.random.default_rng(1).standard_normal(20_000)
    record, short = thinned(values, None, 500)
    x, w = np.array(record["values"]), np.array(record["weights"])
    assert short
    assert x.size == 500
    assert w.sum() == values.size
    assert (w @ x) / w.sum() == pytest.approx(values.mean(), abs=1e-6)
    assert (np.diff(x) >= 0).all()
    assert x[:50] == pytest.approx(np.sort(values)[:50], rel=1e-5)
    assert x[-50:] == pytest.approx(np.sort(values)[-50:], rel=1e-5)
    assert thinned(values[:500], None, 500)[1] is False


def test_many_large_runs_make_a_page_below_the_limit(tmp_path: Path) -> None:
    values = np.random.default_rng(2).standard_normal(8000)
    runs = [
        run_of(tmp_path / str(k), dict.fromkeys(("hessian", "gauss_newton", "residual"), values))
        for k in range(4)
    ]
    assert len(render(runs).encode()) < MOST_BYTES


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"ranks": np.ones(3)}, "holds no spectrum"),
        ({"hessian": np.array([1.0, np.nan])}, "infinities or NaN"),
        ({"hessian": np.ones((2, 2))}, "a list of numbers is required"),
        ({"hessian": np.empty(0)}, "a list of numbers is required"),
        ({"hessian_nodes": np.ones(2)}, "cannot be read"),
    ],
)
def test_runs_without_a_spectrum_are_refused(
    tmp_path: Path, arrays: dict[str, AnyArray], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        overlays([run_of(tmp_path / "run", arrays)])


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {"hessian": np.ones(2)})
    (run / "arrays" / "spectrum.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"^--overlay: .* cannot be read"):
        overlays([run])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = run_of(tmp_path / "run", {"hessian": np.arange(3.0)}), tmp_path / "page.html"
    assert main(["explore", "--out", str(out), "--overlay", str(run)]) == 0
    assert capsys.readouterr().out == f"page: {out}\n"
    assert out.read_text(encoding="utf-8") == render([run])
    assert main(["explore", "--out", str(tmp_path)]) == 2
    assert main(["explore", "--out", str(out), "--overlay", str(tmp_path / "gone")]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"error: --out: {tmp_path} is a directory")
    assert second.startswith(f"error: --overlay: {tmp_path / 'gone'} is not a directory")


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_page(tmp_path / "file" / "page.html")
