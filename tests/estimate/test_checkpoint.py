"""Work that is killed goes on: real processes, killed at moments they do not choose."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import hessium as hs
from cases import classes, draw, mlp, seeded
from hessium.errors import InputError
from hessium.estimate.checkpoint import Checkpoint
from hessium.linalg import as_operator

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


@pytest.mark.parametrize(
    "work",
    [
        "eigenpairs",
        pytest.param("measure", marks=pytest.mark.slow),
        pytest.param("until", marks=pytest.mark.slow),
    ],
)
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


@pytest.mark.parametrize("last", range(28, 40))
def test_work_interrupted_at_any_product_ends_as_if_undisturbed(last: int, tmp_path: Path) -> None:
    diagonal = torch.linspace(-0.2, 1, 400, dtype=torch.float64) ** 3
    options: Any = {"tol": 1e-8, "max_bytes": 40 * 8 * 400}  # restarts at the 34th product

    class Broken:
        shape, dtype, device = (400, 400), torch.float64, torch.device("cpu")
        left = last + 1  # one is a probe

        def __matmul__(self, block: torch.Tensor) -> torch.Tensor:
            self.left -= 1
            if self.left < 0:
                raise StoppedError
            return diagonal[:, None] * block if block.dim() == 2 else diagonal * block

    calm = Broken()
    calm.left = 10**6
    expected = hs.eigenpairs(calm, 3, **options)
    with pytest.raises(StoppedError):
        hs.eigenpairs(Broken(), 3, checkpoint=tmp_path, checkpoint_every=0.0, **options)
    found = hs.eigenpairs(calm, 3, checkpoint=tmp_path, checkpoint_every=0.0, **options)
    assert torch.equal(found.vectors, expected.vectors)
    assert found.num_matvecs == expected.num_matvecs


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
