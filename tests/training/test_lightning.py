"""The Lightning callback with the real package."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from support.late import late

lightning = late("lightning", "tensorboard")
pytestmark = pytest.mark.filterwarnings("ignore")

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > X[:, 1]).long()


def module() -> Any:
    class Classifier(lightning.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(
                nn.Linear(4, 8), nn.Dropout(0.1), nn.Tanh(), nn.BatchNorm1d(8), nn.Linear(8, 2)
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.net(x)
            return found

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), 0.01)

    return Classifier()


def callback(**options: Any) -> Any:
    from hessium.training.lightning import CurvatureMonitor

    return CurvatureMonitor(loss=nn.CrossEntropyLoss(), data=(X, Y), every=10, **options)


def fit(
    folder: Path, callbacks: list[Any], steps: int, *, shuffle: bool = True, **options: Any
) -> tuple[Any, Any]:
    lightning.seed_everything(0)
    ckpt_path, logger = options.pop("ckpt_path", None), options.pop("logger", False)
    trainer = lightning.Trainer(
        default_root_dir=folder, max_steps=steps, callbacks=callbacks, logger=logger,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
        log_every_n_steps=7, **{"enable_checkpointing": False, **options},
    )  # fmt: skip
    model = module()
    if not shuffle:
        model.net[1].p = 0.0  # the generator is not part of Lightning's checkpoints
    loader = DataLoader(TensorDataset(X, Y), 16, shuffle=shuffle)
    trainer.fit(model, loader, ckpt_path=ckpt_path)
    return model, trainer


@pytest.mark.parametrize("accumulated", [1, 2])
def test_training_is_the_same_and_records_come(tmp_path: Path, accumulated: int) -> None:
    options: dict[str, Any] = {"accumulate_grad_batches": accumulated}
    plain, _ = fit(tmp_path, [], 20, **options)
    curvature = callback()
    watched, trainer = fit(tmp_path, [curvature], 20, **options)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, watched.state_dict()[name]), name
    records = curvature.monitor.records
    assert [r.step for r in records] == [10, 20]
    assert trainer.callback_metrics["curvature/sharpness"] == pytest.approx(
        records[-1].sharpness.value
    )


Run = tuple[Path, Any, Any]


def logged(folder: Path, steps: int, *more: Any, **options: Any) -> Run:
    """A training with two loggers: folder, callback and trainer."""
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    curvature, loggers = callback(), [TensorBoardLogger(folder), CSVLogger(folder)]
    _, trainer = fit(folder, [curvature, *more], steps, logger=loggers, **options)
    return folder, curvature, trainer


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    from lightning.pytorch.callbacks import ModelCheckpoint

    folder = tmp_path_factory.mktemp("whole")
    saves = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=20, save_top_k=-1)
    return logged(folder, 40, saves, shuffle=False, enable_checkpointing=True)


NAMES = ("loss", "sharpness", "preconditioned_sharpness", "threshold")


def values(curvature: Any, name: str) -> Any:
    found = [getattr(r, name) for r in curvature.monitor.records]
    return pytest.approx([getattr(w, "value", w) for w in found], rel=1e-6)


def assert_events_are_the_records(run: Run, steps: int) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, curvature, trainer = run
    events = EventAccumulator(trainer.logger.log_dir, size_guidance={"scalars": 0})
    events.Reload()
    wanted = [r.step for r in curvature.monitor.records]
    assert wanted == list(range(10, steps + 1, 10))
    for name in NAMES:
        found = events.Scalars(f"curvature/{name}")
        assert [e.step for e in found] == wanted
        assert [e.value for e in found] == values(curvature, name)


def test_events_of_tensorboard_are_the_records(whole: Run) -> None:
    assert_events_are_the_records(whole, 40)


@pytest.mark.slow
def test_events_of_500_steps_are_the_records(tmp_path: Path) -> None:
    assert_events_are_the_records(logged(tmp_path, 500), 500)


def test_every_logger_of_the_trainer_gets_the_records(whole: Run) -> None:
    """The second one, which knows nothing of curvature, as Weights & Biases knows nothing."""
    _, curvature, trainer = whole
    path = Path(trainer.loggers[1].log_dir) / "metrics.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["curvature/sharpness"]]
    assert [int(row["step"]) for row in rows] == [10, 20, 30, 40]
    for name in NAMES:
        assert [float(row[f"curvature/{name}"]) for row in rows] == values(curvature, name)


def test_a_checkpoint_continues_the_records(whole: Run) -> None:
    folder, curvature, _ = whole
    again = callback()
    options: dict[str, Any] = {"shuffle": False, "enable_checkpointing": True}
    fit(folder, [again], 40, ckpt_path=folder / "step=20.ckpt", **options)
    assert [r.sharpness for r in again.monitor.records] == [
        r.sharpness for r in curvature.monitor.records
    ]


def test_a_checkpoint_without_a_monitor_tells_the_step(tmp_path: Path) -> None:
    from lightning.pytorch.callbacks import ModelCheckpoint

    saves = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=5)
    options: dict[str, Any] = {"shuffle": False, "enable_checkpointing": True}
    fit(tmp_path, [saves], 5, **options)
    curvature = callback(track=["loss"])
    fit(tmp_path, [curvature], 20, ckpt_path=tmp_path / "step=5.ckpt", **options)
    assert [r.step for r in curvature.monitor.records] == [10, 20]


def test_mixed_precision_is_measured_in_single(tmp_path: Path) -> None:
    curvature = callback()
    fit(tmp_path, [curvature], 10, precision="bf16-mixed")
    assert curvature.monitor.records[0].sharpness.value > 0
