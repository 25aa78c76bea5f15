"""Every public result draws itself, gives a table, shows itself in a notebook and can be stored."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch import nn

import hessium as hs
from hessium._display import Displayable, Plottable
from hessium.errors import InputError
from hessium.figures.views import view_of
from hessium.spectra import Band, Integral
from support.risk_cases import draw

LAW = hs.theory.MarchenkoPastur(ratio=0.5)


@functools.cache
def risk() -> hs.EmpiricalRisk:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    return hs.EmpiricalRisk(
        model, hs.SquaredError(scale=0.5, reduction="mean"), (draw(30, 3), draw(30, 2, seed=1))
    )


@functools.cache
def sample() -> hs.Spectrum:
    rng = np.random.default_rng(0)
    factor = rng.standard_normal((100, 200))
    return hs.Spectrum.of(np.append(np.linalg.eigvalsh(factor @ factor.T / 200)[:-1], 6.0))


def _linearization() -> Any:
    return hs.Linearization(risk()).error(risk().theta * 1.1)


def shared(name: str) -> Any:
    """The result of another entry, made once."""
    return made(name)


RESULTS: dict[str, Callable[[], Any]] = {
    "Spectrum": lambda: hs.spectrum(hs.Hessian(risk())),
    "estimated Spectrum": lambda: hs.spectral_measure(hs.Hessian(risk()), 3, 10, deflate=2),
    "DiscreteMeasure": lambda: hs.DiscreteMeasure(nodes=np.arange(2.0), weights=np.full(2, 0.5)),
    "Band": lambda: sample().cdf_band([0.0, 1.0, 2.0]),
    "Integral": lambda: sample().integral(np.square),
    "Bracket": lambda: hs.Bracket(value=1.0, lower=0.5, upper=2.0, confidence=0.95),
    "Count": lambda: hs.rank(hs.GaussNewton(risk())),
    "Inertia": lambda: hs.inertia(hs.Hessian(risk())),
    "RankProfile": lambda: hs.rank_profile(hs.GaussNewton(risk())),
    "Eigenpairs": lambda: hs.eigenpairs(hs.Hessian(risk()), 4, which="BE"),
    "Estimate": lambda: hs.trace(hs.Hessian(risk()), 12),
    "NormEstimate": lambda: hs.frobenius_norm(hs.Hessian(risk()), 12),
    "DiagonalEstimate": lambda: hs.diagonal(hs.Hessian(risk()), 12),
    "SpectralSum": lambda: hs.effective_dimension(hs.GaussNewton(risk()), 0.1),
    "Solution": lambda: hs.solve(hs.GaussNewton(risk()), risk().gradient(), shift=0.1),
    "LinearizationError": _linearization,
    "LinearizationPath": lambda: hs.Linearization(risk()).along(risk().theta * 1.1, steps=4),
    "Distance": lambda: hs.compare.distance(sample(), LAW),
    "SpectraDistance": lambda: hs.compare.distance(sample(), hs.spectrum(hs.Hessian(risk()))),
    "Cumulants": lambda: hs.compare.cumulants(sample()),
    "Fit": lambda: hs.compare.fit(sample(), "marchenko-pastur"),
    "Outliers": lambda: hs.compare.outliers(sample(), LAW),
    "LevelStatistics": lambda: hs.compare.levels(sample()),
    "Ranks": lambda: hs.compare.ranks(risk()),
    "Symmetries": lambda: hs.compare.symmetries(risk()),
    "Assumptions": lambda: shared("Audit").assumptions,
    "Freeness": lambda: hs.compare.freeness(
        hs.GaussNewton(risk()), hs.ResidualHessian(risk()), rotations=20, rng=0
    ),
    "MixedMoment": lambda: hs.compare.mixed_moments(
        hs.GaussNewton(risk()), hs.ResidualHessian(risk()), probes=8, rng=0
    )[0],
    "TermCurvature": lambda: hs.compare.terms(hs.SumRisk({"data": risk(), "again": risk()})),
    "Normality": lambda: hs.compare.normality(sample().nodes),
    "CriticalPoint": lambda: hs.find_critical_point(risk(), start=risk().theta, ridge=0.1, rng=0),
    "LossSlice": lambda: hs.loss_slice(risk(), "random", num=7),
    "LossSlice on a line": lambda: hs.loss_slice(risk(), "gradient", num=7),
    "LossPath": lambda: hs.loss_path(risk(), [risk().theta, 2 * risk().theta], num=5),
    "Profile": lambda: hs.profile(risk()),
    "LayerProfile": lambda: next(iter(shared("Profile").layers.values())),
    "Audit": lambda: hs.audit(risk(), alpha=0.2, rotations=4),
    "Identification": lambda: hs.identify(
        risk(), noise=0.1, prior_precision=1.0, k=1, refits=1, budget=3
    ),
    "CheckpointSeries": lambda: hs.track(lambda path: risk(), [__file__], threshold=2.0),
    "Certificate": lambda: shared("CriticalPoint").certificate,
}
LAWS: dict[str, Callable[[], Any]] = {
    "MarchenkoPastur": lambda: hs.theory.MarchenkoPastur(ratio=2.0),
    "Empirical": lambda: hs.theory.Empirical([1.0, 2.0, 2.0]),
    "free sum": lambda: hs.theory.free_sum(LAW, hs.theory.Semicircle(variance=0.2)),
    "TracyWidom": hs.theory.TracyWidom,
    "SoftEdge": lambda: hs.theory.soft_edge(LAW, 100),
    "SpacingRatio": lambda: hs.theory.SpacingRatio("goe"),
    "Sensitivity": lambda: hs.theory.sensitivity("ratio", 0.1, 0.5),
}


@functools.cache
def made(name: str) -> Any:
    return (RESULTS | LAWS)[name]()


def test_every_public_result_is_here() -> None:
    rooms = (hs, hs.compare, hs.theory)
    public = {
        kind.__name__
        for room in rooms
        for kind in (getattr(room, name) for name in dir(room))
        if inspect.isclass(kind) and issubclass(kind, Displayable) and not inspect.isabstract(kind)
    }
    assert len(public) >= 24
    assert public <= {type(made(name)).__name__ for name in RESULTS}
    assert all(isinstance(made(name), Plottable) for name in LAWS)


@pytest.mark.parametrize("name", RESULTS | LAWS)
def test_it_draws_on_given_axes_and_changes_nothing_else(name: str) -> None:
    settings, figures = dict(mpl.rcParams), plt.get_fignums()
    axes = Figure().add_subplot()
    assert made(name).plot(axes) is axes
    assert axes.lines or axes.collections or axes.containers
    assert axes.get_title()
    assert dict(mpl.rcParams) == settings
    assert plt.get_fignums() == figures


@pytest.mark.sampled
@pytest.mark.parametrize("name", RESULTS | LAWS)
def test_notebooks_show_words_and_a_figure(name: str) -> None:
    html = made(name)._repr_html_()
    assert "<svg" in html
    assert "<script" not in html


@pytest.mark.parametrize("name", RESULTS)
def test_numbers_are_columns_of_a_data_frame(name: str) -> None:
    frame = made(name).to_dataframe()
    assert len(frame) >= 1
    assert frame.shape[1] >= 1
    kinds = [column.dtype.kind for _, column in frame.items()]
    assert any(kind in "fiub" for kind in kinds)
    if dataclasses.is_dataclass(made(name)) and hasattr(made(name), "value"):
        assert "value" in frame.columns


def test_tables_lose_no_part_of_a_result() -> None:
    estimated = made("estimated Spectrum").to_dataframe()
    assert list(estimated.columns) == ["nodes", "weights"]
    assert estimated["weights"].sum() == pytest.approx(1)
    fit = made("Fit").to_dataframe()
    assert {"ratio.value", "ratio.low", "p_value"} <= set(fit.columns)
    both = hs.Spectrum.of(np.concatenate([[-9.0], sample().nodes]))
    found = hs.compare.outliers(both, LAW).to_dataframe()
    assert sorted(set(found["part"])) == ["above", "below"]
    assert "kolmogorov" in made("Distance").to_dataframe()
    assert "loss" in made("CriticalPoint").to_dataframe()


def test_results_on_one_axes_share_a_scale_and_a_legend() -> None:
    axes = Figure().add_subplot()
    rng = np.random.default_rng(0)
    small, large = (hs.Spectrum.of(size * rng.standard_normal(200)) for size in (1.0, 100.0))
    small.plot(axes, label="A")
    width = axes.xaxis.get_transform().linear_width  # type: ignore[attr-defined]
    large.plot(axes, label="B")
    assert axes.xaxis.get_transform().linear_width == width  # type: ignore[attr-defined]
    legend = axes.get_legend()
    assert legend is not None
    words = [text.get_text() for text in legend.get_texts()]
    assert any(word.startswith("A") for word in words)
    assert any(word.startswith("B") for word in words)
    curves = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert curves[0].get_color() != curves[-1].get_color()


def test_short_names_of_matplotlib_and_bad_options() -> None:
    axes = Figure().add_subplot()
    sample().plot(axes, c="red", ls="--")
    assert axes.lines[0].get_color() == "red"
    for wrong in ({"linear": 0.0}, {"width": -1.0}):
        with pytest.raises(InputError):
            sample().plot(axes, **wrong)
    sample().plot(axes, width=100.0)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if dataclasses.is_dataclass(one) and not isinstance(one, type):
        fields = [field.name for field in dataclasses.fields(one)]
        return type(one) is type(other) and all(
            same(getattr(one, field), getattr(other, field)) for field in fields
        )
    return bool(one == other or (one != one and other != other))


@pytest.mark.parametrize("name", RESULTS)
def test_what_is_saved_is_loaded_to_the_last_bit(name: str, tmp_path: Path) -> None:
    path = tmp_path / "result without a suffix"
    hs.save(made(name), path)
    found = hs.load(path)
    assert same(made(name), found)
    assert repr(found) == repr(made(name))


def test_options_reach_the_view_and_matplotlib() -> None:
    axes = Figure().add_subplot()
    sample().plot(axes, law=LAW, label="H0", color="black")
    assert axes.lines[0].get_color() == "black"
    legend = axes.get_legend()
    assert legend is not None
    assert "law" in legend.get_texts()[-1].get_text()


def test_axes_without_a_figure_of_their_own_are_new() -> None:
    before = plt.get_fignums()
    axes = sample().plot()
    assert plt.get_fignums() != before
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    plt.close(figure)


def test_colours_suit_a_dark_background() -> None:
    figure = Figure(facecolor="black")
    dark, light = figure.add_subplot(facecolor="black"), Figure().add_subplot()
    for axes in (dark, light):
        sample().plot(axes)
    assert dark.lines[0].get_color() != light.lines[0].get_color()


def test_outliers_of_an_exact_spectrum_are_marked() -> None:
    axes = Figure().add_subplot()
    sample().plot(axes)
    marked = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert [list(np.asarray(line.get_xdata())) for line in marked] == [[6.0]]


@pytest.mark.parametrize(
    "content", [b"", b"no archive", b"PK\x03\x04 damaged"], ids=["empty", "text", "damaged"]
)
def test_files_that_hold_no_result_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InputError, match="path"):
        hs.load(path)


def test_no_file_and_no_result() -> None:
    with pytest.raises(InputError, match="does not exist"):
        hs.load("nowhere")
    with pytest.raises(InputError, match="result"):
        hs.save(3, "nowhere")
    with pytest.raises(InputError, match="result"):
        hs.save(nn.Linear(1, 1), "nowhere")


def test_a_file_names_results_only(tmp_path: Path) -> None:
    """A stranger's file cannot make another object than a result of hessium."""
    path = tmp_path / "file"
    hs.save(sample(), path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    text = members["document.json"].decode()
    for wrong in (
        "estimate.trace",
        "problem.EmpiricalRisk",
        "spectra.__builtins__",
        "os.system",
        "spectra.Measure.",
    ):
        other = text.replace("spectra.Spectrum", wrong, 1).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in (members | {"document.json": other}).items():
                archive.writestr(name, content)
        with pytest.raises(InputError, match="path"):
            hs.load(path)


def test_kinds_that_are_not_top_level_names() -> None:
    assert isinstance(made("Band"), Band)
    assert isinstance(made("Integral"), Integral)


def test_a_fit_draws_its_eigenvalues_as_a_density() -> None:
    values = np.append(np.linalg.eigvalsh(hs.theory.goe(400, rng=0)), [8.0, 9.0])
    found = hs.compare.fit(values, "semicircle")
    chart = view_of(found)(found)
    bars, law, outliers = chart.series
    assert bars.y[:-1] @ np.diff(bars.x) == pytest.approx(400 / 402)
    # walls at both ends
    assert (bars.y[0], bars.y[-1], bars.x[0]) == (0.0, 0.0, bars.x[1])
    assert outliers.x.tolist() == pytest.approx([8.0, 9.0])
    # bars of 20 eigenvalues are rigid: they follow the law to a few per cent
    middle = 0.5 * (bars.x[1:] + bars.x[:-1])
    assert np.abs(np.interp(middle, law.x, law.y) - bars.y[:-1]).mean() < 0.1 * law.y.max()
