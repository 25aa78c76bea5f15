r"""Hessian of a loss in the outputs of a network, sample by sample.

For outputs $f_s \in \mathbb{R}^C$ of N samples and $\ell = \sum_s \ell_s(f_s)$ it is block
diagonal with blocks $\Lambda_s = \nabla^2 \ell_s(f_s)$. A factor $S_s$, $S_s S_s^T = \Lambda_s$,
turns the Gauss-Newton matrix into $\sum_s (S_s^T J_s)^T (S_s^T J_s)$, whose companion is a Gram
matrix.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from hessium.errors import InputError


class OutputHessian(ABC):
    """The blocks of all samples of one batch, with outputs as an N x C array."""

    @property
    @abstractmethod
    def rank(self) -> int:
        """r, columns of the factor of one sample."""

    @abstractmethod
    def product(self, u: Tensor) -> Tensor:
        r"""$\Lambda u$ for u of shape (..., N, C)."""

    @abstractmethod
    def factor(self, w: Tensor) -> Tensor:
        r"""$S_s w_s$ for w of shape (..., N, r), where $S_s S_s^T = \Lambda_s$; (..., N, C)."""

    @abstractmethod
    def factor_transpose(self, u: Tensor) -> Tensor:
        r"""$S_s^T u_s$ for u of shape (..., N, C); (..., N, r)."""

    @abstractmethod
    def scaled(self, factor: float) -> OutputHessian:
        r"""$c \Lambda$ for c > 0."""

    @abstractmethod
    def require_factor(self) -> None:
        """Check that S exists.

        Raises:
            InputError: if a block has a negative eigenvalue: the loss is not convex in the outputs;
                or if there are no blocks, because samples are coupled.
        """

    def columns(self, start: int, stop: int, samples: int) -> Tensor:
        """Columns start to stop of S for every sample, (stop - start, N, C)."""
        unit = torch.eye(self.rank, dtype=self._like.dtype, device=self._like.device)[start:stop]
        return self.factor(unit[:, None, :].expand(-1, samples, -1))

    @property
    @abstractmethod
    def _like(self) -> Tensor:
        """Any tensor of the right dtype and device."""


@dataclass(frozen=True)
class Diagonal(OutputHessian):
    """Diagonal blocks, of losses that are sums over entries.

    Attributes:
        entries: second derivatives, shape (N, C).
    """

    entries: Tensor

    @property
    def rank(self) -> int:
        """C."""
        return self.entries.shape[1]

    def product(self, u: Tensor) -> Tensor:
        """Entrywise."""
        return self.entries * u

    def factor(self, w: Tensor) -> Tensor:
        """The square root, entrywise."""
        return self.entries.sqrt() * w

    def factor_transpose(self, u: Tensor) -> Tensor:
        """The same."""
        return self.entries.sqrt() * u

    def scaled(self, factor: float) -> Diagonal:
        """Entrywise."""
        return Diagonal(factor * self.entries)

    def require_factor(self) -> None:
        """Check that no entry is negative."""
        _require_convex(self.entries)

    @property
    def _like(self) -> Tensor:
        return self.entries


@dataclass(frozen=True)
class Softmax(OutputHessian):
    r"""Cross-entropy: $\Lambda = q (\mathrm{diag}(p) - p p^T)$ at each of L positions of a sample.

    Its factor is $S = \sqrt q (\mathrm{diag}(\sqrt p) - p \sqrt p^T)$.

    Attributes:
        probabilities: p, shape (N, K, L): K classes at L positions, so C = K L.
        weights: q >= 0, total target weight of a position, shape (N, L).
    """

    probabilities: Tensor
    weights: Tensor

    @property
    def rank(self) -> int:
        """C."""
        return self.probabilities.shape[1] * self.probabilities.shape[2]

    def product(self, u: Tensor) -> Tensor:
        """Without forming a block."""
        p = self.probabilities
        x = self._by_class(u)
        # blind to a shift of all scores: measured from the likeliest class, nothing cancels
        top = p.argmax(dim=1, keepdim=True).expand(*x.shape[:-2], 1, x.shape[-1])
        x = x - x.gather(-2, top)
        centred = x - (p * x).sum(dim=-2, keepdim=True)
        return (self.weights.unsqueeze(-2) * p * centred).reshape(u.shape)

    def factor(self, w: Tensor) -> Tensor:
        """Without forming a block."""
        p, root = self.probabilities, self.probabilities.sqrt()
        x = root * self._by_class(w)
        inner = x - p * x.sum(dim=-2, keepdim=True)
        return (self.weights.sqrt().unsqueeze(-2) * inner).reshape(w.shape)

    def factor_transpose(self, u: Tensor) -> Tensor:
        """Without forming a block."""
        p, root = self.probabilities, self.probabilities.sqrt()
        x = self._by_class(u)
        inner = root * (x - (p * x).sum(dim=-2, keepdim=True))
        return (self.weights.sqrt().unsqueeze(-2) * inner).reshape(u.shape)

    def scaled(self, factor: float) -> Softmax:
        """By the weights."""
        return Softmax(self.probabilities, factor * self.weights)

    def require_factor(self) -> None:
        """Check that no weight is negative."""
        _require_convex(self.weights)

    def _by_class(self, flat: Tensor) -> Tensor:
        return flat.reshape(*flat.shape[:-1], *self.probabilities.shape[1:])

    @property
    def _like(self) -> Tensor:
        return self.probabilities


@dataclass(frozen=True)
class Autodiff(OutputHessian):
    """Blocks of any other loss, by double backward through the loss alone.

    Attributes:
        total: the loss as a function of outputs (N, C).
        outputs: at which to differentiate, shape (N, C).
    """

    total: Callable[[Tensor], Tensor]
    outputs: Tensor

    @property
    def rank(self) -> int:
        """C."""
        return self.outputs.shape[1]

    def product(self, u: Tensor) -> Tensor:
        """One double backward through the loss for each leading index."""
        point = self.outputs.detach().requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(self.total(point), point, create_graph=True)
            if not slope.requires_grad:
                return torch.zeros_like(u)
            rows = [
                torch.autograd.grad(slope, point, v, retain_graph=True, materialize_grads=True)[0]
                for v in u.reshape(-1, *point.shape)
            ]
        return torch.stack(rows).reshape(u.shape)

    def factor(self, w: Tensor) -> Tensor:
        """By the square root of each block."""
        return torch.einsum("ncr,...nr->...nc", self._root, w)

    def factor_transpose(self, u: Tensor) -> Tensor:
        """By the square root of each block."""
        return torch.einsum("ncr,...nc->...nr", self._root, u)

    def scaled(self, factor: float) -> Autodiff:
        """By the loss."""
        return Autodiff(lambda f: factor * self.total(f), self.outputs)

    def require_factor(self) -> None:
        """Check that all blocks have a square root."""
        _ = self._root

    @cached_property
    def _root(self) -> Tensor:
        """Blocks S (N, C, C) from the eigenvectors of the blocks of the second derivative."""
        samples, size = self.outputs.shape
        units = torch.eye(size, dtype=self.outputs.dtype, device=self.outputs.device)
        blocks = self.product(units[:, None, :].expand(size, samples, size)).permute(1, 2, 0)
        # Blocks are complete only if samples are not coupled: check on a random vector.
        generator = torch.Generator().manual_seed(samples * size)
        probe = torch.randn(samples, size, generator=generator, dtype=torch.float64, device="cpu")
        v = probe.to(self.outputs)
        error = (self.product(v) - torch.einsum("nck,nk->nc", blocks, v)).abs().max()
        if float(error) > torch.finfo(v.dtype).eps ** 0.5 * float(self.product(v).abs().max()):
            msg = (
                "loss: couples different samples, so its output Hessian has no block per sample; "
                "GaussNewton products are available, its Gram matrix is not"
            )
            raise InputError(msg)
        # in float64: torch's solver for singular float32 matrices can return NaN where numbers
        # underflow
        values, vectors = torch.linalg.eigh(((blocks + blocks.mT) / 2).double())
        values, vectors = values.to(blocks), vectors.to(blocks)
        floor = 1e3 * torch.finfo(values.dtype).eps * float(values.abs().max())
        _require_convex(torch.where(values.abs() <= floor, torch.zeros_like(values), values))
        return vectors * values.clamp(min=0).sqrt().unsqueeze(-2)

    @property
    def _like(self) -> Tensor:
        return self.outputs


def _require_convex(curvatures: Tensor) -> None:
    smallest = float(curvatures.min()) if curvatures.numel() else 0.0
    if smallest < 0:
        msg = (
            f"loss: output Hessian has eigenvalue {smallest:.3g}; "
            "a factor exists only for losses convex in the outputs"
        )
        raise InputError(msg)
