r"""The Newton-Kantorovich theorem at the end of a search.

Among the modes with curvature, $H = V \Lambda V^T$, it is applied in the coordinates
$y = |\Lambda|^{1/2} V^T (x - \theta)$, in which the eigenvalues of the Hessian at $\theta$ are
$\pm 1$. Its two numbers are the Newton decrement and a Lipschitz constant of the Hessian,

$$\eta = \big| |\Lambda|^{-1/2} V^T g \big|, \qquad
  \omega = \sup \frac{\big| |\Lambda|^{-1/2} V^T (H(x) - H(x')) V |\Lambda|^{-1/2} \big|}
  {|y - y'|} .$$

If $h = \eta\,\omega \le 1/2$, the gradient in these modes has a zero with
$|y| \le (1 - \sqrt{1 - 2h}) / \omega \le 2 \eta$, and no other beside it (Ortega & Rheinboldt 1970,
theorem 12.6.2; Deuflhard 2011, section 2.1). On the way the eigenvalues of the Hessian in these
coordinates change by at most $1 - \sqrt{1 - 2h} < 1$, so by Sylvester's law of inertia the zero has
the index of $\theta$. In these coordinates h depends neither on the units of the loss nor on linear
changes of the parameters. In the original ones, $|H^+ g|\,|H^+|\,L$ exceeds 1/2 at well-determined
critical points of ill-conditioned problems.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from hessium.errors import NonFiniteError
from hessium.landscape.noise_floor import LocalModel, norm_of
from hessium.landscape.objective import Surface

LARGEST_H = 0.25  # h; the theorem allows 1/2, but omega is estimated, and from below
_RADIUS = 2.0  # Newton decrements from the point to the probes: the theorem's zero is not further


@dataclass(frozen=True, slots=True)
class Kantorovich:
    r"""The theorem's numbers at a point.

    Attributes:
        h: $\eta\,\omega$; infinite where no mode has curvature or derivatives are not finite.
        distance: bound on $|x - \theta|$ of the zero x.
        change: largest $|H(x) - H(\theta)|$ at the probes.
    """

    h: float
    distance: float
    change: float

    @property
    def holds(self) -> bool:
        """Whether h certifies a zero beside the point."""
        return self.h <= LARGEST_H


NOWHERE = Kantorovich(h=math.inf, distance=math.inf, change=math.inf)


def kantorovich(surface: Surface, local: LocalModel, draws: Float[Tensor, "k n"]) -> Kantorovich:
    r"""Estimate h in the modes whose curvature exceeds rounding.

    The rounding error of each component of the gradient is added to its absolute value. $\omega$ is
    the largest of eight estimates: at $\theta \pm s$ for two displacements s, from the difference
    of the Hessians and from the Taylor remainder $2 |g(\theta + s) - g(\theta) - H s| / |s|^2$. The
    first s points to where the gradient and its rounding allow the zero to be, the second is
    random; both have twice the length of the decrement, since over longer distances a Hessian that
    levels off looks smoother. A supremum estimated at four points may be too small: the certificate
    is not a proof.

    Args:
        surface: the function.
        local: the point.
        draws: standard normal; two are used.

    Cost: 4 Hessians with eigenvalues, 4 gradients.
    """
    kept = local.curved
    if not bool(kept.any()):
        return NOWHERE
    vectors, roots = local.vectors[:, kept], local.values[kept].abs().sqrt()
    steps = (local.slopes[kept].abs() + local.floors[kept]) / roots
    decrement = float(steps.norm())
    along, random = vectors.mT @ draws[0], vectors.mT @ draws[1]
    hessian, omega, change = local.hessian, 0.0, 0.0
    try:
        for direction in (steps * along.sign(), random):
            length = _RADIUS * decrement
            move = vectors @ (direction * (length / float(direction.norm())) / roots)
            for side in (move, -move):
                difference = surface.hessian(local.theta + side) - hessian
                remainder = surface.gradient(local.theta + side) - local.gradient - hessian @ side
                scaled = vectors.mT @ difference @ vectors / roots / roots[:, None]
                bend = float((vectors.mT @ remainder / roots).norm())
                omega = max(omega, norm_of(scaled) / length, 2 * bend / length**2)
                change = max(change, norm_of(difference))
    except NonFiniteError:
        return NOWHERE
    if not math.isfinite(omega * decrement):
        return NOWHERE
    return Kantorovich(
        h=decrement * omega, distance=2 * decrement / float(roots.min()), change=change
    )
