"""`hessium theory` as its user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from hessium.cli import main
from hessium.cli.density import bars
from hessium.theory import Empirical, Semicircle, free_sum, hessian_law, wishart_wigner


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["theory", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_words(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "--ratio", "0.25", "--energy", "0.1")
    # the published figure: papers give the edges and the index of this case
    for words in ("[−0.225729, 2.50182]", "0.0539805", "0.0435095", "atoms            none"):
        assert words in out
    assert "this energy is above it" in out
    assert "0.0748327" in out
    assert max(len(line) for line in out.splitlines()) <= 80
    out = said(capsys, "--ratio", "2", "--energy", "0", "--activation", "relu", "--scale", "3")
    assert "0.5 at 0" in out
    assert "from ratio 1 on" in out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "--ratio", "0.25", "--energy", "0.1", "--json")
    assert out.count("\n") == 1
    found = json.loads(out)
    assert found["support"] == [list(wishart_wigner(0.1, 0.25).support())]
    assert found["index"] == pytest.approx(0.053980481, abs=1e-9)
    assert found["critical_energy"] == pytest.approx(0.0435095264, abs=1e-10)
    assert found["variance"] == pytest.approx(0.45)
    assert found["atoms"] == []
    assert 1.5 < found["small_index"] / found["index"] < 2.5  # far from the critical energy
    found = json.loads(said(capsys, "--ratio", "4", "--energy", "0", "--json"))
    assert found["atoms"] == [{"location": 0.0, "weight": 0.75}]
    assert found["small_index"] is found["index_coefficient"] is None
    assert found["critical_energy"] == 0


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str], activation: str) -> None:
    arguments = ["--ratio", "0.5", "--energy", "0.5", "--activation", activation, "--plot"]
    assert "figure: " in said(capsys, *arguments, str(tmp_path / "a.svg"))
    words = "".join(ElementTree.parse(tmp_path / "a.svg").getroot().itertext())
    assert "eigenvalue λ" in words
    assert "density ρ(λ)" in words
    assert "negative eigenvalues" in words
    json.loads(said(capsys, *arguments, str(tmp_path / "a.PNG"), "--json"))
    assert (tmp_path / "a.PNG").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ratio", "-1"], "--ratio: -1; a number > 0 is required"),
        (["--ratio", "0"], "--ratio: 0; a number > 0 is required"),
        (["--ratio", "many"], "--ratio: many; a number > 0 is required"),
        (["--energy", "-0.5"], "--energy: -0.5; a number >= 0 is required"),
        (["--energy", "nan"], "--energy: nan; a number >= 0"),
        (["--scale", "inf"], "--scale: inf; a number > 0"),
        (["--activation", "tanh"], "--activation: tanh; linear or relu is required"),
        (["--plot", "a.gif"], "--plot: a.gif; a file that ends in .svg or .png is required"),
        (["--plot", "/dev/null/a.svg"], "--plot: /dev/null/a.svg cannot be written"),
        (["--scale", "1e200"], "--ratio, --energy, --scale: 0.5, 0.5, 1e+200; too far apart"),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    # the last value of an option counts
    assert main(["theory", "--ratio", "0.5", "--energy", "0.5", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_no_usual_parameter_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for ratio in ("0.001", "0.3", "1", "2", "100"):
        for energy in ("0", "1e-8", "0.1", "10"):
            for model in ("linear", "relu"):
                arguments = ["--ratio", ratio, "--energy", energy, "--activation", model]
                out = said(capsys, *arguments)
                assert max(len(line) for line in out.splitlines()) <= 100
                assert "nan" not in out


def test_the_ends_of_a_narrow_support_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    for ratio in ("1e-8", "1e-14"):
        out = said(capsys, "--ratio", ratio, "--energy", "0").splitlines()
        half = 2 * float(ratio) ** 0.5
        for low, high in (out[-1].split(), out[3].removeprefix("support")[:-1].split(",")):
            assert float(low.strip(" [")) - 1 == pytest.approx(-half, rel=0.1)
            assert float(high) - 1 == pytest.approx(half, rel=0.1)  # the axis has 4 % of room


def test_an_atom_is_a_stem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def stems(ratio: str) -> tuple[str, list[tuple[str, ...]]]:
        path = tmp_path / f"{ratio}.svg"
        arguments = ["--energy", "0.01", "--activation", "relu", "--plot", str(path)]
        said(capsys, "--ratio", ratio, *arguments)
        root = ElementTree.parse(path).getroot()
        dashed = [p.get("d", "").split() for p in root.iter() if "dash" in p.get("style", "")]
        # from one point straight up to another
        return "".join(root.itertext()), [
            (d[2], d[5]) for d in dashed if len(d) == 6 and d[1] == d[4]
        ]

    words, found = stems("4")
    assert "an atom of 0.5 at 0" in words
    ((bottom, top),) = found
    assert float(bottom) - float(top) > 100  # points: most of the axes
    words, found = stems("1.5")
    assert "atom" not in words
    assert found == []


def test_bars_show_the_mass_and_fall_back_to_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = list(bars(hessian_law(0.1, 0.25)))
    assert all(len(line) <= 80 for line in lines)
    eighths = sum(" ▁▂▃▄▅▆▇█".index(c) for line in lines[:10] for c in line[12:])
    top = 80  # eighths in the tallest column
    x = np.linspace(*hessian_law(0.1, 0.25).support(), 1001)
    density = hessian_law(0.1, 0.25).pdf(x)
    assert eighths / top / 66 == pytest.approx(
        1 / (1.04 * (x[-1] - x[0]) * density.max()), rel=0.02
    )

    class Ascii:
        encoding = "ascii"

    atoms = free_sum(Empirical([-5.0, 5.0]), Semicircle(variance=0.1))
    monkeypatch.setattr("sys.stdout", Ascii())
    plain = list(bars(atoms))
    assert all(line.isascii() or "−" in line for line in plain)
    assert plain[0].count("#") == plain[0][:45].count("#") * 2  # two equal peaks


def test_fractions_and_the_critical_energy_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads(said(capsys, "--ratio", "1/4", "--json"))
    assert facts["ratio"] == 0.25
    assert facts["energy"] == facts["critical_energy"] == pytest.approx(0.0435095, abs=1e-7)
    assert "above 1" in said(capsys, "--ratio", "1/4", "--energy", "0.3")


def test_a_density_with_a_spike_is_drawn_on_a_log_axis(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--ratio", "2", "--energy", "0.01", "--activation", "relu", "--plot"]
    said(capsys, *arguments, str(tmp_path / "spike.svg"))
    words = "".join(ElementTree.parse(tmp_path / "spike.svg").getroot().itertext())
    assert "10⁻⁴" in words or "10−4" in words or "0.01" in words  # decades on the axis
    law = hessian_law(0.01, 2.0, "relu")
    low, high = law.support()
    assert float(law.pdf(np.linspace(low, high, 4001)).max()) * (high - low) > 10
