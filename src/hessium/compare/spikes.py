r"""The law of the bulk without spikes, added to the matrix or in a Wishart factor.

An outlier at x moves the other eigenvalues of $A = aFF^T + B$. If the spike is added to A itself,
$\theta uu^T$, then $\det(z - A)$ gains the factor $1 - \theta G(z)$. If it sits in the factor, as
a signal $F + \theta uv^T$ or as a direction of larger variance (on either side of F), the factor
is $1 - c\, zG_{FF^T}(z)$ at the subordination point, and as $zG - 1 = aG/(1 - aG)$ up to the rate
of the jump a, in both cases

$$d\log\frac{G(z) - G(x)}{1 - a G(z)}.$$

The numerator is that of an added spike. The denominator is the change of $\int f$ by removing one
column of F: $n\, \partial_n$ of the law in the rate of the jump a. The bulk is therefore that of a
matrix with one column fewer for each spike in the factor, with added spikes. The eigenvalues do not
distinguish the two kinds, which differ by a law of the same family.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hessium.theory import FreeLevy, Law, LevyLaw

_LEAST = 0.5  # share of the columns that is left in any case


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Origin of the spikes behind a number of outliers.

    Attributes:
        part: None for spikes added to the matrix; else the place, by descending size, of the jump
            whose factor they sit in, among those with the sign of the outlier where there are some.
        above, below: outliers on either side.
    """

    part: int | None = None
    above: int = 0
    below: int = 0

    @property
    def count(self) -> int:
        """Outliers in all."""
        return self.above + self.below

    def bulk(self, law: Law, size: int) -> Law:
        """The law of the bulk, as a share of all `size` eigenvalues, when `law` is that of all."""
        if self.part is None or not self.count or not isinstance(law, LevyLaw):
            return law
        triple = law.triple
        rates = dict(zip(triple.jumps, triple.rates, strict=True))
        for taken, upper in ((self.above, True), (self.below, False)):
            if taken and rates:
                jump = _jump(triple.jumps, self.part, upper=upper)
                rates[jump] = max(rates[jump] - taken / size, _LEAST * rates[jump])
        return FreeLevy.from_triple(replace(triple, rates=tuple(rates[a] for a in triple.jumps)))

    def fits(self, law: Law, size: int) -> bool:
        """Whether the factor of `law` has enough columns."""
        if self.part is None or not isinstance(law, LevyLaw):
            return self.part is None
        return all(self.count <= _LEAST * rate * size for rate in law.triple.rates)


def factors(law: Law) -> int:
    """Number of possible factors of spikes on one side of the spectrum."""
    jumps = law.triple.jumps if isinstance(law, LevyLaw) else ()
    return max(sum(a > 0 for a in jumps), sum(a < 0 for a in jumps))


def _jump(jumps: tuple[float, ...], part: int, *, upper: bool) -> float:
    same = [a for a in jumps if (a > 0) == upper] or list(jumps)
    return sorted(same, key=abs, reverse=True)[min(part, len(same) - 1)]
