import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hessium.errors import InputError
from hessium.runs.result_store import CorruptTaskWarning, Store
from hessium.runs.runner import run
from support.toy_experiment import ToyConfig, toy


def test_a_second_run_reuses_and_force_recomputes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    experiment, store = toy(log=str(log)), Store(tmp_path / "tasks")
    config = experiment.config("quick")
    seen: list[tuple[int, int, str]] = []
    first = run(experiment, config, store, progress=lambda *step: seen.append(step))
    assert (first.computed, first.reused) == (6, 0)
    assert seen == [(i, 6, "toy") for i in range(7)]
    second = run(experiment, config, store)
    assert (second.computed, second.reused) == (0, 6)
    assert second.seconds == first.seconds
    assert len(log.read_text().splitlines()) == 6
    run(experiment, config, store, force=True)
    assert len(log.read_text().splitlines()) == 12


def test_only_what_is_new_or_damaged_is_computed(tmp_path: Path) -> None:
    experiment, store = toy(), Store(tmp_path)
    run(experiment, ToyConfig(sizes=(10,), seeds=(0, 1)), store)
    more = run(experiment, ToyConfig(sizes=(10,), seeds=(0, 1, 2)), store)
    assert (more.computed, more.reused) == (1, 2)
    next(iter(sorted(tmp_path.iterdir()))).write_bytes(b"broken")
    with pytest.warns(CorruptTaskWarning):
        again = run(experiment, ToyConfig(sizes=(10,), seeds=(0, 1, 2)), store)
    assert (again.computed, again.reused) == (1, 2)
    assert [r["largest"] for r in again.results] == [r["largest"] for r in more.results]


def test_workers_give_the_same_numbers_on_one_thread_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = toy()
    config = experiment.config("quick")
    threads = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # so that workers would start with two
    torch.set_num_threads(2)
    try:
        alone = run(experiment, config, Store(tmp_path / "alone"))
        together = run(experiment, config, Store(tmp_path / "together"), workers=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert os.environ["OMP_NUM_THREADS"] == "2"
    for a, b in zip(alone.results, together.results, strict=True):
        np.testing.assert_array_equal(a["eigenvalues"], b["eigenvalues"])
        assert a["threads"] == b["threads"] == 1


@pytest.mark.parametrize("workers", [0, -1, True])
def test_workers_must_be_positive(tmp_path: Path, workers: int) -> None:
    experiment = toy()
    with pytest.raises(InputError, match="workers"):
        run(experiment, experiment.config("quick"), Store(tmp_path), workers=workers)


@pytest.mark.parametrize("workers", [10_000, 10**20])
def test_more_workers_than_cores_can_carry_are_refused(tmp_path: Path, workers: int) -> None:
    experiment = toy()
    with pytest.raises(InputError, match=rf"workers: {workers}; .* cores"):
        run(experiment, experiment.config("quick"), Store(tmp_path), workers=workers)
    assert list(tmp_path.iterdir()) == []


def test_a_worker_watches_its_parent_before_it_imports_torch() -> None:
    """A run that is killed while its workers start must not wait for their imports."""
    script = """
import sys
from hessium._workers import start_worker
start_worker()
assert "torch" not in sys.modules
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
