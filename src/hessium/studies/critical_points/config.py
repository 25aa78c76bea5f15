"""Settings of a sweep over critical points, and its tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hessium.errors import InputError
from hessium.runs.experiment import Task
from hessium.studies.critical_points.search import MINIMISE, PLAIN, PUBLISHED, SADDLE

_MOST_SEARCHES = 100_000
ACTIVATIONS = ("tanh", "linear")
METHODS = ("levenberg-marquardt", "newton-mr")


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalPointsConfig:
    """Settings of a sweep: two-layer square networks on Gaussian data, fresh in every task.

    Attributes:
        size: n inputs, n units, n outputs; 2 n^2 parameters.
        activation: "tanh" or "linear".
        ratios: 2 n / samples.
        ridge: of all methods but the published protocol, which has none.
        targeted: index-targeted searches at each ratio, targets evenly spaced.
        highest: largest target, as a fraction of the parameters.
        restarts: further attempts of each of these, at most.
        max_steps: of each attempt.
        published: runs at each ratio with the published starts and the published acceptance, in
            which Levenberg-Marquardt makes the squared gradient small: plain descent takes hours.
        plain: runs of the published protocol unchanged, with plain descent on the squared gradient.
        plain_steps: of that, at most.
        others: runs of each other method at each ratio.
        minimisers: minimisations without ridge at each ratio.
        iterations: at which their energies are recorded.
        seed: the first seed.
    """

    size: int = 16
    activation: str = "tanh"
    ratios: tuple[float, ...] = (2 / 3, 1 / 2, 1 / 3, 1 / 4, 1 / 8, 1 / 16)
    ridge: float = 1e-3
    targeted: int = 221
    highest: float = 0.4
    restarts: int = 4
    max_steps: int = 150
    published: int = 180
    plain: int = 1
    plain_steps: int = 20000
    others: int = 10
    minimisers: int = 5
    iterations: tuple[int, ...] = (300, 3000)
    seed: int = 0

    def __post_init__(self) -> None:
        large = 10**6
        rules = {
            "size": (2 <= self.size <= 40, "2 to 40"),
            "activation": (self.activation in ACTIVATIONS, " or ".join(ACTIVATIONS)),
            "ratios": (
                bool(self.ratios)
                and all(1e-4 <= ratio <= 2 for ratio in self.ratios)
                and len({round(1000 * ratio) for ratio in self.ratios}) == len(self.ratios),
                "numbers from 1e-4 to 2 that differ by 0.001 at least",
            ),
            "ridge": (0 <= self.ridge < math.inf, "a finite number >= 0"),
            "highest": (0 < self.highest <= 0.5, "above 0, to 0.5"),
            "iterations": (
                bool(self.iterations)
                and list(self.iterations) == sorted(set(self.iterations))
                and self.iterations[0] > 0
                and self.iterations[-1] <= large,
                f"positive integers in ascending order, up to {large}",
            ),
            "restarts": (0 <= self.restarts <= 1000, "0 to 1000"),
            "seed": (0 <= self.seed < 2**53, "0 to 2^53 - 1"),
        }
        for name in ("targeted", "published", "plain", "others", "minimisers"):
            rules[name] = (0 <= getattr(self, name) <= large, f"0 to {large}")
        for name in ("max_steps", "plain_steps"):
            rules[name] = (1 <= getattr(self, name) <= large, f"1 to {large}")
        for name, (holds, rule) in rules.items():
            if not holds:
                msg = f"{name}: {repr(getattr(self, name))[:60]} is out of range; {rule}"
                raise InputError(msg)
        each = self.targeted + self.published + self.plain + self.minimisers
        count = len(self.ratios) * (each + len(METHODS) * self.others)
        if not 1 <= count <= _MOST_SEARCHES:
            msg = (
                f"targeted, published, plain, others, minimisers: {count} searches at all ratios; "
                f"1 to {_MOST_SEARCHES} are possible"
            )
            raise InputError(msg)

    @property
    def dim(self) -> int:
        """Parameters of the network."""
        return 2 * self.size**2

    def targets(self) -> list[int]:
        """Indices to aim at."""
        top = self.highest * self.dim
        return [round(top * i / max(self.targeted - 1, 1)) for i in range(self.targeted)]


def tasks(config: CriticalPointsConfig) -> list[Task]:
    """Every search, methods and ratios taking turns, so that an early page shows all of them."""
    seed, steps, ridge = config.seed, config.max_steps, config.ridge
    searches: list[list[Task]] = [
        [
            {"method": SADDLE, "ridge": ridge, "target": target, "restarts": config.restarts}
            | {"max_steps": steps, "seed": seed + i}
            for i, target in enumerate(config.targets())
        ],
        _repeated(config.published, PUBLISHED, 0.0, seed + 10_000, max_steps=400),
        *(
            _repeated(config.others, method, ridge, seed + 20_000, max_steps=2 * steps)
            for method in METHODS
        ),
        _repeated(
            config.minimisers, MINIMISE, 0.0, seed + 30_000, iterations=list(config.iterations)
        ),
        _repeated(config.plain, PLAIN, 0.0, seed + 40_000, max_steps=config.plain_steps),
    ]
    common = {"size": config.size, "activation": config.activation}
    rounds = [
        (i * 1000 // len(some), turn, {**common, "ratio": ratio, **task})
        for ratio in config.ratios
        for turn, some in enumerate(searches)
        for i, task in enumerate(some)
    ]
    return [task for _, _, task in sorted(rounds, key=lambda entry: entry[:2])]


def _repeated(count: int, method: str, ridge: float, seed: int, **settings: object) -> list[Task]:
    """Searches that differ in their seed alone."""
    return [{"method": method, "ridge": ridge, "seed": seed + i, **settings} for i in range(count)]


def seeds(config: CriticalPointsConfig) -> tuple[int, ...]:
    """All seeds of its tasks."""
    return tuple(sorted({task["seed"] for task in tasks(config)}))
