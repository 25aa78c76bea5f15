"""Points of a slice: refined grids, states in a folder, worker processes, batches and buffers."""

from __future__ import annotations

import copy
import functools
import os
import signal
import sys
from concurrent.futures import BrokenExecutor
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.errors import ConvergenceWarning, InputError
from hessium.landscape.slices import slice_values
from hessium.landscape.slices.refinement import refined
from support.risk_cases import draw


class Narrow(nn.Module):
    """|w_0| / 10 smoothed over .02, and a parabola in w_1."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3, dtype=torch.float64))


def narrow(model: nn.Module) -> Tensor:
    w: Tensor = model.w  # type: ignore[assignment]
    return (w[0] ** 2 + 4e-4).sqrt() + w[1] ** 2 / 20 + w[2] ** 2


def made(samples: int = 40, scale: float = 1.0) -> hs.EmpiricalRisk:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x, y = scale * draw(samples, 4), torch.arange(samples) % 3
    return hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), [(x[:7], y[:7]), (x[7:], y[7:])])


def values_of(risk: hs.EmpiricalRisk, found: hs.LossSlice) -> np.ndarray[Any, Any]:
    """The same values one by one."""
    c = np.stack(np.meshgrid(*found.coordinates, indexing="ij"), axis=-1)
    moves = torch.from_numpy(c) @ found.directions.mT
    flat = [risk.at(risk.theta + d).value() for d in moves.reshape(-1, risk.dim)]
    return np.array(flat).reshape(found.values.shape)


def test_a_refined_slice_has_more_points_where_the_loss_bends() -> None:
    risk = hs.EmpiricalRisk.from_closure(Narrow(), narrow)
    columns = torch.eye(3, dtype=torch.float64)[:, :2]
    found = hs.loss_slice(risk, columns, num=9, refine=4)
    x, y = found.coordinates
    np.testing.assert_allclose(found.values, values_of(risk, found), rtol=1e-12)
    assert set(np.linspace(-1, 1, 9)) <= set(x)
    assert len(y) == 9  # the second direction is smooth
    fine = np.abs(x) <= 0.1
    assert np.diff(x[fine]).max() == pytest.approx(2 / 8 / 2**4)
    assert np.diff(x).max() == pytest.approx(2 / 8)
    # linear interpolation: as good as a grid that is fine everywhere, with a quarter of the points
    t = np.linspace(-1, 1, 4001)
    truth = np.sqrt(t**2 + 4e-4)
    error = np.abs(np.interp(t, x, np.sqrt(x**2 + 4e-4)) - truth).max()
    uniform = np.linspace(-1, 1, 8 * 2**4 + 1)
    assert error <= np.abs(np.interp(t, uniform, np.sqrt(uniform**2 + 4e-4)) - truth).max() * 1.01
    assert len(x) * 4 < len(uniform)


def test_all_intervals_of_a_parabola_are_halved_and_none_of_a_line() -> None:
    axis = np.linspace(-1, 1, 5)
    square = axis[:, None] ** 2 + 0 * axis
    assert [len(one) for one in refined((axis, axis), square, 1001)] == [9, 5]


def test_a_folder_keeps_directions_and_points_for_any_extent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    risk = made()
    first = hs.loss_slice(risk, "eigenvectors", extent=0.5, num=5, checkpoint=tmp_path)
    seen: list[int] = []
    evaluated = slice_values._evaluated

    def counted(*given: Any) -> Any:
        seen.append(len(given[-1]))
        return evaluated(*given)

    monkeypatch.setattr(slice_values, "_evaluated", counted)
    monkeypatch.setattr(
        "hessium.landscape.slices.directions.eigenpairs", lambda *_, **__: pytest.fail("again")
    )
    again = hs.loss_slice(risk, "eigenvectors", extent=0.5, num=5, checkpoint=tmp_path)
    assert seen == []
    np.testing.assert_array_equal(again.values, first.values)
    assert again.labels == first.labels
    finer = hs.loss_slice(risk, "eigenvectors", extent=0.5, num=9, checkpoint=tmp_path)
    assert seen == [81 - 25]
    np.testing.assert_array_equal(finer.values[::2, ::2], first.values)
    np.testing.assert_allclose(finer.values, values_of(risk, finer), rtol=1e-12)
    with pytest.raises(InputError, match="another computation"):
        hs.loss_slice(risk, "random", num=5, checkpoint=tmp_path)
    with pytest.raises(InputError, match="another operator"):
        hs.loss_slice(risk.at(2 * risk.theta), "eigenvectors", num=5, checkpoint=tmp_path)


def test_an_interrupted_slice_keeps_its_points(tmp_path: Path) -> None:
    risk = made()
    columns = draw(risk.dim, 2, seed=3)

    def stop(done: int, total: int, what: str) -> None:
        if done >= 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hs.loss_slice(risk, columns, num=7, checkpoint=tmp_path, progress=stop)
    steps: list[int] = []
    found = hs.loss_slice(
        risk, columns, num=7, checkpoint=tmp_path, progress=lambda done, *_: steps.append(done)
    )
    assert steps == [48, 49]
    np.testing.assert_allclose(found.values, values_of(risk, found), rtol=1e-12)


def test_what_a_worker_computes_and_what_it_refuses() -> None:
    risk, points = made(), draw(5, 2, seed=1).numpy()
    columns = draw(risk.dim, 2, seed=2)
    task = {"points": points}
    for source in (slice_values._Copy(risk), made):
        sent = slice_values._packed(risk, columns, 2**30, source)
        totals = slice_values._part({**task, "sent": sent})["totals"]
        expected = [risk.at(risk.theta + columns @ torch.from_numpy(p)).value() for p in points]
        np.testing.assert_allclose(totals.sum(axis=1) / risk.denominator, expected, rtol=1e-12)
    other = slice_values._packed(risk, columns, 2**30, functools.partial(made, scale=1.001))
    with pytest.raises(InputError, match="source: the loss summed over batch"):
        slice_values._part({**task, "sent": other})
    with pytest.raises(InputError, match="workers: the risk cannot be sent"):
        hs.loss_slice(risk, columns, num=5, workers=2, source=lambda: risk)
    with pytest.raises(InputError, match="workers"):
        hs.loss_slice(risk, columns, num=5, workers=0)


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one() -> None:
    risk = made()
    one = hs.loss_slice(risk, "random", num=11)
    two = hs.loss_slice(risk, "random", num=11, workers=2)
    np.testing.assert_allclose(two.values, one.values, rtol=1e-12)


@pytest.mark.parametrize("weights", [None, (1.0, 5.0, 0.2)])
def test_values_do_not_depend_on_unequal_batches(weights: tuple[float, ...] | None) -> None:
    """Class weights and ignored targets: the mean over the batches is another number."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x, y = draw(40, 4), torch.arange(40) % 3
    y[5:15] = -100
    given = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    loss = nn.CrossEntropyLoss(weight=given)
    whole = hs.EmpiricalRisk(model, loss, (x, y))
    split = hs.EmpiricalRisk(model, loss, [(x[:3], y[:3]), (x[3:20], y[3:20]), (x[20:], y[20:])])
    columns = draw(whole.dim, 2, seed=5)
    one, many = (hs.loss_slice(risk, columns, num=9).values for risk in (whole, split))
    np.testing.assert_allclose(many, one, rtol=1e-12)
    naive = np.mean([float(loss(model(a), b).detach()) for a, b in split.batches()])
    assert abs(naive / one[4, 4] - 1) > 0.005


