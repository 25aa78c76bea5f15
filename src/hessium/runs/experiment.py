"""What an experiment is, and the list of them."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from hessium._typing import AnyArray
from hessium.errors import InputError
from hessium.figures.records import Findings

Task: TypeAlias = Mapping[str, Any]
"""The parameters of one computation; whatever `json.dumps` takes."""

Result: TypeAlias = Mapping[str, Any]
"""Arrays without objects, and JSON scalars, lists or dictionaries."""

Config = TypeVar("Config")


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment(Generic[Config]):
    """A question that independent computations answer.

    Attributes:
        name: what the command line calls it.
        title: heading on the page.
        shows: one sentence.
        presets: named frozen configs; "quick" and "paper" at least.
        seeds: the seeds that a config uses.
        tasks: the computations of a config, independent of each other.
        compute: one computation; a function at the top of a module, so that a worker can import it.
        summarise: findings and arrays to keep, from the results in the order of the tasks.
        points: whether its results are points of a sweep, which the command line counts by kind.
    """

    name: str
    title: str
    shows: str
    presets: Mapping[str, Config]
    seeds: Callable[[Config], tuple[int, ...]]
    tasks: Callable[[Config], list[Task]]
    compute: Callable[[Task], Result]
    summarise: Callable[[Config, Sequence[Result]], tuple[Findings, Mapping[str, AnyArray]]]
    points: bool = False

    def config(self, preset: str) -> Config:
        """The config of a preset.

        Raises:
            InputError: if there is no such preset.
        """
        if preset not in self.presets:
            msg = f"preset: {preset!r}; {self.name} has {', '.join(self.presets)}"
            raise InputError(msg)
        return self.presets[preset]


def settings(config: Any) -> dict[str, Any]:
    """The fields of a config by name."""
    return dataclasses.asdict(config)


class Registry:
    """Experiments by name, in the order of the page.

    Args:
        experiments: all of them.

    Raises:
        InputError: if two have the same name.
    """

    def __init__(self, experiments: Sequence[Experiment[Any]] = ()) -> None:
        self._by_name = {experiment.name: experiment for experiment in experiments}
        if len(self._by_name) < len(experiments):
            msg = f"name: two experiments of one name among {', '.join(self._by_name)}"
            raise InputError(msg)

    def __iter__(self) -> Iterator[Experiment[Any]]:
        return iter(self._by_name.values())

    def __getitem__(self, name: str) -> Experiment[Any]:
        """The experiment called `name`.

        Raises:
            InputError: if there is none; the message suggests the nearest name.
        """
        if name in self._by_name:
            return self._by_name[name]
        nearest = difflib.get_close_matches(name, self._by_name, n=1)
        advice = f"did you mean {nearest[0]!r}?" if nearest else "`hessium list` names them"
        msg = f"NAME: {name!r} is not an experiment; {advice}"
        raise InputError(msg)

    def select(self, names: Sequence[str]) -> list[Experiment[Any]]:
        """The experiments called `names`, each once, or all of them if `names` is empty."""
        return [self[name] for name in dict.fromkeys(names)] if names else list(self)
