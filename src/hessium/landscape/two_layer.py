"""Two-layer networks in closed form, for ensembles of small networks."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hessium.landscape.objective import Surface
from hessium.linalg import SymmetricOperator
from hessium.problem import EmpiricalRisk, SquaredError


class TwoLayerSurface(Surface):
    r"""$L = \tfrac w2 \sum |W_2\, \phi(W_1 x) - y|^2$ with $\phi$ = tanh or the identity.

    With $h = \phi(a)$, $a = W_1 x$, $e = W_2 h - y$, $d = W_2^T e$ the blocks of the Hessian are

    $$w \sum\nolimits_\mu \delta_{ij} h_p h_q, \quad
      w \sum\nolimits_\mu (W_{2,ip}\, h'_p h_q + \delta_{pq}\, e_i h'_p)\, x_c, \quad
      w \sum\nolimits_\mu \big((W_2^T W_2)_{pq} h'_p h'_q + \delta_{pq}\, d_p h''_p\big) x_b x_c :$$

    three matrix products, instead of one automatic differentiation for each unit.

    Args:
        inputs: X, shape (samples, d).
        targets: Y, shape (samples, c).
        hidden: number of units.
        activation: "tanh" or "linear".
        weight: w; 1/samples for the loss of the random landscape.
        ridge: r.
    """

    def __init__(
        self,
        inputs: Float[Tensor, "m d"],
        targets: Float[Tensor, "m c"],
        hidden: int,
        *,
        activation: str = "tanh",
        weight: float | None = None,
        ridge: float = 0.0,
    ) -> None:
        samples, self._inner = inputs.shape
        self._outer, self.hidden = targets.shape[1], hidden
        sizes = (hidden * self._inner, self._outer * hidden)
        super().__init__(sum(sizes), ridge, sizes)
        self._X, self._Y = inputs.mT.contiguous(), targets.mT.contiguous()
        self._linear = activation == "linear"
        self._w = 1 / samples if weight is None else weight
        self._XX = (self._X[:, None, :] * self._X[None]).reshape(-1, samples).mT.contiguous()

    def split(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """W1 (hidden, d) and W2 (c, hidden), of one vector or of the columns' leading dimension."""
        cut = self.hidden * self._inner
        lead = theta.shape[:-1]
        first = theta[..., :cut].reshape(*lead, self.hidden, self._inner)
        return first, theta[..., cut:].reshape(*lead, self._outer, self.hidden)

    def _forward(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """h, h', e, d at all samples."""
        W1, W2 = self.split(theta)
        a = W1 @ self._X
        h = a if self._linear else torch.tanh(a)
        slope = torch.ones_like(h) if self._linear else 1 - h * h
        e = W2 @ h - self._Y
        return h, slope, e, W2.mT @ e

    def _bend(self, h: Tensor, slope: Tensor) -> Tensor:
        return torch.zeros_like(h) if self._linear else -2 * h * slope

    def errors(self, theta: Tensor) -> Tensor:
        """e, shape (c, samples)."""
        return self._forward(theta)[2]

    def _loss(self, theta: Tensor) -> float:
        return self._w / 2 * float(self.errors(theta).square().sum())

    def _gradient(self, theta: Tensor) -> Tensor:
        h, slope, e, d = self._forward(theta)
        first, second = (d * slope) @ self._X.mT, e @ h.mT
        return self._w * torch.cat([first.reshape(-1), second.reshape(-1)])

    def _hessian(self, theta: Tensor) -> Tensor:
        h, slope, e, d = self._forward(theta)
        W2 = self.split(theta)[1]
        n, inner, outer = self.hidden, self._inner, self._outer
        unit = torch.arange(n, device=theta.device)
        Z = (slope[:, None, :] * self._X[None]).reshape(n * inner, -1)
        first = (Z @ Z.mT).view(n, inner, n, inner) * (W2.mT @ W2)[:, None, :, None]
        bent = ((d * self._bend(h, slope)) @ self._XX).view(n, inner, inner)
        first[unit, :, unit, :] += bent
        mixed = (h @ Z.mT).view(1, n, n, inner) * W2[:, None, :, None]
        mixed[:, unit, unit, :] += (e @ Z.mT).view(outer, n, inner)
        cut = n * inner
        matrix = theta.new_zeros(self.dim, self.dim)
        matrix[:cut, :cut] = first.reshape(cut, cut)
        matrix[cut:, :cut] = mixed.reshape(-1, cut)
        matrix[:cut, cut:] = matrix[cut:, :cut].mT
        matrix[cut:, cut:].view(outer, n, outer, n).diagonal(dim1=0, dim2=2).copy_(
            (h @ h.mT)[:, :, None].expand(n, n, outer)
        )
        return matrix.mul_(self._w)

    def _operator(self, theta: Tensor) -> SymmetricOperator:
        return TwoLayerHessian(self, theta)


class TwoLayerHessian(SymmetricOperator):
    """The Hessian of L as products: the directional derivative of the gradient, written out.

    Args:
        surface: the objective.
        theta: the point.
    """

    def __init__(self, surface: TwoLayerSurface, theta: Tensor) -> None:
        self._surface, self._theta = surface, theta
        self._h, self._slope, self._e, self._d = surface._forward(theta)
        self._W2 = surface.split(theta)[1]
        self._bent = self._d * surface._bend(self._h, self._slope)

    @property
    def shape(self) -> tuple[int, int]:
        """(P, P)."""
        return (self._surface.dim, self._surface.dim)

    @property
    def dtype(self) -> torch.dtype:
        """Of the parameters."""
        return self._theta.dtype

    @property
    def device(self) -> torch.device:
        """Of the parameters."""
        return self._theta.device

    def _matmat(self, block: Tensor) -> Tensor:
        V1, V2 = self._surface.split(block.mT)
        X = self._surface._X
        moved = V1 @ X
        h = self._slope * moved
        e = V2 @ self._h + self._W2 @ h
        d = V2.mT @ self._e + self._W2.mT @ e
        first = (d * self._slope + self._bent * moved) @ X.mT
        second = e @ self._h.mT + self._e @ h.mT
        flat = torch.cat([first.flatten(1), second.flatten(1)], dim=1)
        return self._surface._w * flat.mT


def recognise(risk: EmpiricalRisk, ridge: float) -> TwoLayerSurface | None:
    """The closed form of a risk if it is such a network, else None.

    The caller compares the two before use.
    """
    layers = list(risk.model.children()) if type(risk.model) is nn.Sequential else []
    if len(layers) == 2:
        layers.insert(1, nn.Identity())
    if len(layers) != 3 or type(risk.loss) is not SquaredError or risk.dtype != torch.float64:
        return None
    first, middle, last = layers
    if not (isinstance(first, nn.Linear) and isinstance(last, nn.Linear)):
        return None
    if not (first.bias is last.bias is None) or type(middle) not in (nn.Tanh, nn.Identity):
        return None
    sizes = [first.weight.numel(), last.weight.numel()]
    batches = list(risk.batches())
    if list(risk.layout.sizes) != sizes or not all(
        isinstance(part, Tensor) and part.dim() == 2 for batch in batches for part in batch
    ):
        return None
    return TwoLayerSurface(
        torch.cat([x for x, _ in batches]),
        torch.cat([y for _, y in batches]),
        first.out_features,
        activation="tanh" if type(middle) is nn.Tanh else "linear",
        weight=2 * risk.loss.scale / risk.denominator,
        ridge=ridge,
    )
