"""Results of a search: a point, its kind and the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from jaxtyping import Float
from torch import Tensor

from hessium._display import Displayable
from hessium.spectra import Count, Spectrum

Kind: TypeAlias = Literal["critical", "gradient-flat", "diverging", "unconverged"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Four classes, never pooled."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Certificate(Displayable):
    r"""The evidence for the kind of a point, invariant under scaling of the loss.

    Attributes:
        gradient: $|g|$ after Newton's method reached rounding level.
        relative_gradient: $|g| / (|H| |\theta|)$.
        excess: the largest ratio of $|\langle v_i, g\rangle|$ to its rounding error, both measured;
            at most 1 at rounding level.
        flatness: $\kappa = |Hg| / (|H| |g|)$ of the part of g above rounding; a tiny value means
            that it lies in the kernel of H, where every method that minimises $|g|$ stalls.
        newton_step: $|H^+ g| / |\theta|$, Newton's estimate of the distance to the critical point.
        moved: $|\theta - \theta_0| / |\theta|$, from the end of the finder to rounding level.
        kantorovich: h of the Newton-Kantorovich theorem in the modes with curvature; at most 1/4 at
            a critical point (the theorem: 1/2). Infinite at a kink, without curvature, or where
            derivatives nearby are not finite.
        distance: bound on the distance of the zero over $|\theta|$, by the theorem.
        growth: $|\theta|$ at the end over $|\theta|$ half way through the search.
        threshold: the threshold t below which the sign of an eigenvalue is undecided: the measured
            rounding of H where the theorem holds, which then excludes changes of sign on the way to
            the zero; else the change of H at the probes of the theorem, if that is more.
        symmetry_zeros: eigenvalues within t that belong to a manifold of critical points; these are
            not counted in the upper end of the index.
        reason: one sentence.

    Example:
        >>> line = hs.EmpiricalRisk(nn.Linear(1, 1).double(), loss, (x, y))
        >>> point = hs.find_critical_point(line)
        >>> point.certificate.kantorovich < 0.5  # the Newton-Kantorovich theorem holds
        True
    """

    gradient: float
    relative_gradient: float
    excess: float
    flatness: float
    newton_step: float
    moved: float
    kantorovich: float
    distance: float
    growth: float
    threshold: float
    symmetry_zeros: int
    reason: str

    def __repr__(self) -> str:
        return f"Certificate({self.reason})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class CriticalPoint(Displayable):
    r"""Result of a search.

    Attributes:
        theta: parameters, shape (n,).
        loss: L there, without the ridge.
        ridge: r of the term $\tfrac r2 |\theta|^2$ that was added.
        gradient_norm: norm of the gradient of the loss with the ridge.
        kind: "critical", "gradient-flat", "diverging" or "unconverged".
        index: negative eigenvalues of the Hessian with the ridge; its bracket is those below
            -t and those below t, symmetry zeros left out, with t the certificate's threshold.
        certificate: the evidence.
        spectrum: all eigenvalues; None for models too large for a dense matrix.
        method: name of the finder.
        target: the requested index, or None.
        restarts: attempts beyond the first.
        steps: steps of the finder in all attempts.
        num_gradients: in all attempts, like the next two.
        num_hessians: dense Hessians.
        num_matvecs: Hessian products.

    Example:
        >>> line = hs.EmpiricalRisk(nn.Linear(1, 1).double(), loss, (x, y))
        >>> point = hs.find_critical_point(line)
        >>> point.gradient_norm < 1e-9, point.theta.shape
        (True, torch.Size([2]))
    """

    theta: Float[Tensor, " n"]
    loss: float
    ridge: float
    gradient_norm: float
    kind: Kind
    index: Count
    certificate: Certificate
    spectrum: Spectrum | None
    method: str
    target: int | None
    restarts: int
    steps: int
    num_gradients: int
    num_hessians: int
    num_matvecs: int

    def __repr__(self) -> str:
        asked = "" if self.target in (None, self.index.value) else f" (asked for {self.target})"
        return (
            f"CriticalPoint({self.kind}: index {self.index!r}{asked}, loss {self.loss:.6g}, "
            f"|gradient| {self.gradient_norm:.2g}, {self.certificate.reason})"
        )
