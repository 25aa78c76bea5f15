"""The callback of the transformers Trainer with the real package."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from hessium.errors import InputError
from support.late import late

transformers = late("transformers", "accelerate", "tensorboard")
pytestmark = pytest.mark.filterwarnings("ignore")

IDS = torch.randint(0, 32, (32, 12), generator=torch.Generator().manual_seed(0))
LABELS = IDS.clone()
LABELS[:, :2] = -100
DATA = [
    {"input_ids": i, "labels": y, "attention_mask": torch.ones_like(i)}
    for i, y in zip(IDS, LABELS, strict=True)
]
BATCHES = [
    {key: torch.stack([one[key] for one in rows]) for key in DATA[0]}
    for rows in (DATA[:8], DATA[8:12])
]


NAMES = ("loss", "sharpness", "preconditioned_sharpness", "threshold")


def callback(**options: Any) -> Any:
    from hessium.training.transformers import CurvatureCallback

    options = {"track": NAMES, "tol": 0.2, **options}  # few products
    return CurvatureCallback(data=BATCHES, every=5, **options)


def train(
    folder: Path, curvature: Any = None, steps: int = 10, *, attach: bool = False, **options: Any
) -> Any:
    transformers.set_seed(0)
    config = transformers.GPT2Config(
        vocab_size=32, n_positions=16, n_embd=16, n_layer=1, n_head=2, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    resume, loggers = options.pop("resume", None), options.pop("loggers", [])
    options = {"save_strategy": "no", "report_to": "none", "logging_steps": 5, **options}
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=8,
        learning_rate=1e-3, disable_tqdm=True, use_cpu=True, seed=0, **options,
    )  # fmt: skip
    trainer = transformers.Trainer(
        model=transformers.GPT2LMHeadModel(config), args=arguments, train_dataset=DATA,
        callbacks=[*loggers, *([curvature] if curvature is not None and not attach else [])],
    )  # fmt: skip
    if attach:
        curvature.attach(trainer)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


@pytest.mark.parametrize("accumulated", [1, 2])
def test_training_is_the_same_and_records_come(tmp_path: Path, accumulated: int) -> None:
    options: dict[str, Any] = {"gradient_accumulation_steps": accumulated}
    plain = train(tmp_path, **options)
    curvature = callback(track=None) if accumulated == 1 else callback()
    watched = train(tmp_path, curvature, attach=accumulated == 1, **options)
    for name, tensor in plain.model.state_dict().items():
        assert torch.equal(tensor, watched.model.state_dict()[name]), name
    records = curvature.monitor.records
    assert [r.step for r in records] == [5, 10]
    logged = [h for h in watched.state.log_history if "curvature/sharpness" in h]
    assert [h["curvature/sharpness"] for h in logged] == [r.sharpness.value for r in records]
    losses = [h["step"] for h in watched.state.log_history if "loss" in h]
    assert losses == [5, 10]  # the Trainer's own log is not lost
    # batches weigh by their labels
    model = watched.model.eval()
    with torch.no_grad():
        parts = [float(model(**batch).loss) for batch in BATCHES]
    assert records[-1].loss == pytest.approx((8 * parts[0] + 4 * parts[1]) / 12, rel=1e-5)


def test_an_optimiser_without_a_threshold_can_be_left_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Adafactor.*optimizer=None"):
        train(tmp_path, callback(track=None), 5, optim="adafactor")
    curvature = callback(track=None, optimizer=None)
    train(tmp_path, curvature, 5, optim="adafactor")
    record = curvature.monitor.records[0]
    assert record.sharpness.value > 0
    assert record.threshold is None


def test_bfloat16_is_measured_in_single(tmp_path: Path) -> None:
    curvature = callback()
    train(tmp_path, curvature, 5, bf16=True)
    assert curvature.monitor.records[0].sharpness.value > 0


Run = tuple[Path, Any, list[dict[str, float]]]


def logged(folder: Path, steps: int, save: int = 0, **options: Any) -> Run:
    """A training with TensorBoard and a logger of one's own: folder, callback, what it got."""
    got: list[dict[str, float]] = []

    class Logger(transformers.TrainerCallback):  # type: ignore[name-defined,misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if any(name.startswith("curvature/") for name in logs):
                got.append({**logs, "at": state.global_step})

    curvature = callback(**options)
    saves: dict[str, Any] = {"save_strategy": "steps", "save_steps": save} if save else {}
    train(
        folder, curvature, steps, attach=True, loggers=[Logger()], report_to="tensorboard",
        **saves,
    )  # fmt: skip
    return folder, curvature, got


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("whole")
    return logged(folder, 20, save=10)


def test_a_checkpoint_continues_the_records(whole: Run) -> None:
    folder, curvature, _ = whole
    again = callback()
    train(folder, again, 20, resume=str(folder / "checkpoint-10"))
    assert [r.sharpness for r in again.monitor.records] == [
        r.sharpness for r in curvature.monitor.records
    ]


def test_a_checkpoint_without_a_monitor_tells_the_step(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(tmp_path, steps=4, save_strategy="steps", save_steps=2)
    curvature = callback(track=["loss"])
    train(tmp_path, curvature, 10, resume=str(tmp_path / "checkpoint-2"))
    assert [r.step for r in curvature.monitor.records] == [5, 10]
    assert "holds no state of the monitor: records begin at step 2" in caplog.text


def values(curvature: Any, name: str) -> list[float]:
    found = [getattr(r, name) for r in curvature.monitor.records]
    wanted = [getattr(value, "value", value) for value in found]
    if name == "threshold":  # the last step size is zero, which leaves it infinite
        assert wanted.pop() == math.inf
    return wanted


def assert_events_are_the_records(run: Run, steps: int) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, curvature, _ = run
    (file,) = folder.rglob("events*")
    events = EventAccumulator(str(file), size_guidance={"scalars": 0})
    events.Reload()
    due = list(range(5, steps + 1, 5))
    assert [r.step for r in curvature.monitor.records] == due
    for name in NAMES:
        found = events.Scalars(f"train/curvature/{name}")
        wanted = values(curvature, name)
        assert [e.step for e in found] == due[: len(wanted)]
        assert [e.value for e in found] == pytest.approx(wanted, rel=1e-6)


def test_events_of_tensorboard_are_the_records(whole: Run) -> None:
    assert_events_are_the_records(whole, 20)


@pytest.mark.slow
def test_events_of_500_steps_are_the_records(tmp_path: Path) -> None:
    run = logged(tmp_path, 500, track=None, tol=0.01)
    assert_events_are_the_records(run, 500)


def test_every_logger_of_the_trainer_gets_the_records(whole: Run) -> None:
    """As the callbacks of Weights & Biases and trackio do, it listens to `on_log` alone."""
    _, curvature, got = whole
    assert [one["at"] for one in got] == [5, 10, 15, 20]
    for name in NAMES:
        wanted = values(curvature, name)
        found = [one[f"curvature/{name}"] for one in got[: len(wanted)]]
        assert found == pytest.approx(wanted, rel=1e-12)
