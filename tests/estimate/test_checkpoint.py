"""Work that is killed goes on: real processes, killed at moments they do not choose."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import hessium as hs
from hessium.errors import InputError
from hessium.estimate.checkpoint import Checkpoint
from hessium.linalg import SymmetricOperator, as_operator
from support.chosen_spectra import with_eigenvalues
from support.risk_cases import classes, draw, mlp, seeded

WORKER = """
import os, sys, numpy as np, torch, hessium as hs
work, folder, out = sys.argv[1:]
n = 400
d = torch.linspace(-0.2, 1, n, dtype=torch.float64) ** 3

class Slow:
    shape, dtype, device = (n, n), torch.float64, torch.device("cpu")
    def __matmul__(self, x):
        print("product", flush=True)
        return d[:, None] * x if x.dim() == 2 else d * x

options = {"checkpoint": folder, "checkpoint_every": 0.0}
if work == "eigenpairs":
    found = hs.eigenpairs(Slow(), 3, tol=1e-8, max_bytes=40 * 8 * n, **options)
    numbers = np.concatenate([found.values, found.vectors.numpy().ravel()])
else:
    until = 0.05 if work == "until" else None
    found = hs.spectral_measure(Slow(), 3, 60, deflate=2, until=until, **options)
    numbers = np.concatenate([found.nodes, found.weights])
