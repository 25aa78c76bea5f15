"""Value, gradient and matrices of a composition by plain torch, in float64.

Parameters are moved in place, as in training. First derivatives are taken by autograd and by
differences of the loss, second ones by double backward and by differences of gradients; where the
two disagree, differences are the truth, and where gradients are not the slopes of the loss, no
Hessian is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from composed import blocks
from composed.setup import Setup

# the steps of differences; extrapolated, the error of the first is about its fourth power
STEPS = (2e-3, 2e-4, 2e-5)
CLOSE = 1e-6  # two derivatives of smooth functions of size one agree to about 1e-9
SHARP = 1e-5  # a difference decides where its own error is below this


@contextmanager
def plainly(setup: Setup) -> Iterator[None]:
    """Kernels with second derivatives, and none of the casts that a given dtype omits."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    blocks.Autocast.plain = setup.precision not in ("float64", "float32")
    blocks.Upcast.plain = setup.precision != "float64"
    formula, torch._weight_norm = torch._weight_norm, _weight_norm
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        blocks.Autocast.plain = blocks.Upcast.plain = False
        torch.backends.mha.set_fastpath_enabled(fast)
        torch._weight_norm = formula


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    other = [d for d in range(v.dim()) if d != dim]
    size = v.square().sum(other, keepdim=True).sqrt() if dim != -1 else v.norm()
    return g * v / size


@dataclass
class Slope:
    """A derivative by differences.

    Attributes:
        value: extrapolated.
        error: of it, estimated from two steps.
    """

    value: Tensor
    error: float


