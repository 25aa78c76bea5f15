"""Some successive checkpoints of a series, measured in one process and stored one by one."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hessium.errors import InputError, NonFiniteError, NonFiniteInputError
from hessium.problem import EmpiricalRisk
from hessium.profiles.checkpoint_series import SeriesPlan
from hessium.profiles.measurement import describe
from hessium.profiles.series_files import CheckpointFile
from hessium.runs.experiment import Result, Task
from hessium.runs.fingerprint import fingerprint
from hessium.runs.result_store import Computation, Store
from hessium.runs.saved import packed, unpacked
from hessium.training import Record
from hessium.training.checkpoint_files import optimizer_in
from hessium.training.measurement import Measurement
from hessium.training.points import Point
from hessium.training.quantities import modules_of
from hessium.training.record import recorded
from hessium.training.settings import Settings
from hessium.training.stability import optimizers_of
from hessium.training.tracking import AT_TIMES, OF_OPTIMIZER, tracked

logger = logging.getLogger(__name__)

_VECTOR, _ARRAY = "vector_", "record_"

Loader = Callable[[str], Any]
"""From the path of a checkpoint to its risk, or to a pair of risk and optimiser."""


def computation(
    source: str, plan: SeriesPlan, origin: CheckpointFile, file: CheckpointFile
) -> Computation:
    """What identifies the record of a checkpoint."""
    task = {
        "source": source,
        "origin": origin.digest,
        "checkpoint": file.digest,
        "step": file.step,
        "plan": plan.key(),
    }
    return Computation("track", task, fingerprint("hessium.training.measurement"))


def measured_part(
    function: Loader,
    plan: SeriesPlan,
    store: Store | None,
    source: str,
    task: Task,
    *,
    seen: Callable[[int], object] = lambda done: None,
) -> Result:
    """Measure some successive checkpoints; a worker imports this function."""
    rows: dict[int, Result] = {}
    measurement: Measurement | None = None
    before = store.load(task["before"]) if store is not None and task["before"] else None
    previous: tuple[Computation, Result] | None = None
    for position, file in task["files"]:
        try:
            risk, optimizer = loaded(function, file.path)
            settings = _settings(plan, optimizer)
            if measurement is None:
                origin = _origin(function, task, risk if file == task["origin"] else None, settings)
                measurement = Measurement(risk, settings)
                measurement.move(risk, settings, origin)
                if before is not None:
                    _warm(measurement, before, len(risk.theta))
            else:
                measurement.move(risk, settings, origin)
            row = _row(measurement, risk, optimizer, file)
        except (NonFiniteInputError, NonFiniteError) as error:
            row = _row_without(file, str(error), measurement, before)
        if store is not None:
            done = computation(source, plan, task["origin"], file)
            store.save(done, row)
            if previous is not None:  # the next one begins from its own vectors
                store.save(previous[0], without_vectors(previous[1]))
            previous = (done, row)
        rows[position] = without_vectors(row)
        seen(task["done"] + len(rows))
    return {"rows": rows}


def loaded(function: Loader, path: Path) -> tuple[EmpiricalRisk, Any]:
    """The risk and the optimiser of a checkpoint.

    Raises:
        InputError: if the function returns something else.
        NonFiniteInputError: if parameters, outputs or the loss are not finite.
    """
    try:
        found = function(str(path))
    except InputError as error:
        msg = f"{error} (checkpoint {path})"
        raise type(error)(msg) from error
    risk, optimizer = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    if not isinstance(risk, EmpiricalRisk):
        msg = (
            f"function: it returned {type(risk).__name__} for {path}; a hessium.EmpiricalRisk, "
            "or a pair of it and the optimizer, is required"
        )
        raise InputError(msg)
    if optimizer is None:
        return risk, optimizer_in(path, risk)
    optimizers_of(optimizer)
    return risk, optimizer


def _origin(
    function: Loader, task: Task, first: EmpiricalRisk | None, settings: Settings
) -> Point | None:
    """Parameters of the first checkpoint, for the distance; None where it is not measured."""
    if "distance" not in settings.track:
        return None
    try:
        return Point.of(first or loaded(function, task["origin"].path)[0])
    except NonFiniteInputError:
        return None


def _settings(plan: SeriesPlan, optimizer: Any) -> Settings:
    names = plan.track or (*tracked(None, optimizer), *AT_TIMES)
    if plan.track is not None and optimizer is None:
        needed = [name for name in names if name in OF_OPTIMIZER]
        if needed and not (needed == ["threshold"] and plan.threshold is not None):
            msg = (
                f"track: {', '.join(needed)}; an optimizer is required, so return (risk, "
                "optimizer), or keep its state in the checkpoint"
            )
            raise InputError(msg)
    if "update_sharpness" in names:
        msg = "track: update_sharpness; the last update is not in a checkpoint, so leave it out"
        raise InputError(msg)
    if optimizer is None:
        names = tuple(name for name in names if name not in OF_OPTIMIZER)
    return Settings(
        track=(*names, "spectrum") if plan.spectra and "spectrum" not in names else names,
        optimizer=optimizer,
        tol=plan.tol,
        confidence=plan.confidence,
        bound_steps=plan.bound_steps,
        probes=plan.probes,
        spectrum_every=1,
        seed=plan.seed,
        mode="eval",
        prior_precision=plan.prior_precision,
    )


def _row(
    measurement: Measurement,
    risk: EmpiricalRisk,
    optimizer: Any,
    file: CheckpointFile,
) -> Result:
    start = time.perf_counter()
    with torch.enable_grad():
        record = recorded(
            file.step, "eval", start, lambda: measurement.record(file.step, 1, None, full=True)
        )
    state = measurement.state()
    return {
        **_packed(record),
        "model": dict(describe(risk)),
        "modules": modules_of(risk.names),
        "optimizer": _names(optimizer),
        "ratios": state["seconds"],
        "slopes": state["slopes"],
        **{_VECTOR + name: v.cpu().numpy() for name, v in state["vectors"].items()},
    }


def _names(optimizer: Any) -> str:
    kinds = [] if optimizer is None else [type(one).__name__ for one in optimizers_of(optimizer)]
    return ", ".join(kinds)


def _row_without(
    file: CheckpointFile, reason: str, measurement: Measurement | None, before: Result | None
) -> Result:
    """The row of a checkpoint that is not finite; kept vectors pass it by."""
    logger.warning("%s: %s; its record holds no curvature", file.path, reason)
    record = Record(step=file.step, loss=math.nan, reason=reason)
    vectors: dict[str, Any] = {}
    ratios: dict[str, float] = {}
    slopes: dict[str, float] = {}
    if measurement is not None:
        state = measurement.state()
        ratios, slopes = state["seconds"], state["slopes"]
        vectors = {_VECTOR + name: v.cpu().numpy() for name, v in state["vectors"].items()}
    elif before is not None:
        ratios, slopes = before["ratios"], before.get("slopes", {})
        vectors = {name: v for name, v in before.items() if name.startswith(_VECTOR)}
    model = {"model": {}, "modules": [], "optimizer": ""}
    return {**_packed(record), **model, "ratios": ratios, "slopes": slopes, **vectors}


def _packed(record: Record) -> Result:
    document, arrays = packed(record)
    return {"record": document, **{_ARRAY + name: array for name, array in arrays.items()}}


def record_of(row: Result) -> Record:
    """The record in a stored row."""
    arrays = {n.removeprefix(_ARRAY): v for n, v in row.items() if n.startswith(_ARRAY)}
    record = unpacked(row["record"], arrays)
    assert isinstance(record, Record)
    return record


def without_vectors(row: Result) -> Result:
    """A row without what the next checkpoint begins from."""
    return {name: value for name, value in row.items() if not name.startswith(_VECTOR)}


def _warm(measurement: Measurement, row: Result, size: int) -> None:
    vectors = {
        name.removeprefix(_VECTOR): torch.from_numpy(np.array(value))
        for name, value in row.items()
        if name.startswith(_VECTOR) and len(value) == size
    }
    measurement.warm(vectors, row["ratios"], row.get("slopes", {}))
