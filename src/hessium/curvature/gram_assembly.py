r"""Inner products of the rows of a Jacobian, layer by layer, without the Jacobian.

$$K_{(s c),(t d)} = \sum_l \langle g_{l s c}, g_{l t d}\rangle, \quad
  g_{l s c} = \sum_{\text{uses}} \sum_p b_{p s c}\, a_{p s}^T,
  \quad b_{p s c} = \partial f_{s c} / \partial \varepsilon_p$$

over the parameters l, with all uses of a parameter in the sum before its inner product. For the
weight of one linear layer or convolution this equals $\sum_{p q} \langle b_{p s c}, b_{q t
d}\rangle \langle a_{p s}, a_{q t}\rangle$: this is cheaper with few positions, since no gradient is
formed. For each layer either b or the gradients are stored, whichever is smaller; if not all layers
fit into memory, the network is evaluated again for the rest.

Valid if the outputs of a sample do not depend on other samples; the caller checks the result on
random vectors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from hessium.curvature.gram_target import InnerProducts
from hessium.curvature.layer_ops import Outer, Swapped
from hessium.curvature.layer_recorder import TappedBatch, tap
from hessium.problem import EmpiricalRisk
from hessium.problem.output_hessian import OutputHessian

PASS = 30  # multiply-adds in the time of three passes over an array

Middle = Callable[[Tensor, Any], OutputHessian]


def gram(risk: EmpiricalRisk, middle: Middle, work: int, hold: int) -> Tensor | None:
    r"""$S^T J J^T S$ over all samples of all batches, without forming J; not yet normalised.

    Args:
        risk: the risk, at its parameters.
        middle: (outputs, targets) -> the object with the factor S.
        work: bytes of one piece of work.
        hold: memory limit for data of all samples.

    Returns:
        Shape (R, R) with rows ordered by sample, then column of S; None where taps do not apply,
        ranks differ (sequences of other lengths), batches use other layers (terms of a sum), or
        one layer alone does not fit.
    """
    found = inner_products(risk, middle, work, hold)
    return None if found is None else found.own


def inner_products(
    risk: EmpiricalRisk,
    middle: Middle,
    work: int,
    hold: int,
    *,
    first: int = 0,
    joint: bool = True,
) -> InnerProducts | None:
    """As `gram`, without products with each other of the samples of the `first` outputs."""
    groups: list[list[Part]] | None = None
    target: InnerProducts | None = None
    rank: int | None = None
    layers: list[tuple[type, int | None, int | None]] | None = None
    done = 0
    while groups is None or done < len(groups):
        sizes: list[int] = []
        outputs, before = 0, 0
        for inputs, targets in risk.batches():
            batch = tap(risk, inputs)
            if batch is None:
                return None
            factors = middle(batch.outputs, targets)
            factors.require_factor()
            used = [(type(call), call.weight, call.bias) for call in batch.calls]
            if rank not in (None, factors.rank) or layers not in (None, used):
                return None
            rank, layers = factors.rank, used
            if groups is None:
                rows_in_all = (
                    risk.num_outputs * factors.rank * batch.samples // (batch.outputs.numel())
                )
                groups = _grouped(_parts(batch, risk, rows_in_all), rows_in_all, hold)
                if groups is None:
                    return None
            if not _collect(groups[done], batch, factors, work):
                return None
            sizes.append(batch.samples)
            outputs += batch.outputs.numel()
            before += batch.samples if outputs <= first else 0
        assert groups is not None
        assert rank is not None
        if target is None:
            assert rank is not None
            target = InnerProducts(sum(sizes), rank, before, joint, risk.theta)
        for part in groups[done]:
            part.add_to(target, work)
        groups[done] = []
        done += 1
    assert target is not None
    return target.close()


def jacobian_rows(
    risk: EmpiricalRisk, batch: TappedBatch, factors: OutputHessian, work: int
) -> Iterator[Tensor]:
    """Rows of S^T J of one batch, (samples x columns, P), a few columns of S at a time."""
    uses = uses_of(batch)
    units = [torch.arange(s[0] if s else 1, device=risk.device) for s in risk.layout.shapes]
    per_column = batch.samples * risk.dim * risk.dtype.itemsize
    for pulled in pulled_blocks(batch, factors, range(len(batch.calls)), work, per_column):
        count = next(iter(pulled.values())).shape[1]
        rows = torch.zeros(batch.samples, count, risk.dim, dtype=risk.dtype, device=risk.device)
        for leaf, at in uses.items():
            name = risk.names[leaf]
            found = leaf_rows(batch, pulled, leaf, at, units[leaf])
            rows[..., risk.layout.slice(name)] = found.flatten(2)
        yield rows.flatten(0, 1)


class Part(ABC):
    """Contribution of some parameters to the matrix.

    Attributes:
        calls: positions of the calls that it needs.
        per_row: numbers stored for each row of the matrix.
    """

    calls: list[int]
    per_row: int

    @abstractmethod
    def take(self, batch: TappedBatch, pulled: dict[int, Tensor]) -> None:
        """Store b of each call for some columns of a batch."""

    @abstractmethod
    def close(self, batch: TappedBatch) -> None:
        """Finish a batch after all its columns."""

    @abstractmethod
    def add_to(self, target: InnerProducts, work: int) -> None:
        """Add the inner products of the rows of all samples that are wanted."""


class Ghost(Part):
    """Weight and bias of one layer by inner products of b and of a, position by position."""

    def __init__(self, call: int, per_row: int) -> None:
        self.calls, self.per_row = [call], per_row
        self._open: list[Tensor] = []
        self._b: list[Tensor] = []
        self._a: list[Tensor] = []

    def take(self, batch: TappedBatch, pulled: dict[int, Tensor]) -> None:
        """Keep b."""
        self._open.append(pulled[self.calls[0]])

    def close(self, batch: TappedBatch) -> None:
        """Keep a."""
        call = batch.calls[self.calls[0]]
        assert isinstance(call, Outer)
        self._b.append(torch.cat(self._open, dim=1))
        self._a.append(call.extended_inputs(batch.samples))
        self._open = []

    def add_to(self, target: InnerProducts, work: int) -> None:
        """One matrix product for each pair of positions, in pieces."""
        b, a = torch.cat(self._b), torch.cat(self._a)
        rank, positions = b.shape[1], b.shape[2]
        for some, seen in target.pairs(work):
            for p in range(positions):
                left, inputs = b[some, :, p].flatten(0, 1), a[some, p]
                for q in range(positions):
                    right = b[seen, :, q].flatten(0, 1)
                    part = (left @ right.mT).view(len(inputs), rank, -1, rank)
                    part.mul_((inputs @ a[seen, q].mT)[:, None, :, None])
                    target.add(some, seen, part.view(len(left), -1))


class Rows(Part):
    """One parameter with all its uses, by its gradients: stored, or formed in parts from b."""

    def __init__(self, leaf: int, uses: Sequence[Use], shape: Sequence[int], per_b: int) -> None:
        self._leaf, self._uses = leaf, uses
        self.calls = sorted({call for call, _ in uses})
        self._shape = torch.Size(shape)
        self._formed = self._shape.numel() <= per_b
        self.per_row = min(self._shape.numel(), per_b)
        self._open: list[dict[int, Tensor]] = []
        self._held: list[tuple[TappedBatch, dict[int, Tensor]]] = []
        self._rows: list[Tensor] = []

    def take(self, batch: TappedBatch, pulled: dict[int, Tensor]) -> None:
        """Form the gradients, or keep b."""
        mine = {call: pulled[call] for call in self.calls}
        if self._formed:
            units = torch.arange(self._shape[0], device=batch.outputs.device)
            mine = {0: leaf_rows(batch, mine, self._leaf, self._uses, units).flatten(2)}
        self._open.append(mine)

    def close(self, batch: TappedBatch) -> None:
        """Put the columns together."""
        whole = {key: torch.cat([p[key] for p in self._open], dim=1) for key in self._open[0]}
        if self._formed:
            self._rows.append(whole[0].flatten(0, 1))
        else:
            self._held.append((batch, whole))
        self._open = []

    def add_to(self, target: InnerProducts, work: int) -> None:
        """Matrix products of pieces of the gradients."""
        for piece in self._pieces(work, target.itemsize):
            for some, seen in target.pairs(work):
                left, right = piece[target.rows(some)], piece[target.rows(seen)]
                target.multiply(some, seen, left, right)

    def _pieces(self, work: int, itemsize: int) -> Iterator[Tensor]:
        """Columns of the gradients of all rows, as many as the work space holds or a unit."""
        if self._formed:
            yield torch.cat(self._rows)
            return
        rows = sum(b.shape[0] * b.shape[1] for _, held in self._held for b in [*held.values()][:1])
        width = max(1, work // (rows * itemsize))
        step = max(1, width * self._shape[0] // self._shape.numel())
        for units in self._units().split(step):
            yield torch.cat(
                [
                    leaf_rows(batch, b, self._leaf, self._uses, units).flatten(2).flatten(0, 1)
                    for batch, b in self._held
                ]
            )

    def _units(self) -> Tensor:
        """Rows of the parameter that have a gradient: all, or the tokens that occur."""
        tokens = []
        for batch, _ in self._held:
            for at, _ in self._uses:
                call = batch.calls[at]
                if not isinstance(call, Swapped) or call.inputs.is_floating_point():
                    return torch.arange(self._shape[0], device=call.offset.device)
                tokens.append(call.tokens(batch.samples).reshape(-1))
        found = torch.cat(tokens).unique()
        return found[found >= 0]


Use = tuple[int, str]  # position of a call, and "weight" or "bias"


def uses_of(batch: TappedBatch) -> dict[int, list[Use]]:
    """Uses of each free parameter."""
    found: dict[int, list[Use]] = {}
    for at, call in enumerate(batch.calls):
        for kind, leaf in (("weight", call.weight), ("bias", call.bias)):
            if leaf is not None:
                found.setdefault(leaf, []).append((at, kind))
    return found


def leaf_rows(
    batch: TappedBatch,
    pulled: dict[int, Tensor],
    leaf: int,
    uses: Sequence[Use],
    units: Tensor,
) -> Tensor:
    """Gradients of some units of one parameter, (samples, columns, units, rest)."""
    total: Tensor | None = None
    for at, kind in uses:
        call = batch.calls[at]
        found = (call.weight_rows if kind == "weight" else call.bias_rows)(pulled[at], units)
        total = found if total is None else total + found.view_as(total)
    assert total is not None
    return total


def _parts(batch: TappedBatch, risk: EmpiricalRisk, rows_in_all: int) -> list[Part]:
    """The cheapest way for every parameter."""
    uses = uses_of(batch)
    parts: list[Part] = []
    by_ghost: set[int] = set()
    for at, call in enumerate(batch.calls):
        mine = [leaf for leaf in (call.weight, call.bias) if leaf is not None]
        if call.weight is None or not isinstance(call, Outer):
            continue
        if any(len(uses[leaf]) > 1 for leaf in mine):
            continue
        positions = call.positions(batch.samples)
        entries = torch.Size(risk.layout.shapes[call.weight]).numel()
        # multiply-adds for each pair of rows: entries of the matrix pass through memory for each
        # pair of positions, and gradients are formed once for each row
        ghost = positions**2 * (call.width + PASS)
        formed = (entries + call.width) * (1 + 2 * positions / rows_in_all)
        if ghost <= formed:
            parts.append(Ghost(at, positions * call.width))
            by_ghost.update(mine)
    for leaf, places in uses.items():
        if leaf not in by_ghost:
            per_b = sum(batch.calls[k].offset.numel() // batch.samples for k, _ in places)
            parts.append(Rows(leaf, places, risk.layout.shapes[leaf], per_b))
    return parts


def _grouped(parts: list[Part], rows_in_all: int, hold: int) -> list[list[Part]] | None:
    """Groups of parts that fit into memory together; None if one part alone does not fit."""
    groups: list[list[Part]] = [[]]
    used = 0
    for part in parts:
        size = part.per_row * rows_in_all * 8
        if size > hold:
            return None
        if used + size > hold:
            groups.append([])
            used = 0
        groups[-1].append(part)
        used += size
    return groups


def _collect(parts: list[Part], batch: TappedBatch, factors: OutputHessian, work: int) -> bool:
    """Pull columns of one batch back to the calls of some parts."""
    which = sorted({call for part in parts for call in part.calls})
    if not which or which[-1] >= len(batch.calls):
        return False
    for pulled in pulled_blocks(batch, factors, which, work):
        for part in parts:
            part.take(batch, pulled)
    for part in parts:
        part.close(batch)
    return True


def pulled_blocks(
    batch: TappedBatch, factors: OutputHessian, which: Sequence[int], work: int, more: int = 0
) -> Iterator[dict[int, Tensor]]:
    """Arrays b for each call, in chunks within the work space (`more` bytes a column)."""
    factors.require_factor()
    offsets = sum(batch.calls[k].offset.nbytes for k in which)
    step = max(1, work // (2 * offsets + 2 * batch.outputs.nbytes + more))
    for start in range(0, factors.rank, step):
        columns = factors.columns(start, min(start + step, factors.rank), batch.samples)
        found = batch.output_rows(columns, which)
        yield {
            k: batch.calls[k].fold(b, batch.samples).transpose(0, 1)
            for k, b in zip(which, found, strict=True)
        }