class Oracle:
    """Of a setup in float64, at the parameters that its model has now.

    Args:
        setup: whose.
        close: part of its norm by which a gradient may miss the slope along a direction.

    Attributes:
        value: of the loss.
        gradient: by autograd.
        lies: whether differences of the loss contradict the gradient.
        hessian: the truth, None where there is none.
        opaque: whether double backward contradicts differences of gradients.
        failed: whether the backward pass itself fails.
        undecided: whether differences did not converge somewhere.
    """

    def __init__(self, setup: Setup, *, close: float = CLOSE, opaque: bool | None = None) -> None:
        self.setup, self._close = setup, close
        self.free = list(setup.parameters())
        self.names = setup.names()
        self.sizes = [p.numel() for p in self.free]
        self._generator = torch.Generator().manual_seed(1)
        self.constant = self._constant()
        self.undecided = False
        with plainly(setup):
            self.value = float(setup.whole().detach())
            self.failed, self.hessian, self.opaque = False, None, False
            try:
                self.gradient = self._gradient()
            except RuntimeError:  # the user's own backward pass fails
                self.gradient = torch.zeros(sum(self.sizes), dtype=torch.float64)
                self.failed = self.lies = True
                return
            if opaque is not None:
                return
            self.lies = self._gradient_lies()
            self.hessian, self.opaque = self._hessian()

    @classmethod
    def elsewhere(cls, setup: Setup, known: Oracle) -> Oracle:
        """At other parameters: value, gradient and products only, as `known` found right."""
        found = cls(setup, opaque=known.opaque)
        found.lies, found.hessian, found.opaque = known.lies, known.hessian, known.opaque
        return found

    def products(self, block: Tensor) -> Tensor:
        """H V, by differences of gradients where double backward is not the truth."""
        with plainly(self.setup):
            if self.opaque:
                return torch.stack([self._difference(v) for v in block.unbind(1)], 1)
            with torch.enable_grad():
                slopes = self._slopes(self.setup.whole(), create_graph=True)
                return torch.stack(
                    [
                        self._flat(
                            torch.stack(
                                [
                                    (s * part.view_as(s)).sum()
                                    for s, part in zip(slopes, v.split(self.sizes), strict=True)
                                ]
                            ).sum(),
                            create_graph=True,
                        )
                        for v in block.unbind(1)
                    ],
                    1,
                ).detach()

    def _difference(self, v: Tensor) -> Tensor:
        """H v by differences; of entries that an embedding keeps constant, what a penalty adds."""
        free = self.differences(self._gradient, v * ~self.constant, 1e-3).value * ~self.constant
        if not self.setup.kit.reads or not bool(self.constant.any()):
            return free
        fixed = self.differences(self._gradient, v * self.constant, 1e-3).value * self.constant
        return free + fixed

    @property
    def computable(self) -> bool:
        """Whether double backward gives the truth."""
        return not self.lies and not self.opaque and self.hessian is not None

    def directions(self) -> list[Tensor]:
        """One random unit vector inside every parameter."""
        found, start = [], 0
        for size in self.sizes:
            v = torch.zeros(sum(self.sizes), dtype=torch.float64)
            v[start : start + size] = torch.randn(
                size, generator=self._generator, dtype=torch.float64
            )
            v[self.constant] = 0
            norm = float(v.norm())
            found.append(v / (norm or 1.0))
            start += size
        return found

    @contextmanager
    def moved(self, step: Tensor) -> Iterator[None]:
        """With other parameters in place."""
        before = [p.detach().clone() for p in self.free]
        try:
            with torch.no_grad():
                for p, s in zip(self.free, step.split(self.sizes), strict=True):
                    p.add_(s.view_as(p))
            yield
        finally:
            with torch.no_grad():
                for p, b in zip(self.free, before, strict=True):
                    p.copy_(b)

    def differences(self, function: Callable[[], Tensor], direction: Tensor, scale: float) -> Slope:
        """Derivative of a function along a direction; the first step that is sharp, or the best."""

        def central(h: float) -> Tensor:
            with self.moved(h * direction):
                up = function()
            with self.moved(-h * direction):
                return (up - function()) / (2 * h)

        best: Slope | None = None
        for h in STEPS:
            coarse, fine = central(h), central(h / 2)
            value = (4 * fine - coarse) / 3
            error = float((fine - coarse).norm()) if bool(torch.isfinite(value).all()) else 1e300
            if best is None or error < best.error:
                best = Slope(value, error)
            if error <= SHARP * max(float(value.norm()), scale):
                break
        assert best is not None
        return best

    def flat_gradient(self) -> Tensor:
        return self._gradient()

    def _gradient(self) -> Tensor:
        with torch.enable_grad():
            value = self.setup.whole()
            return self._flat(value, create_graph=False)

    def _flat(self, value: Tensor, *, create_graph: bool) -> Tensor:
        return torch.cat([p.reshape(-1) for p in self._slopes(value, create_graph=create_graph)])

    def _slopes(self, value: Tensor, *, create_graph: bool) -> Sequence[Tensor]:
        if not value.requires_grad:
            return [torch.zeros_like(p) for p in self.free]
        return torch.autograd.grad(
            value, self.free, create_graph=create_graph, materialize_grads=True
        )

    def _second(self, value: Tensor) -> Tensor:
        """The Hessian by double backward, row by row."""
        # not concatenated: slices of a long vector need not be aligned for complex views
        slopes = self._slopes(value, create_graph=True)
        return torch.cat([rows_of(slope, self.free) for slope in slopes]).detach()

    def _constant(self) -> Tensor:
        """Entries that torch keeps constant by its own rule: padding rows."""
        mask = torch.zeros(sum(self.sizes), dtype=torch.bool)
        for name, row in self.setup.constant_rows:
            if name in self.names:
                at = self.names.index(name)
                width = self.free[at].shape[1]
                start = sum(self.sizes[:at]) + row * width
                mask[start : start + width] = True
        return mask

    def _gradient_lies(self) -> bool:
        g, scale = self.gradient, float(self.gradient.norm())
        for v in self.directions():
            if not float(v.norm()):
                continue
            slope = self.differences(lambda: self.setup.whole().detach(), v, scale)
            away = abs(float(slope.value) - float(g @ v))
            if slope.error > 1e-3 * (scale + abs(float(slope.value))) + 1e-9 * abs(self.value):
                self.undecided = True
            elif away > 10 * slope.error + self._close * scale + 1e-9 * max(1e-3, abs(self.value)):
                return True
        return False

    def _hessian(self) -> tuple[Tensor | None, bool]:
        if self.lies:
            return None, False
        try:
            with torch.enable_grad():
                exact = self._second(self.setup.whole())
        except RuntimeError:
            exact = None
        opaque = exact is None
        if exact is not None:
            exact = (exact + exact.mT) / 2 if _symmetric(exact) else exact
            scale = float(exact.norm())
            opaque = not _symmetric(exact)
            for v in self.directions():
                slope_ = self.differences(self._gradient, v, scale)
                away = float((slope_.value - exact @ v).norm())
                if slope_.error > 1e-3 * (scale + float(slope_.value.norm())):
                    self.undecided = True
                elif away > 10 * slope_.error + CLOSE * (
                    scale + 1e-3 * float(self.gradient.norm())
                ):
                    opaque = True
        if not opaque:
            return exact, False
        columns = []
        for number, unit in enumerate(torch.eye(sum(self.sizes), dtype=torch.float64)):
            if bool(self.constant[number]):
                columns.append(torch.zeros_like(unit))
                continue
            found = self.differences(self._gradient, unit, 1e-3)
            if found.error > 1e-3 * (1e-3 + float(found.value.norm())):
                self.undecided = True
            columns.append(found.value * ~self.constant)
        truth = torch.stack(columns, 1)
        truth = (truth + truth.mT) / 2
        if exact is not None:  # a penalty sees rows that the embedding keeps constant
            truth[self.constant] = exact[self.constant]
            truth[:, self.constant] = exact[:, self.constant]
        return truth, True


