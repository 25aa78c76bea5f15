"""The callback of the transformers Trainer with the real package."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
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


def callback(every: int = 5) -> Any:
    from hessium.training.transformers import CurvatureCallback

    return CurvatureCallback(data=BATCHES, every=every)


def train(
    folder: Path, curvature: Any = None, steps: int = 10, *, attach: bool = False, **options: Any
) -> Any:
    transformers.set_seed(0)
    config = transformers.GPT2Config(
        vocab_size=32, n_positions=16, n_embd=16, n_layer=1, n_head=2, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    resume = options.pop("resume", None)
    options = {"save_strategy": "no", "report_to": "none", "logging_steps": 5, **options}
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=8,
        learning_rate=1e-3, disable_tqdm=True, use_cpu=True, seed=0, **options,
    )  # fmt: skip
    trainer = transformers.Trainer(
        model=transformers.GPT2LMHeadModel(config), args=arguments, train_dataset=DATA,
        callbacks=[curvature] if curvature is not None and not attach else [],
    )  # fmt: skip
    if attach:
        curvature.attach(trainer)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


@pytest.mark.parametrize("accumulated", [1, 2])
def test_training_is_the_same_and_records_come(tmp_path: Path, accumulated: int) -> None:
    options: dict[str, Any] = {"gradient_accumulation_steps": accumulated}
    plain = train(tmp_path, **options)
    curvature = callback()
    watched = train(tmp_path, curvature, attach=accumulated == 1, **options)
    for name, tensor in plain.model.state_dict().items():
        assert torch.equal(tensor, watched.model.state_dict()[name]), name
    records = curvature.monitor.records
    assert [r.step for r in records] == [5, 10]
    logged = [h for h in watched.state.log_history if "curvature/sharpness" in h]
    assert [h["curvature/sharpness"] for h in logged] == [r.sharpness.value for r in records]
    losses = [h["step"] for h in watched.state.log_history if "loss" in h]
    assert losses == [5, 10]  # the Trainer's own log is not lost


def test_the_loss_weighs_batches_by_their_labels(tmp_path: Path) -> None:
    curvature = callback(every=10)
    trainer = train(tmp_path, curvature)
    model = trainer.model.eval()
    with torch.no_grad():
        losses = [float(model(**batch).loss) for batch in BATCHES]
    assert curvature.monitor.records[0].loss == pytest.approx(
        (8 * losses[0] + 4 * losses[1]) / 12, rel=1e-5
    )


def test_bfloat16_is_measured_in_single(tmp_path: Path) -> None:
    curvature = callback()
    train(tmp_path, curvature, 5, bf16=True)
    assert curvature.monitor.records[0].sharpness.value > 0


def test_a_checkpoint_continues_the_records(tmp_path: Path) -> None:
    whole, again = callback(), callback()
    train(tmp_path, whole, 20, save_strategy="steps", save_steps=10)
    train(tmp_path, again, 20, resume=str(tmp_path / "checkpoint-10"))
    assert [r.sharpness for r in again.monitor.records] == [
        r.sharpness for r in whole.monitor.records
    ]


@pytest.mark.parametrize("steps", [20, pytest.param(500, marks=pytest.mark.slow)])
def test_events_of_tensorboard_are_the_records(tmp_path: Path, steps: int) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curvature = callback()
    train(tmp_path, curvature, steps, attach=True, report_to="tensorboard")
    (file,) = tmp_path.rglob("events*")
    events = EventAccumulator(str(file), size_guidance={"scalars": 0})
    events.Reload()
    records = curvature.monitor.records
    assert [r.step for r in records] == list(range(5, steps + 1, 5))
    for name in ("loss", "sharpness", "preconditioned_sharpness", "threshold"):
        found = events.Scalars(f"train/curvature/{name}")
        values = [getattr(r, name) for r in records]
        wanted = [getattr(value, "value", value) for value in values]
        if name == "threshold":  # the last step size is zero, which leaves it infinite
            assert wanted.pop() == math.inf
        assert [e.step for e in found] == [r.step for r in records[: len(wanted)]]
        assert [e.value for e in found] == pytest.approx(wanted, rel=1e-6)
