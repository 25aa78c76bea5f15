"""Curvature along the checkpoints of a training, one after the other."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from hessium import _arguments
from hessium._processes import computed
from hessium._workers import require_workers
from hessium.errors import InputError
from hessium.profiles.checkpoint_series import CheckpointSeries, SeriesPlan
from hessium.profiles.series_files import CheckpointFile, digest_of, files_of
from hessium.profiles.series_part import (
    Loader,
    computation,
    measured_part,
    record_of,
    without_vectors,
)
from hessium.progress import Progress, silent
from hessium.runs.experiment import Result, Task
from hessium.runs.result_store import Store, key
from hessium.runs.run_directory import RunDirectory
from hessium.training.tracking import tracked


def track(
    function: Loader,
    checkpoints: Iterable[str | Path],
    *,
    track: Sequence[str] | None = None,
    spectra: bool = False,
    threshold: float | None = None,
    steps: Sequence[int] | None = None,
    tol: float = 0.01,
    confidence: float = 0.95,
    bound_steps: int = 8,
    probes: int = 10,
    seed: int = 0,
    prior_precision: float | None = None,
    workers: int = 1,
    out: Path | str | None = None,
    progress: Progress = silent,
) -> CheckpointSeries:
    r"""Curvature along the checkpoints of a training, as `hessium track` measures it.

    Each checkpoint gives a record with the quantities of `hs.Monitor`, by the same code. Extreme
    eigenvalues start from the vectors of the checkpoint before. A checkpoint whose parameters,
    outputs or loss are not finite gives a record with the loss NaN and the reason. Checkpoints are
    ordered by the last number in their names, if each has one of its own; else they stay as given.

    Args:
        function: from the path of a checkpoint to its `EmpiricalRisk`, or to a pair (risk,
            optimizer). The optimiser gives `preconditioned_sharpness` and `threshold`. Without one,
            the state of an optimiser with one parameter group is looked for in the checkpoint,
            under "optimizer", "optimizer_state_dict" or "optimizer_states".
        checkpoints: paths of files or folders.
        track: fields of `Record` to measure; by default those of a full record of `hs.Monitor`.
        spectra: whether a spectral measure of each checkpoint is estimated (80 products).
        threshold: stability threshold of the sharpness, such as $2 / \eta$, where no optimiser
            says it.
        steps: of the training at each checkpoint, in the given order, instead of the numbers in
            the names.
        tol: estimated relative error at which an extreme eigenvalue is accepted.
        confidence: of the random ends of brackets.
        bound_steps: products with a random vector for the outer ends of brackets.
        probes: random vectors of the traces.
        seed: of the random vectors.
        prior_precision: for effective_dimension, as in `hs.Monitor`.
        workers: processes. Each measures a part of the series and starts cold at its first one.
        out: a run directory that keeps each finished record. The same call resumes: it measures
            what is missing alone. A record is known by the contents of its checkpoint, the settings
            and the source file of `function`, not by data that this reads.
        progress: called with checkpoints done and in all.

    Returns:
        A `CheckpointSeries`; `.report(path)` writes the page.

    Raises:
        InputError: for a bad argument, a checkpoint that is missing, or a function that returns
            something else.
        KeyboardInterrupt: on Ctrl-C; finished records are in `out`.

    Cost: for each checkpoint `bound_steps` + 1 to 4 products for each of the extreme eigenvalues,
    `probes` for the traces, and 80 for a spectrum; about 30 products for the first one.

    Example:
        >>> import tempfile, pathlib
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> torch.save(model.state_dict(), folder / "step-1.pt")
        >>> def build(path):
        ...     net = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1)).double()
        ...     net.load_state_dict(hs.training.read_checkpoint(path))
        ...     return hs.EmpiricalRisk(net, loss, (x, y))
        >>> hs.track(build, [folder / "step-1.pt"], threshold=2.0).records[0].step
        1
    """
    _arguments.function("function", function, "(path) ")
    _arguments.function("progress", progress, "(done, total, what) ")
    if prior_precision is not None:
        prior_precision = _arguments.positive("prior_precision", prior_precision)
    names = None if track is None else tracked(track, True, prior_precision)
    plan = SeriesPlan(
        track=names,
        spectra=bool(spectra),
        threshold=None if threshold is None else _arguments.positive("threshold", threshold),
        tol=_arguments.positive("tol", tol),
        confidence=_arguments.fraction("confidence", confidence),
        bound_steps=_arguments.count("bound_steps", bound_steps, 0),
        probes=_arguments.count("probes", probes),
        seed=_arguments.count("seed", seed, 0),
        prior_precision=prior_precision,
    )
    require_workers(workers)
    store = None
    files = files_of(checkpoints, steps)
    if out is not None:
        directory = RunDirectory.create(Path(out), argument="out")
        directory.require_none_but((CheckpointSeries.experiment,))
        store = directory.store(CheckpointSeries.experiment)
    measurement = SeriesMeasurement(function, files, plan, store)
    stopped = measurement.run(workers, progress)
    if stopped is not None:
        if out is not None:
            stopped.add_note(f"finished records are in {out}; the same call resumes from them")
        raise stopped
    return measurement.result()


class SeriesMeasurement:
    """The records of a series, those from an earlier run among them.

    Args:
        function: see `track`.
        files: in order.
        plan: settings.
        store: keeps finished records, if given.
    """

    def __init__(
        self,
        function: Loader,
        files: Sequence[CheckpointFile],
        plan: SeriesPlan,
        store: Store | None = None,
    ) -> None:
        self._files, self._plan = list(files), plan
        self._part = functools.partial(measured_part, function, plan, store, digest_of(function))
        self._rows: dict[int, Result] = {}
        self._keys = [
            key(*computation(self._part.args[3], plan, self._files[0], one)) for one in files
        ]
        self._store = store
        self._stopped: KeyboardInterrupt | None = None
        self._load()
        self.reused = len(self._rows)

    def run(self, workers: int = 1, progress: Progress = silent) -> KeyboardInterrupt | None:
        """Measure what is missing, until the end or an interruption.

        Returns:
            The interruption, if there was one; `result` then holds the finished records.

        Raises:
            KeyboardInterrupt: if no record was finished before.
        """
        total = len(self._files)
        progress(len(self._rows), total, CheckpointSeries.experiment)
        missing = [i for i in range(total) if i not in self._rows]
        parts = _parts(missing, workers)
        tasks: dict[str, Task] = {str(n): self._task(part) for n, part in enumerate(parts)}
        part = self._part
        if workers == 1:
            part = functools.partial(part, seen=lambda done: progress(done, total, "track"))
        try:
            with contextlib.closing(computed(part, tasks, min(workers, len(tasks)))) as source:
                for _, found in source:
                    self._rows |= dict(found["rows"])
                    progress(len(self._rows), total, CheckpointSeries.experiment)
        except KeyboardInterrupt as error:
            self._load()
            if not self._rows:
                raise
            self._stopped = error
        return self._stopped

    def result(self) -> CheckpointSeries:
        """The finished records together."""
        found = sorted(self._rows)
        rows = [self._rows[i] for i in found]
        finite = [row for row in rows if row["model"]]
        if not finite:
            msg = f"checkpoints: none of {len(rows)} is finite; the first: "
            raise InputError(msg + record_of(rows[0]).reason)
        told = self._plan.threshold
        records = tuple(
            replace(one, threshold=told) if one.threshold is None and not one.reason else one
            for one in map(record_of, rows)
        )
        return CheckpointSeries(
            records=records,
            checkpoints=tuple(str(self._files[i].path) for i in found),
            plan=self._plan,
            model=finite[0]["model"],
            modules=tuple(finite[0]["modules"]),
            optimizer=str(finite[-1]["optimizer"]),
            reused=self.reused,
            missing=len(self._files) - len(found),
            stopped=str(self._stopped) or "Ctrl-C" if self._stopped is not None else "",
        )

    def _task(self, part: Sequence[int]) -> Task:
        return {
            "origin": self._files[0],
            "before": self._keys[part[0] - 1] if part[0] else "",
            "files": [(i, self._files[i]) for i in part],
            "done": len(self._rows),
        }

    def _load(self) -> None:
        if self._store is None:
            return
        for i, name in enumerate(self._keys):
            found = self._store.load(name) if i not in self._rows else None
            if found is not None:
                self._rows[i] = without_vectors(found)


def _parts(missing: Sequence[int], workers: int) -> list[list[int]]:
    """Runs of successive numbers, the longest ones cut until there is one for each worker."""
    runs: list[list[int]] = []
    for i in missing:
        if runs and runs[-1][-1] == i - 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    while len(runs) < workers and (longest := max(runs, key=len, default=[])) and len(longest) > 1:
        at = runs.index(longest)
        half = (len(longest) + 1) // 2
        runs[at : at + 1] = [longest[:half], longest[half:]]
    return runs
