"""A real local cluster of two worker processes, one of which is killed half way."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hessium.cli.cluster import executor_at
from hessium.errors import InputError
from hessium.runs.result_store import Store
from hessium.runs.runner import run
from support.toy_experiment import ToyConfig, toy


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    distributed: Any = pytest.importorskip("distributed")
    experiment = toy(pause=0.2)
    config = ToyConfig(sizes=tuple(range(4, 14)), seeds=(0, 1), pause=0.2)
    done: list[Mapping[str, Any]] = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        processes = [worker.pid for worker in cluster.workers.values()]

        def kill() -> None:
            while len(done) < 5:
                time.sleep(0.01)
            os.kill(processes[0], signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        with executor_at(cluster.scheduler_address) as executor:
            outcome = run(
                experiment, config, Store(tmp_path / "dask"), executor=executor, seen=done.append
            )
        killer.join()
    assert outcome.computed == 20
    alone = run(experiment, config, Store(tmp_path / "alone"))
    for ours, theirs in zip(outcome.results, alone.results, strict=True):
        np.testing.assert_array_equal(ours["eigenvalues"], theirs["eigenvalues"])
    assert len(list(Store(tmp_path / "dask").rows())) == 20


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(InputError, match="--dask: "),
        executor_at("tcp://127.0.0.1:9") as executor,
    ):
        assert executor is None
