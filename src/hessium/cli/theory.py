"""`hessium theory`: the limit law of the Hessian at one ratio and energy."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hessium._files import write_atomically
from hessium._typing import FloatArray
from hessium.cli.density import bars
from hessium.cli.output import answer, result, say, wrote
from hessium.errors import InputError
from hessium.figures.formatting import digits, telling
from hessium.figures.records import Chart, Series
from hessium.theory import (
    LevyLaw,
    critical_energy,
    hessian_law,
    index,
    index_coefficient,
    small_index,
)

_NAMES = {"linear": "Wishart + Wigner law (no activation)", "relu": "law of a ReLU network"}
_SIGNIFICANT = 6
_PEAK = 25.0  # times the mean height: a density with such a peak is drawn on a log axis
_FLOOR = 1e-4  # of the mean height: the lowest value drawn there


def theory(options: argparse.Namespace) -> None:
    """Print support, atoms, moments, critical energy, index and a density; draw it if asked."""
    if options.plot is not None:
        _require_place(options.plot)
    try:
        if options.energy is None:
            options.energy = float(
                critical_energy(options.ratio, options.activation, options.scale)
            )
        law = hessian_law(options.energy, options.ratio, options.activation, options.scale)
        # overflow and underflow of extreme parameters show here, as one line and not as a NaN
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            facts = _facts(law, options)
    except (ArithmeticError, ValueError) as error:
        msg = (
            "--ratio, --energy, --scale: "
            + ", ".join(
                "critical" if value is None else f"{value:g}"
                for value in (options.ratio, options.energy, options.scale)
            )
            + "; too far apart, or from 1, for float64"
        )
        raise InputError(msg) from error
    if options.plot is not None:
        _write(options.plot, _chart(law, facts))
        facts["figure"] = str(options.plot)
    answer(facts)
    _print(law, facts)
    if options.plot is not None:
        say("")
        wrote(figure=options.plot)


def _facts(law: LevyLaw, options: argparse.Namespace) -> dict[str, Any]:
    ratio, energy, model, scale = (
        getattr(options, name) for name in ("ratio", "energy", "activation", "scale")
    )
    below = ratio < 1  # from one on there is no critical energy to expand about
    return {
        "ratio": ratio,
        "energy": energy,
        "activation": model,
        "scale": scale,
        "support": [list(interval) for interval in law.support_intervals()],
        "atoms": [{"location": x, "weight": w} for x, w in law.atoms.items()],
        "mean": law.mean(),
        "variance": law.var(),
        "critical_energy": float(critical_energy(ratio, model, scale)),
        "index": float(index(energy, ratio, model, scale)),
        "small_index": float(small_index(energy, ratio, model, scale)) if below else None,
        "index_coefficient": float(index_coefficient(ratio, model)) if below else None,
    }


def _number(value: float) -> str:
    return digits(value, _SIGNIFICANT)


def _print(law: LevyLaw, facts: Mapping[str, Any]) -> None:
    critical, energy = facts["critical_energy"], facts["energy"]
    atoms = ", ".join(f"{_number(a['weight'])} at {_number(a['location'])}" for a in facts["atoms"])
    support = " and ".join(
        f"[{digits(a, enough)}, {digits(b, enough)}]"
        for a, b in facts["support"]
        for enough in [telling(a, b, _SIGNIFICANT)]
    )
    if facts["small_index"] is None:
        small = "none: from ratio 1 on every energy makes negative eigenvalues"
    elif facts["small_index"] > 1:
        small = "no share at this energy: it is above 1"
    else:
        small = f"{_number(facts['small_index'])}   α₀ = {_number(facts['index_coefficient'])}"
    side = "above" if energy > critical else "below" if energy < critical else "at"
    lines = {
        "support": support,
        "atoms": atoms or "none",
        "mean": _number(facts["mean"]),
        "variance": _number(facts["variance"]),
        "critical energy": f"{_number(critical)}   this energy is {side} it",
        "index": f"{_number(facts['index'])}   share of negative eigenvalues, exact",
        "small-index law": f"{small}   near the critical energy only"
        if facts["small_index"]
        else small,
    }
    result(f"{_NAMES[facts['activation']]}, n → ∞")
    result(
        f"ratio {_number(facts['ratio'])}, energy {_number(energy)}, scale "
        f"{_number(facts['scale'])}\n"
    )
    for name, value in lines.items():
        result(f"{name:<16} {value}")
    say("\ndensity")
    for line in bars(law):
        say(line)


def _chart(law: LevyLaw, facts: Mapping[str, Any]) -> Chart:
    x, y = _curve(law)
    low, high = law.support()
    steep = float(y.max()) * (high - low) > _PEAK
    floor = _FLOOR / (high - low) if steep else 0.0
    y = np.maximum(y, floor)
    setting = ", ".join(f"{name} {digits(facts[name])}" for name in ("ratio", "energy", "scale"))
    everything = Series(
        label=f"{_NAMES[facts['activation']]}, {setting}",
        x=x,
        y=y,
        error="exact",
        source="theory",
        mark="line",
        hue=0,
    )
    series = [everything]
    if facts["index"] > 0:
        left = np.concatenate([x[x < 0], [0.0]])
        height = np.maximum(np.concatenate([y[x < 0], law.pdf([0.0])]), floor)
        series.append(
            Series(
                label=f"negative eigenvalues, a share of {digits(facts['index'])}",
                x=left,
                y=height,
                low=np.full_like(left, floor),
                high=height,
                error="exact",
                source="theory",
                mark="line",
                hue=1,
            )
        )
    series += [
        Series(
            label=f"an atom of {digits(atom['weight'])} at {digits(atom['location'])}",
            x=np.full(2, atom["location"]),
            y=np.array([floor, y.max()]),
            error="exact",
            source="theory",
            mark="line",
            hue=2,
        )
        for atom in facts["atoms"]
    ]
    return Chart(
        name="density",
        title=f"Limit law of the Hessian, {setting}",
        caption=f"Critical energy {digits(facts['critical_energy'], 6)}."
        + (f" Densities below {digits(floor, 2)} are drawn there." if steep else "")
        + (" The height of an atom means nothing." if facts["atoms"] else ""),
        x_label="eigenvalue λ",
        y_label="density ρ(λ)",
        y_scale="log" if steep else "linear",
        series=tuple(series),
    )


def _curve(law: LevyLaw) -> tuple[FloatArray, FloatArray]:
    """Points that are dense at every edge, in every interval."""
    share = 0.5 * (1 - np.cos(np.linspace(0, np.pi, 401)))
    x = np.concatenate([low + (high - low) * share for low, high in law.support_intervals()])
    return x, law.pdf(x)


def _require_place(path: Path) -> None:
    if not path.parent.is_dir():
        msg = f"--plot: {path} cannot be written ({path.parent} is not a directory; make it first)"
        raise InputError(msg)
    if path.is_dir():
        msg = f"--plot: {path} is a directory; a file is required"
        raise InputError(msg)


def _write(path: Path, chart: Chart) -> None:
    from hessium.plots import draw, to_png, to_svg  # half a second: only where it is used

    figure = draw(chart)
    is_svg = path.suffix.lower() == ".svg"
    content = to_svg(figure, chart, "density").encode() if is_svg else to_png(figure)
    try:
        write_atomically(path, content)
    except OSError as error:
        msg = f"--plot: {path} cannot be written ({error.strerror})"
        raise InputError(msg) from error