def test_batch_normalisation_uses_the_stored_statistics_and_leaves_them() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2)).double()
    x, y = draw(30, 4), draw(30, 2, seed=1)
    model(x)  # fills the buffers
    risk = hs.EmpiricalRisk(model.eval(), nn.MSELoss(), (x, y))
    stored = {name: buffer.clone() for name, buffer in model.named_buffers()}
    found = hs.loss_slice(risk, "random", num=9, extent=1.0)
    theta = risk.theta + found.directions @ torch.tensor([0.5, -0.25], dtype=torch.float64)
    moved = copy.deepcopy(model)
    torch.nn.utils.vector_to_parameters(theta, moved.parameters())
    expected = float(nn.functional.mse_loss(moved(x), y).detach())
    assert found.values[6, 3] == pytest.approx(expected, rel=1e-12)
    assert all(torch.equal(buffer, stored[name]) for name, buffer in model.named_buffers())


def test_a_folder_of_another_seed_is_refused(tmp_path: Path) -> None:
    risk = made()
    first = hs.loss_slice(risk, "random", 0.5, 3, checkpoint=tmp_path / "s", rng=0)
    again = hs.loss_slice(risk, "random", 0.5, 3, checkpoint=tmp_path / "s", rng=0)
    assert torch.equal(first.directions, again.directions)
    with pytest.raises(InputError, match="seed"):
        hs.loss_slice(risk, "random", 0.5, 3, checkpoint=tmp_path / "s", rng=1)


