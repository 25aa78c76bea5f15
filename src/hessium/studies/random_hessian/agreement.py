"""Do sampled matrices of finite size agree with a law of infinite ones?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from hessium._typing import FloatArray
from hessium.figures.formatting import digits
from hessium.figures.records import Number, exact
from hessium.studies.study import with_error

FALSE_ALARMS = 1e-3
"""Probability that an agreement is rejected though all expectations are those of the law."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Estimates of several numbers beside what a law says of them.

    Attributes:
        estimate: shape (k,).
        stderr: standard errors, shape (k,).
        theory: shape (k,).
        draws: number of draws behind each estimate.
    """

    estimate: FloatArray
    stderr: FloatArray
    theory: FloatArray
    draws: int

    @property
    def z(self) -> FloatArray:
        """Differences in standard errors."""
        return np.asarray((self.estimate - self.theory) / self.stderr)

    @property
    def limit(self) -> float:
        """What |z| exceeds only in a false alarm (Student, Bonferroni)."""
        level = 1 - FALSE_ALARMS / (2 * self.z.size)
        return float(student.ppf(level, max(self.draws - 1, 1)))

    @property
    def holds(self) -> bool:
        """Whether no difference exceeds the limit."""
        return bool((np.abs(self.z) <= self.limit).all())

    def words(self) -> str:
        """The numbers behind the verdict."""
        return (
            f"largest |z| of {self.z.size} comparisons {digits(float(np.abs(self.z).max()), 2)}, "
            f"root mean square {digits(float(np.sqrt((self.z**2).mean())), 2)}; rejected beyond "
            f"{digits(self.limit, 2)}, a false alarm in one of {round(1 / FALSE_ALARMS)} runs"
        )

    def cells(
        self, which: int, *, theory_digits: int = 6, significant: int = 4
    ) -> tuple[Number, Number, Number]:
        """One number by the law, its estimate with standard error, and z."""
        basis = f"estimate [± one standard error] over {self.draws} draws, extrapolated in size"
        found = with_error(self.estimate[which], self.stderr[which], basis, significant)
        score = Number(
            value=self.z[which], basis="z is the difference in standard errors", digits=2
        )
        return exact(float(self.theory[which]), theory_digits), found, score


def joined(parts: Sequence[Agreement], theory: Sequence[FloatArray] | None = None) -> Agreement:
    """All comparisons in one row, with their own theory or another."""
    laws = [part.theory for part in parts] if theory is None else theory
    return Agreement(
        estimate=np.concatenate([part.estimate for part in parts]),
        stderr=np.concatenate([part.stderr for part in parts]),
        theory=np.concatenate(list(laws)),
        draws=parts[0].draws,
    )


def extrapolated(
    samples: FloatArray, sizes: tuple[int, ...], power: float, theory: FloatArray
) -> Agreement:
    r"""Estimates at infinite size, with corrections $n^{-p}, n^{-2p}, \dots$ removed.

    Args:
        samples: shape (draws, sizes, k).
        sizes: of the matrices; one order of correction less than sizes is removed.
        power: p.
        theory: shape (k,).
    """
    steps = np.array(sizes, dtype=np.float64) ** -power
    # weights that a polynomial in n^-p is evaluated with at n^-p = 0
    weights = np.linalg.solve(np.vander(steps, increasing=True).T, np.eye(len(sizes))[0])
    draws = samples.shape[0]
    variances = samples.var(axis=0, ddof=1) / draws
    return Agreement(
        estimate=np.tensordot(weights, samples.mean(axis=0), 1),
        stderr=np.sqrt(np.tensordot(weights**2, variances, 1)),
        theory=np.asarray(theory, dtype=np.float64),
        draws=draws,
    )
