r"""Contributions of the parameters to the inner products of the rows of a Jacobian.

With b the derivative of an output in the result of a layer and a the input of the layer, the
gradient of row (s, c) in a weight is $\sum_p b_{p s c} a_{p s}^T$ over the positions p of sample s.
An inner product of two rows is computed in one of three ways, and the cheapest is taken:

- by positions, $\sum_{p q} \langle a_{p s}, a_{q t}\rangle \langle b_{p s c}, b_{q t d}\rangle$;
- by samples, $\sum_q \langle \sum_p M_{p q} b_{p s c}, b_{q t d}\rangle$ with the small matrix
  $M_{p q} = \langle a_{p s}, a_{q t}\rangle$ of a pair of samples: as many multiply-adds a pair of
  rows as b has entries, where the gradient has more (a transformer with more units than positions);
- by gradients: formed and multiplied, which also holds for a parameter with several uses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from hessium.curvature.gram_target import InnerProducts
from hessium.curvature.graph import OutputGraph, differentiate
from hessium.curvature.layer_ops import Call, Outer, Swapped
from hessium.curvature.sample_rows import SampleRows
from hessium.curvature.tapped_batch import TappedBatch
from hessium.problem import EmpiricalRisk
from hessium.problem.output_hessian import OutputHessian

PASS = 30  # multiply-adds in the time of three passes over an array


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
    def close(self, batch: TappedBatch, factors: OutputHessian) -> None:
        """Finish a batch after all its columns."""

    @abstractmethod
    def add_to(self, target: InnerProducts, work: int) -> None:
        """Add the inner products of the rows of all samples that are wanted."""


class OneLayer(Part):
    """Weight and bias of one layer that are used nowhere else, from b and a."""

    def __init__(self, call: int, per_row: int) -> None:
        self.calls, self.per_row = [call], per_row
        self._open: list[Tensor] = []
        self._b: list[Tensor] = []
        self._a: list[Tensor] = []

    def take(self, batch: TappedBatch, pulled: dict[int, Tensor]) -> None:
        """Keep b."""
        self._open.append(pulled[self.calls[0]])

    def close(self, batch: TappedBatch, factors: OutputHessian) -> None:
        """Keep a."""
        call = batch.calls[self.calls[0]]
        assert isinstance(call, Outer | Swapped)
        self._b.append(torch.cat(self._open, dim=1))
        self._a.append(call.extended_inputs(batch.samples))
        self._open = []

    def inputs(self) -> Tensor:
        """Inputs a of all samples, (samples, positions, entries); tokens (samples, positions)."""
        if self._a[0].dim() == 3:
            return torch.cat(self._padded(self._a))
        longest = max(tokens.shape[1] for tokens in self._a)
        return torch.cat([F.pad(t, (0, longest - t.shape[1]), value=-1) for t in self._a])

    def derivatives(self) -> Tensor:
        """Derivatives b of all samples, (samples, columns, positions, width)."""
        return torch.cat(self._padded(self._b))

    def _padded(self, arrays: list[Tensor]) -> list[Tensor]:
        """Zeros at the positions that the samples of a batch do not have."""
        longest = max(array.shape[-2] for array in arrays)
        return [F.pad(array, (0, 0, 0, longest - array.shape[-2])) for array in arrays]


class ByPositions(OneLayer):
    """One layer, position by position."""

    def add_to(self, target: InnerProducts, work: int) -> None:
        """One matrix product for each pair of positions, in pieces."""
        b, a = self.derivatives(), self.inputs()
        rank, positions = b.shape[1], b.shape[2]
        for some, seen in target.pairs(work):
            for p in range(positions):
                left, inputs = b[some, :, p].flatten(0, 1), a[some, p]
                for q in range(positions):
                    right = b[seen, :, q].flatten(0, 1)
                    part = (left @ right.mT).view(len(inputs), rank, -1, rank)
                    part.mul_(similarity(inputs, a[seen, q], b.dtype)[:, None, :, None])
                    target.add(some, seen, part.view(len(left), -1))


class BySamples(OneLayer):
    """One layer, sample by sample: b of one sample is carried to the inputs of another."""

    def add_to(self, target: InnerProducts, work: int) -> None:
        """For each sample t, the rows of the others times M, and one matrix product."""
        b, a = self.derivatives(), self.inputs()
        rank = b.shape[1]
        step = max(1, work // (2 * b[0].nbytes))
        for some, seen in target.pairs(work):
            part = b.new_empty(some.stop - some.start, rank, seen.stop - seen.start, rank)
            for t in range(seen.start, seen.stop):
                right = b[t].flatten(1).mT
                for start in range(some.start, some.stop, step):
                    stop = min(start + step, some.stop)
                    M = similarity(a[start:stop], a[t], b.dtype)
                    carried = M.mT[:, None] @ b[start:stop]
                    rows = slice(start - some.start, stop - some.start)
                    part[rows, :, t - seen.start] = carried.flatten(2) @ right
            target.add(some, seen, part.view(part.shape[0] * rank, -1))


def similarity(left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    """Inner products of inputs: (..., d) with (m, d); of tokens, one-hot: (...) with (m,)."""
    if left.is_floating_point():
        return left @ right.mT
    return ((left[..., None] == right) & (right >= 0)).to(dtype)


class ByGradients(Part):
    """One parameter with all its uses, by its gradients: stored, or formed in parts from b."""

    def __init__(self, leaf: int, uses: Sequence[Use], shape: Sequence[int], per_b: int) -> None:
        self._leaf, self._uses = leaf, uses
        self.calls = sorted({call for call, _, _ in uses})
        self._shape = torch.Size(shape or (1,))
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

    def close(self, batch: TappedBatch, factors: OutputHessian) -> None:
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
            for at, _, key in self._uses:
                call = batch.calls[at]
                tokens_of = isinstance(call, Swapped) and not call.inputs.is_floating_point()
                if not isinstance(call, Swapped) or not tokens_of or key != self._leaf:
                    return torch.arange(self._shape[0], device=call.offset.device)
                tokens.append(call.tokens(batch.samples).reshape(-1))
        found = torch.cat(tokens).unique()
        return found[found >= 0]


class ByPasses(Part):
    """Parameters without a closed form: a pass back for each row, over few samples at a time."""

    def __init__(self, risk: EmpiricalRisk, leaves: frozenset[int]) -> None:
        self.calls = []
        self._risk, self._leaves = risk, sorted(leaves)
        self.per_row = sum(risk.layout.sizes[leaf] for leaf in leaves)
        self._rows: list[Tensor] = []

    def take(self, batch: TappedBatch, pulled: dict[int, Tensor]) -> None:
        """Nothing: these parameters have no calls."""

    def close(self, batch: TappedBatch, factors: OutputHessian) -> None:
        """All rows of the batch."""
        graph = OutputGraph(batch.outputs, [batch.tensors[leaf] for leaf in self._leaves])
        source = SampleRows(self._risk, batch.inputs, graph, self._leaves)
        count = batch.samples * factors.rank
        self._rows += [rows for _, rows in source.blocks(factors, 0, count)]

    def add_to(self, target: InnerProducts, work: int) -> None:
        """Matrix products of the rows."""
        rows = torch.cat(self._rows)
        for some, seen in target.pairs(work):
            target.multiply(some, seen, rows[target.rows(some)], rows[target.rows(seen)])


Use = tuple[int, str, int]  # position of a call, "weight" or "bias", and number of its tensor


def uses_of(batch: TappedBatch) -> dict[int, list[Use]]:
    """Uses of each free parameter with a closed form, itself or a tensor computed from it."""
    found: dict[int, list[Use]] = {}
    for at, call in enumerate(batch.calls):
        for kind, key in (("weight", call.weight), ("bias", call.bias)):
            if key is not None:
                for leaf in batch.behind[key] - batch.unknown:
                    found.setdefault(leaf, []).append((at, kind, key))
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
    for key in dict.fromkeys(key for _, _, key in uses):
        own = [(at, kind) for at, kind, other in uses if other == key]
        found = _rows_of(batch, pulled, key, own, units if key == leaf else None)
        if key != leaf:
            found = _carried(batch, found, key, leaf)[:, :, units]
        total = found if total is None else total + found.reshape_as(total)
    assert total is not None
    return total


def _rows_of(
    batch: TappedBatch,
    pulled: dict[int, Tensor],
    key: int,
    uses: Sequence[tuple[int, str]],
    units: Tensor | None,
) -> Tensor:
    """Gradients of some units of a tensor with all its calls; by default of all of them."""
    if units is None:
        tensor = batch.tensors[key]
        units = torch.arange(tensor.shape[0] if tensor.dim() else 1, device=tensor.device)
    total: Tensor | None = None
    for at, kind in uses:
        call = batch.calls[at]
        found = (call.weight_rows if kind == "weight" else call.bias_rows)(pulled[at], units)
        total = found if total is None else total + found.view_as(total)
    assert total is not None
    return total


def _carried(batch: TappedBatch, rows: Tensor, key: int, leaf: int) -> Tensor:
    """Gradients of a tensor as gradients of a parameter that it is computed from."""
    tensor, parameter = batch.tensors[key], batch.tensors[leaf]
    cotangents = rows.reshape(-1, *tensor.shape)
    like = parameter.new_empty(()).expand(len(cotangents), *parameter.shape)
    (found,) = differentiate([tensor], [parameter], [cotangents], batched=True, like=[like])
    units = parameter.shape[0] if parameter.dim() else 1
    return found.reshape(*rows.shape[:2], units, -1)


def parts_of(batch: TappedBatch, risk: EmpiricalRisk, rows_in_all: int, rank: int) -> list[Part]:
    """The cheapest way for every parameter."""
    uses = uses_of(batch)
    parts: list[Part] = []
    done: set[int] = set()
    for at, call in enumerate(batch.calls):
        mine = [key for key in (call.weight, call.bias) if key is not None]
        if call.weight is None or not isinstance(call, Outer | Swapped):
            continue
        if any(uses.get(key) != [(at, kind, key)] for kind, key in _pairs(call)):
            continue
        positions, width = call.positions(batch.samples), call.width
        entries = torch.Size(risk.layout.shapes[call.weight]).numel()
        # multiply-adds for each pair of rows: entries of the matrix pass through memory for each
        # pair of positions, b passes for each sample and row, gradients are formed once a row
        costs: dict[type[Part], float] = {
            ByPositions: positions**2 * (width + PASS),
            BySamples: positions * width * (1 + (positions + PASS) / rank),
            ByGradients: (entries + width) * (1 + 2 * positions / rows_in_all),
        }
        cheapest = min(costs, key=lambda kind: costs[kind])
        if issubclass(cheapest, OneLayer):
            parts.append(cheapest(at, positions * width))
            done.update(mine)
    for leaf, places in uses.items():
        if leaf not in done:
            calls = [batch.calls[at] for at, _, _ in places]
            per_b = sum(call.positions(batch.samples) * call.width for call in calls)
            if any(key != leaf for _, _, key in places):  # formed whole, then carried to the leaf
                per_b = max(per_b, risk.layout.sizes[leaf])
            parts.append(ByGradients(leaf, places, risk.layout.shapes[leaf], per_b))
    return parts + ([ByPasses(risk, batch.unknown)] if batch.unknown else [])


def _pairs(call: Call) -> list[tuple[str, int]]:
    both = (("weight", call.weight), ("bias", call.bias))
    return [(kind, key) for kind, key in both if key is not None]
