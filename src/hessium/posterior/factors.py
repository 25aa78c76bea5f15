r"""Factorisations of one whitened Jacobian, in the user's units and with columns of length one.

Where A fits into memory, V comes from an orthogonal factorisation: singular values are accurate to
$\epsilon s_1$. Otherwise U comes from $A D^{-2} A^T$, which is assembled without A: squares of
singular values are accurate to $\epsilon s_1^2$ only.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hessium.curvature.jacobian_columns import dense_columns
from hessium.errors import InputError
from hessium.linalg.dense_matrices import require_memory
from hessium.posterior.factor import Factor
from hessium.posterior.measurements import Measurements
from hessium.posterior.scales import column_scales, scaled_gram, tensor_scales
from hessium.problem import EmpiricalRisk
from hessium.problem.other_inputs import OnInputs

_EPS = float(np.finfo(np.float64).eps)
_COPIES = 4  # of A that are held at once


class Factors:
    """Both factorisations of the whitened Jacobian A, each made when it is asked for.

    Args:
        risk: in float64.
        data: its measurements.
        max_bytes: memory limit; A above a quarter of it is not formed.

    Raises:
        InputError: if neither A nor its Gram matrix fits into memory.
    """

    def __init__(self, risk: EmpiricalRisk, data: Measurements, max_bytes: int) -> None:
        self.risk, self.data, self._max_bytes = risk, data, max_bytes
        size, dim = risk.num_outputs, risk.dim
        # A, or R with R^T R = A^T A, and an estimate of the rounding of its columns
        self._rows: tuple[Tensor, Tensor] | None = None
        if dim <= size:
            require_memory(2 * dim, torch.float64, 4 * max_bytes)
            self._rows = _triangle(risk, data, max_bytes)
        elif _COPIES * size * dim * 8 <= max_bytes:
            J, missed = dense_columns(risk, max_bytes)
            self._rows = data.whiten(J), missed.abs() * data.norm
        else:
            require_memory(2 * size, torch.float64, 4 * max_bytes)

    @cached_property
    def plain(self) -> Factor:
        """In the units of the user, D = I: what a prior in these units needs."""
        return self._factor(torch.ones_like(self.risk.theta))

    @cached_property
    def scaled(self) -> Factor:
        """With columns of length one, for what does not depend on the units.

        Cost beyond the factorisation: none, or four gradients and a Gram matrix.
        """
        if self._rows is None:
            return self._factor(tensor_scales(self.risk, self.data))
        A, missed = self._rows
        return self._factor(column_scales(A.norm(dim=0), missed, self.risk.theta))

    def _factor(self, scale: Tensor) -> Factor:
        if self._rows is None:
            K = scaled_gram(self.risk, scale, 2 * self._max_bytes)
            K = self.data.whiten(self.data.whiten(K).mT)
            values, vectors = torch.linalg.eigh((K + K.mT) / 2)
            s = values.flip(0).clamp(min=0).sqrt()
            return self._made(scale, s, left=vectors.flip(1))
        A = self._rows[0] / scale
        if A.shape[0] >= A.shape[1]:
            _, s, vh = torch.linalg.svd(A, full_matrices=False)
            return self._made(scale, s, right=vh.mT.contiguous())
        q, r = torch.linalg.qr(A.mT)
        del A
        u, s, _ = torch.linalg.svd(r)
        return self._made(scale, s, right=q @ u)

    def _made(
        self, scale: Tensor, s: Tensor, *, right: Tensor | None = None, left: Tensor | None = None
    ) -> Factor:
        values = np.asarray(s.cpu().numpy(), dtype=np.float64)
        top = float(values[0]) if values.size else 0.0
        if top == 0:
            msg = (
                "risk: the outputs do not depend on the parameters to first order (J = 0), so the "
                "data determine nothing here; move theta, or free other parameters"
            )
            raise InputError(msg)
        rows, dim = self.risk.num_outputs, self.risk.dim
        if left is None:
            assert self._rows is not None
            rounding = 4 * _EPS * max(4.0, math.sqrt(max(rows, dim))) * top
            rounding += 4 * float((self._rows[1] / scale).norm())
        else:
            rounding = _EPS * max(8.0, float(rows)) * top
            kept = int((values > math.sqrt(rounding * top)).sum())
            values, left = values[:kept], left[:, :kept].contiguous()
        return Factor(
            risk=self.risk, data=self.data, scale=scale, singular_values=values, rounding=rounding,
            max_bytes=self._max_bytes, right=right, left=left,
        )  # fmt: skip


def _triangle(risk: EmpiricalRisk, data: Measurements, max_bytes: int) -> tuple[Tensor, Tensor]:
    """R with R^T R = A^T A, batch after batch, and the rounding of its columns."""
    triangle = torch.zeros(0, risk.dim, dtype=torch.float64, device=risk.device)
    squares = torch.zeros_like(risk.theta)
    for number, (inputs, _) in enumerate(risk.batches()):
        part = OnInputs(risk, [inputs])
        J, missed = dense_columns(part, max_bytes)
        squares += missed.square()
        stacked = torch.cat([triangle, data.whiten(J, number)])
        triangle = torch.linalg.qr(stacked, mode="r").R
    return triangle, squares.sqrt() * data.norm