np.save(out + ".part.npy", np.append(numbers, found.num_matvecs))
os.replace(out + ".part.npy", out)
"""


def start(work: str, folder: Path, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, work, str(folder), str(out)],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("work", ["eigenpairs", "measure", "until"])
def test_killed_work_ends_as_if_undisturbed(work: str, tmp_path: Path) -> None:
    calm = start(work, tmp_path / "calm", tmp_path / "calm.npy")
    assert calm.communicate()[0].count("product") > 60
    rng = np.random.default_rng(3)
    kills = 0
    while not (tmp_path / "rough.npy").exists():
        with start(work, tmp_path / "rough", tmp_path / "rough.npy") as process:
            assert process.stdout is not None
            for _ in range(int(rng.integers(15, 45))):
                process.stdout.readline()
            time.sleep(float(rng.uniform(0, 0.01)))  # in the middle of a product, or of a state
            process.kill()
        kills += 1
        assert kills < 50
        # whatever the moment, what is there is one whole state
        state = tmp_path / "rough" / "state.json"
        if state.exists():
            for name in json.loads(state.read_text())["files"]:
                load_file(state.parent / name)
    assert kills > 2
    np.testing.assert_array_equal(np.load(tmp_path / "calm.npy"), np.load(tmp_path / "rough.npy"))


def matrix(seed: int = 0) -> torch.Tensor:
    half = torch.randn(60, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return half + half.mT


class StoppedError(RuntimeError):
    """What ends the work at a product."""


class Stopping(SymmetricOperator):
    """A matrix whose products call `before` first, and which likes blocks of `columns`."""

    def __init__(self, matrix: Tensor, columns: int = 1) -> None:
        self.matrix, self.columns = matrix, columns
        self.calls = 0
        self.before: Callable[[int], None] = lambda calls: None

    shape = property(lambda self: tuple(self.matrix.shape))
    dtype = property(lambda self: self.matrix.dtype)
    device = property(lambda self: self.matrix.device)
    preferred_columns = property(lambda self: self.columns)

    def _matmat(self, block: Tensor) -> Tensor:
        self.before(self.calls)
        self.calls += 1
        return self.matrix @ block

    def stop_at(self, call: int) -> None:
        """Raise in the place of that product, counted from now."""
        last = self.calls + call

        def stop(calls: int) -> None:
            if calls == last:
                raise StoppedError

        self.before = stop


WIGNER = draw(90, 90, seed=5)
WIGNER = (WIGNER + WIGNER.mT) / 2
LOW_RANK = with_eigenvalues(np.concatenate([np.linspace(-3, 4, 12), np.zeros(78)]))


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("matrix_", "k", "options"),
    [
        (WIGNER, 6, {"which": "BE"}),
        pytest.param(WIGNER, 5, {"which": "LA"}, marks=pytest.mark.slow),
        pytest.param(WIGNER, 4, {"which": "SA", "tol": 1e-3}, marks=pytest.mark.slow),
        pytest.param(WIGNER, 4, {"which": "LM"}, marks=pytest.mark.slow),
        (WIGNER, 4, {"which": "LM", "max_bytes": 26 * 8 * 90}),  # restarts often
        pytest.param(WIGNER, 4, {"which": "BE", "block": 3}, marks=pytest.mark.slow),
        (WIGNER.float(), 3, {"which": "LA", "block": 2}),
        (LOW_RANK, 6, {"which": "LM"}),  # an invariant space: directions are drawn anew
        pytest.param(LOW_RANK, 14, {"which": "LM", "block": 2}, marks=pytest.mark.slow),
        (WIGNER, 3, {"which": "LA", "max_products": 21}),  # gives up
    ],
)
@pytest.mark.filterwarnings("ignore::hessium.errors.ConvergenceWarning")
def test_eigenpairs_stopped_after_any_product_end_as_if_undisturbed(
    matrix_: Tensor, k: int, options: dict[str, Any], tmp_path: Path
) -> None:
    def call(operator: SymmetricOperator, folder: Path, every: float) -> tuple[Any, ...]:
        found = hs.eigenpairs(
            operator, k, rng=3, checkpoint=folder, checkpoint_every=every, **options
        )
        vectors = found.vectors.numpy().tobytes()
        return found.values.tobytes(), found.residuals.tobytes(), vectors, found.num_matvecs

    # the folder as it is in the middle of each product
    whole = Stopping(matrix_)
    whole.before = lambda calls: void(
        calls and shutil.copytree(tmp_path / "whole", tmp_path / str(calls))
    )
    expected = call(whole, tmp_path / "whole", 0.0)
    assert whole.calls > 8
    for calls in range(1, whole.calls):
        assert call(Stopping(matrix_), tmp_path / str(calls), 1e9) == expected, calls


def void(_: object) -> None:
    """For callbacks."""


LOW = np.append(np.geomspace(1e-6, 1, 30), np.zeros(30))


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("values", "dtype", "seed", "options"),
    [
        (LOW, torch.float32, 9, {}),  # 29, 27, 29 and 26 steps until no direction is left
        (LOW, torch.float32, 3, {}),
        (LOW, torch.float32, 8, {"deflate": 3}),
        (LOW, torch.float32, 9, {"probes": 6}),
        (np.repeat([-1.0, 0.0, 0.5, 2.0, 3.0], 16), torch.float64, 0, {"steps": 20}),
        (np.linspace(-1, 1, 70) ** 3, torch.float64, 0, {"until": 0.08, "steps": 20}),
        pytest.param(
            np.append(np.linspace(-1, 4, 50), np.zeros(20)),
            torch.float64,
            1,
            {"until": 0.06},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_measure_stopped_twice_ends_as_if_undisturbed(
    values: np.ndarray, dtype: torch.dtype, seed: int, options: dict[str, Any], tmp_path: Path
) -> None:
    """Blocks of four probes, of which some end before the others."""
    matrix_ = with_eigenvalues(values).to(dtype)
    options = {"probes": 4, "steps": 40, **options}

    def call(operator: Stopping, folder: Path, every: float) -> tuple[Any, ...]:
        found = hs.spectral_measure(
            operator, rng=seed, checkpoint=folder, checkpoint_every=every, **options
        )
        lengths = tuple(rule.diagonal.size for rule in found.rules)
        return found.nodes.tobytes(), found.weights.tobytes(), found.num_matvecs, lengths

    expected = call(whole := Stopping(matrix_, 4), tmp_path / "whole", 1e9)
    rng = np.random.default_rng(7)
    late = np.arange(max(2, whole.calls - 6), whole.calls)
    firsts = {*late.tolist(), *rng.integers(2, whole.calls, size=4).tolist()}
    if "until" in options:  # the search for the number of steps looks at every twentieth
        firsts |= {21, 22, 41, 42}
    # the folder as it is in the middle of some products
    watched = Stopping(matrix_, 4)
    watched.before = lambda calls: void(
        calls in firsts and shutil.copytree(tmp_path / "watched", tmp_path / str(calls))
    )
    assert call(watched, tmp_path / "watched", 0.0) == expected
    for first in firsts:
        broken = Stopping(matrix_, 4)
        broken.stop_at(int(rng.integers(1, 6)))
        with contextlib.suppress(StoppedError):
            call(broken, tmp_path / str(first), 0.0)
        assert call(Stopping(matrix_, 4), tmp_path / str(first), 1e9) == expected, first


@pytest.mark.parametrize("work", ["eigenpairs", "measure"])
def test_a_state_that_did_not_fit_on_the_disk_leaves_no_gap(
    work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(operator: SymmetricOperator, folder: Path) -> tuple[bytes, int]:
        options: dict[str, Any] = {"checkpoint": folder, "checkpoint_every": 0.0}
        if work == "eigenpairs":
            pairs = hs.eigenpairs(operator, 4, **options)
            return pairs.values.tobytes(), pairs.num_matvecs
        measure = hs.spectral_measure(operator, 3, 30, **options)
        return measure.nodes.tobytes(), measure.num_matvecs

    expected = call(Stopping(WIGNER), tmp_path / "whole")
    written = 0

    def sometimes_full(tensors: dict[str, Tensor], path: Path) -> None:
        nonlocal written
        written += 1
        if 8 < written < 12:
            raise OSError(28, "No space left on device")
        save_file(tensors, path)

    monkeypatch.setattr("hessium.estimate.checkpoint.save_file", sometimes_full)
    broken = Stopping(WIGNER)
    broken.stop_at(16)
    with pytest.raises(StoppedError):
        call(broken, tmp_path / "full")
    assert written > 12
    assert call(Stopping(WIGNER), tmp_path / "full") == expected


@pytest.mark.parametrize("work", ["eigenpairs", "measure"])
def test_a_state_with_missing_vectors_is_refused(work: str, tmp_path: Path) -> None:
    broken = Stopping(WIGNER)
    broken.stop_at(16)
    run: Callable[[Stopping], object] = (
        (lambda op: hs.eigenpairs(op, 4, checkpoint=tmp_path, checkpoint_every=0.0))
        if work == "eigenpairs"
        else (lambda op: hs.spectral_measure(op, checkpoint=tmp_path, checkpoint_every=0.0))
    )
    with pytest.raises(StoppedError):
        run(broken)
    state = json.loads((tmp_path / "state.json").read_text())
    del state["files"][5]
    (tmp_path / "state.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match="vectors of a basis"):
        run(Stopping(WIGNER))


def test_finished_work_is_not_done_again(tmp_path: Path) -> None:
    first = hs.eigenpairs(matrix(), 4, checkpoint=tmp_path)
    before = (tmp_path / "state.json").read_bytes()
    again = hs.eigenpairs(matrix(), 4, checkpoint=tmp_path)
    assert torch.equal(first.vectors, again.vectors)
    assert json.loads(before)["numbers"]["num_matvecs"] == first.num_matvecs - 1


@pytest.mark.parametrize(
    ("options", "seed", "word"),
    [
        ({"k": 5}, 0, "k: 4, here 5"),
        ({"which": "SA"}, 0, "which"),
        ({"rng": 9}, 0, "start"),
        ({}, 1, "another operator"),
    ],
)
def test_other_work_is_refused(
    options: dict[str, object], seed: int, word: str, tmp_path: Path
) -> None:
    hs.eigenpairs(matrix(), 4, checkpoint=tmp_path)
    with pytest.raises(InputError, match=word):
        hs.eigenpairs(matrix(seed), **({"k": 4, "checkpoint": tmp_path} | options))  # type: ignore[arg-type]


def test_the_operator_is_recognised_by_more_than_a_norm(tmp_path: Path) -> None:
    hs.spectral_measure(matrix(), 2, 9, checkpoint=tmp_path)
    with pytest.raises(InputError, match="another operator"):
        hs.spectral_measure(-matrix(), 2, 9, checkpoint=tmp_path)
    nudged = matrix()
    nudged[3, 3] += 1e-6
    with pytest.raises(InputError, match="another operator"):
        hs.spectral_measure(nudged, 2, 9, checkpoint=tmp_path)


def test_parameters_are_recognised_to_the_last_bit(tmp_path: Path) -> None:
    model = seeded(mlp(6, 8, 4))
    risk = hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (draw(20, 6), classes(20, high=4)))
    hs.eigenpairs(hs.Hessian(risk), 2, checkpoint=tmp_path)
    hs.eigenpairs(hs.Hessian(risk.at(risk.theta)), 2, checkpoint=tmp_path)
    with pytest.raises(InputError, match="parameters differ"):
        hs.eigenpairs(hs.Hessian(risk.at(risk.theta * (1 + 1e-12))), 2, checkpoint=tmp_path)


def test_a_measure_knows_what_was_deflated(tmp_path: Path) -> None:
    pairs = hs.eigenpairs(matrix(), 3)
    hs.spectral_measure(matrix(), 2, 9, checkpoint=tmp_path)
    with pytest.raises(InputError, match="deflated"):
        hs.spectral_measure(matrix(), 2, 9, deflate=pairs, checkpoint=tmp_path)


def test_a_state_without_a_number_is_named(tmp_path: Path) -> None:
    hs.eigenpairs(matrix(), 4, checkpoint=tmp_path)
    state = json.loads((tmp_path / "state.json").read_text())
    del state["numbers"]["size"]
    (tmp_path / "state.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match="cannot be read"):
        hs.eigenpairs(matrix(), 4, checkpoint=tmp_path)
    with pytest.raises(InputError, match="checkpoint_every: -1"):
        hs.eigenpairs(matrix(), 4, checkpoint=tmp_path, checkpoint_every=-1)


def test_a_broken_state_is_named(tmp_path: Path) -> None:
    hs.eigenpairs(matrix(), 4, checkpoint=tmp_path)
    for file in tmp_path.glob("*.safetensors"):
        file.write_bytes(b"short")
    with pytest.raises(InputError, match="cannot be read"):
        hs.eigenpairs(matrix(), 4, checkpoint=tmp_path)


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        hs.eigenpairs(matrix(), 4, checkpoint=tmp_path / "file")


def test_a_full_disk_does_not_stop_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = Checkpoint(tmp_path, {"work": "test"}, as_operator(matrix()), 0.0)
    log.save({"step": 1}, {"v": torch.ones(3)}, append=False)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hessium.estimate.checkpoint.save_file", full)
    log.save({"step": 2}, {"v": torch.zeros(3)}, append=False)
    assert "No space left" in caplog.text
    found = Checkpoint(tmp_path, {"work": "test"}, as_operator(matrix()), 0.0).load()
    assert found is not None
    assert found[0]["step"] == 1
    assert torch.equal(found[1][0]["v"], torch.ones(3))


def test_states_come_at_intervals(tmp_path: Path) -> None:
    log = Checkpoint(tmp_path, {"work": "test"}, as_operator(matrix()), 0.2)
    assert not log.due
    time.sleep(0.25)
    assert log.due
    log.save({}, {"v": torch.ones(1)}, append=False)
    assert not log.due
    log.save({}, {"w": torch.ones(2)}, append=True)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    log.save({}, {}, append=False)
    assert not list(tmp_path.glob("*.safetensors"))