def _symmetric(matrix: Tensor) -> bool:
    return float((matrix - matrix.mT).norm()) <= 1e-9 * float(matrix.norm())


def rows_of(vector: Tensor, inputs: Sequence[Tensor]) -> Tensor:
    """Jacobian by one backward pass a row."""
    size = sum(p.numel() for p in inputs)
    if not vector.requires_grad:
        return torch.zeros(vector.numel(), size, dtype=vector.dtype)
    found = []
    for entry in vector.reshape(-1):
        parts = torch.autograd.grad(entry, inputs, retain_graph=True, materialize_grads=True)
        found.append(torch.cat([p.reshape(-1) for p in parts]))
    return torch.stack(found) if found else vector.new_zeros(0, size)


@dataclass
class Parts:
    """What outputs make of the Hessian.

    Attributes:
        gauss_newton: J^T Lambda J.
        residual: the Hessian of <f, e> with e fixed.
        fisher: second moment of the gradients of samples, times the denominator; or None.
        convex: whether Lambda is positive semidefinite.
    """

    gauss_newton: Tensor
    residual: Tensor | None
    fisher: Tensor | None
    convex: bool
    blocks: bool


def parts_of(oracle: Oracle) -> Parts:
    """By hand, for a setup whose gradients are right."""
    setup = oracle.setup
    with plainly(setup), torch.enable_grad():
        f = setup.outputs()
        jacobian = rows_of(f, oracle.free).detach()
        point = f.detach().requires_grad_()
        total = setup.of_outputs(point)
        slope = rows_of_graph(total, point)
        middle = rows_of(slope, [point]).detach()
        middle = (middle + middle.mT) / 2
        e = slope.detach()
        residual = None
        if not oracle.opaque:
            residual = oracle._second((f.reshape(-1) * e).sum())
            residual = (residual + residual.mT) / 2
        fisher = None
        dim = setup.sample_dim
        if not setup.flat and not setup.kit.coupled and f.dim() > dim:
            rows = (jacobian * e[:, None]).view(*f.shape, -1)
            rows = rows.movedim(dim, 0).reshape(f.shape[dim], -1, jacobian.shape[1]).sum(1)
            fisher = rows.mT @ rows
    n = f.shape[setup.sample_dim] if f.dim() else 1
    index = torch.arange(n).view(
        [-1 if d == setup.sample_dim else 1 for d in range(max(1, f.dim()))]
    )
    sample = index.expand(f.shape).reshape(-1) if f.dim() else torch.zeros(1)
    apart = sample[:, None] != sample[None, :]
    smallest = float(torch.linalg.eigvalsh(middle)[0])
    return Parts(
        gauss_newton=jacobian.mT @ middle @ jacobian, residual=residual, fisher=fisher,
        convex=smallest >= -1e-9 * max(1e-30, float(middle.abs().max())),
        blocks=float((middle * apart).norm()) <= 1e-9 * float(middle.norm()),
    )  # fmt: skip


def rows_of_graph(total: Tensor, point: Tensor) -> Tensor:
    if not total.requires_grad:
        return torch.zeros_like(point).reshape(-1)
    (slope,) = torch.autograd.grad(total, point, create_graph=True, materialize_grads=True)
    return slope.reshape(-1)
