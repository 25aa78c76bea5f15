r"""Second derivative of a loss in the outputs of a network, sample by sample.

For outputs $f_s \in \mathbb{R}^C$ of N samples and $\ell = \sum_s \ell_s(f_s)$ it is block
diagonal with blocks $\Lambda_s = \nabla^2 \ell_s(f_s)$. A factor $S_s$, $S_s S_s^T = \Lambda_s$,
turns the Gauss-Newton matrix into $\sum_s (S_s^T J_s)^T (S_s^T J_s)$, whose companion is a Gram
matrix.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hessium.errors import InputError


class OutputHessian(ABC):
    """The blocks of all samples of one batch; outputs are seen as an N x C array."""

    @abstractmethod
    def product(self, u: Tensor) -> Tensor:
        r"""$\Lambda u$ for u of shape (..., N, C)."""

    @abstractmethod
    def factor(self) -> Tensor:
        r"""Blocks S of shape (N, C, r) with $S_s S_s^T = \Lambda_s$.

        Raises:
            InputError: if a block has a negative eigenvalue: the loss is not convex in the outputs.
        """


@dataclass(frozen=True)
class Diagonal(OutputHessian):
    """Losses that act entry by entry.

    Attributes:
        entries: second derivatives, shape (N, C).
    """

    entries: Tensor

    def product(self, u: Tensor) -> Tensor:
        """Entrywise."""
        return self.entries * u

    def factor(self) -> Tensor:
        """The square root on the diagonal."""
        _require_convex(self.entries)
        return torch.diag_embed(self.entries.sqrt())


@dataclass(frozen=True)
class Softmax(OutputHessian):
    r"""Cross-entropy: $\Lambda = q (\mathrm{diag}(p) - p p^T)$ at each of L positions of a sample.

    Attributes:
        probabilities: p, shape (N, K, L): K classes at L positions, so C = K L.
        weights: q >= 0, total target weight of a position, shape (N, L).
    """

    probabilities: Tensor
    weights: Tensor

    def product(self, u: Tensor) -> Tensor:
        """Without forming a block."""
        p = self.probabilities
        x = u.reshape(*u.shape[:-1], *p.shape[1:])
        centred = x - (p * x).sum(dim=-2, keepdim=True)
        return (self.weights.unsqueeze(-2) * p * centred).reshape(u.shape)

    def factor(self) -> Tensor:
        r"""$S = \sqrt q (\mathrm{diag}(\sqrt p) - p \sqrt p^T)$."""
        _require_convex(self.weights)
        root = self.probabilities.sqrt()
        block = -torch.einsum("ncl,nkl->nclk", self.probabilities, root)
        block = block + torch.diag_embed(root.transpose(1, 2)).transpose(1, 2)
        block = block * self.weights.sqrt()[:, None, :, None]
        samples, classes, positions = self.probabilities.shape
        size = classes * positions
        # columns (k, l') of position l are zero unless l = l'
        full = torch.diag_embed(block.permute(0, 1, 3, 2))
        return full.permute(0, 1, 3, 2, 4).reshape(samples, size, size)


@dataclass(frozen=True)
class Autodiff(OutputHessian):
    """Any other loss, by double backward through the loss alone.

    Attributes:
        total: the loss as a function of outputs (N, C).
        outputs: where, shape (N, C).
    """

    total: Callable[[Tensor], Tensor]
    outputs: Tensor

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

    def factor(self) -> Tensor:
        """Square root of each block by its eigenvectors; one block of all where samples mix."""
        samples, size = self.outputs.shape
        units = torch.eye(size, dtype=self.outputs.dtype, device=self.outputs.device)
        columns = self.product(units[:, None, :].expand(size, samples, size))
        blocks = columns.permute(1, 2, 0)
        # Blocks describe the loss only if no sample feels another one: test on one sign vector.
        signs = torch.ones_like(self.outputs)
        signs[::2] = -1
        separable = torch.einsum("nck,nk->nc", blocks, signs)
        error = (self.product(signs) - separable).abs().max()
        if float(error) > 1e-6 * float(blocks.abs().max()):
            msg = (
                "loss: couples different samples, so its output Hessian has no block per sample; "
                "GaussNewton products work, its Gram matrix does not exist"
            )
            raise InputError(msg)
        values, vectors = torch.linalg.eigh((blocks + blocks.mT) / 2)
        floor = 1e3 * torch.finfo(values.dtype).eps * float(values.abs().max())
        _require_convex(torch.where(values.abs() <= floor, torch.zeros_like(values), values))
        return vectors * values.clamp(min=0).sqrt().unsqueeze(-2)


def _require_convex(curvatures: Tensor) -> None:
    smallest = float(curvatures.min()) if curvatures.numel() else 0.0
    if smallest < 0:
        msg = (
            f"loss: output Hessian has eigenvalue {smallest:.3g}; "
            "a factor exists only for losses convex in the outputs"
        )
        raise InputError(msg)