@functools.cache
def interpolating(bits: bool = False) -> hs.EmpiricalRisk:
    """A float32 regression whose residuals are rounding; `bits`: as other kernels round it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    x = draw(40, 4).float()
    with torch.no_grad():
        y = model(x)
        y = y * (1 + torch.finfo(torch.float32).eps * torch.sign(draw(40, 3, seed=9).float()))
        if bits:
            y = y * (1 + torch.finfo(torch.float32).eps * torch.sign(draw(40, 3, seed=8).float()))
    return hs.EmpiricalRisk(model, nn.MSELoss(), [(x[:7], y[:7]), (x[7:], y[7:])])


def test_rounding_at_a_perfect_fit_is_no_other_risk_but_swapped_batches_are() -> None:
    risk, points = interpolating(), draw(3, 2, seed=1).numpy()
    columns = draw(risk.dim, 2, seed=2).float()
    assert risk.value() < 1e-12
    other = interpolating(bits=True)
    assert abs(other.value() - risk.value()) > 0.01 * risk.value()  # the losses have no digits
    sent = slice_values._packed(risk, columns, 2**30, functools.partial(interpolating, bits=True))
    slice_values._part({"points": points, "sent": sent})
    # the same sum of other batches
    far = made()
    (a, b), (c, d) = far.batches()
    swapped = hs.EmpiricalRisk(far.model, nn.CrossEntropyLoss(), [(c, d), (a, b)])
    assert swapped.value() == pytest.approx(far.value(), rel=1e-14)
    sent = slice_values._packed(far, draw(far.dim, 2), 2**30, slice_values._Copy(swapped))
    with pytest.raises(InputError, match=r"source: the loss summed over batch 1 of 2"):
        slice_values._part({"points": points, "sent": sent})


def test_a_refined_slice_ends_at_the_most_points_with_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    risk = hs.EmpiricalRisk.from_closure(Narrow(), narrow)
    line = torch.eye(3, dtype=torch.float64)[:, :1]
    with pytest.raises(InputError, match=r"refine: 1 with num = 502; .* num <= 501"):
        hs.loss_slice(risk, line, num=502, refine=1)
    monkeypatch.setattr(sys.modules["hessium.landscape.slices.loss_slice"], "_MOST", 21)
    free = hs.loss_slice(risk, line, num=9, refine=2)
    with pytest.warns(ConvergenceWarning, match="refine: ended at refinement 5 of 9"):
        found = hs.loss_slice(risk, line, num=9, refine=9)
    assert len(found.coordinates[0]) == 21
    assert set(free.coordinates[0]) <= set(found.coordinates[0])
    # where the loss bends most
    assert np.diff(found.coordinates[0]).min() == np.diff(found.coordinates[0])[9:11].min()


@pytest.mark.slow
def test_a_worker_that_is_killed_ends_the_slice_with_one_sentence_and_it_resumes(
    tmp_path: Path,
) -> None:
    """SIGKILL, as by the system when memory runs out."""
    risk = made()
    columns = draw(risk.dim, 2, seed=3)

    def kill(done: int, total: int, what: str) -> None:
        if 0 < done < total and (children := active_children()):
            os.kill(children[0].pid or 0, signal.SIGKILL)

    with pytest.raises(BrokenExecutor, match=r"^workers: a process ended .*checkpoint") as caught:
        hs.loss_slice(risk, columns, num=31, workers=2, checkpoint=tmp_path, progress=kill)
    assert "\n" not in str(caught.value)
    for child in active_children():  # the other one ends by itself
        child.join(30)
    assert not active_children()
    steps: list[int] = []
    found = hs.loss_slice(
        risk, columns, num=31, checkpoint=tmp_path, progress=lambda done, *_: steps.append(done)
    )
    assert steps[0] > 16  # some points are not computed again
    alone = hs.loss_slice(risk, columns, num=31)
    np.testing.assert_allclose(found.values, alone.values, rtol=1e-12)
