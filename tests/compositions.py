"""A campaign over random compositions: no number may be wrong without a word.

    python tests/compositions.py --minutes 60 --seed 0
    python tests/compositions.py --only 17

Every composition ends in one verdict, the worst of its checks:

- right: every number agrees with the oracle, and what could not be computed was refused;
- refused: nothing was computed, in one sentence (InputError, SelfCheckError, NonFiniteError);
- warned: a number was wrong, and the library had said that it could not be sure;
- raw error: another exception;
- damage: something of the user's was changed;
- silent wrong: a number was wrong.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import re
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import hessium as hs
from composed.blocks import Cached
from composed.generator import build
from composed.oracle import Oracle, Parts, parts_of
from composed.setup import Interrupted, Setup, Trunk
from composed.traces import Traces, leave_gradients
from hessium.curvature.fx_program import CannotTraceError
from hessium.errors import (
    InputError,
    NonFiniteError,
    SampleAxisWarning,
    SelfCheckError,
    SelfCheckWarning,
    StaleStateWarning,
)

VERDICTS = ("right", "refused", "warned", "raw error", "damage", "silent wrong")
REFUSALS = (InputError, SelfCheckError, NonFiniteError, CannotTraceError)
# (dtype of the user's model, of the numbers that hessium computes with)
PRECISIONS: dict[str, tuple[torch.dtype, torch.dtype | None]] = {
    "float64": (torch.float64, None),
    "float32": (torch.float32, None),
    "raised": (torch.float32, torch.float64),
    "half_32": (torch.bfloat16, torch.float32),
    "half_64": (torch.bfloat16, torch.float64),
}
# of a block of a matrix, and of the whole: rounding of a few hundred operations. Truths by
# differences are good to 1e-6
WITHIN = {torch.float64: (1e-5, 1e-6), torch.float32: (3e-2, 3e-3)}


@dataclass
class Finding:
    """What one check of a composition gave."""

    check: str
    verdict: str
    message: str = ""


@dataclass
class Outcome:
    """All checks of a composition."""

    seed: int
    features: list[str]
    findings: list[Finding] = field(default_factory=list)
    computable: bool = False
    undecided: bool = False
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """The worst."""
        found = {f.verdict for f in self.findings}
        for verdict in reversed(VERDICTS[2:]):
            if verdict in found:
                return verdict
        return "refused" if self._refused("risk") or self._refused("Hessian") else "right"

    def _refused(self, check: str) -> bool:
        return any(f.check == check and f.verdict == "refused" for f in self.findings)

    @property
    def refusals(self) -> list[str]:
        """What was refused, though double backward gives the truth."""
        if not self.computable:
            return []
        return [f"{f.check}: {generic(f.message)}" for f in self.findings if f.verdict == "refused"]


def generic(message: str) -> str:
    """A message without its numbers and names."""
    return re.sub(r"'[^']*'", "'..'", re.sub(r"[-+]?\d[\d.e+-]*", "#", message))[:150]


class Examination:
    """The library beside the oracle on one composition."""

    def __init__(self, seed: int) -> None:
        self.setup = build(seed)
        store, dtype = PRECISIONS[self.setup.precision]
        self.keywords = dict(self.setup.keywords)
        if dtype is not None:
            self.keywords["dtype"] = dtype
        self.dtype = dtype or store
        self.setup.cast(store, store)
        # the oracle has the same numbers in float64
        self.truth = build(seed).cast(store, torch.float64)
        self.outcome = Outcome(seed, self.setup.features)
        self.seed = seed
        self.said: list[str] = []
        self.earlier: list[warnings.WarningMessage] = []

    def run(self) -> Outcome:
        """All checks."""
        start = time.process_time()
        if self.seed % 3:
            leave_gradients(self.setup)
            _same_tables(self.truth, self.setup)
        oracle = Oracle(self.truth, close=1e-6 if self.dtype is torch.float64 else 1e-2)
        self.outcome.computable = oracle.computable
        self.outcome.undecided = oracle.undecided
        self.failed = oracle.failed
        traces = Traces(self.setup)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.caught = caught
            with ambient(self.setup.ambient):
                risk = self.attempt("risk", self.make)
            if risk is not None:
                self.examine(risk, oracle)
        self.note_damage(traces)
        if self.seed % 4 == 1:
            self.interrupted(risk)
            self.note_damage(traces, "interrupted")
        if risk is not None and self.seed % 4 == 0 and oracle.hessian is not None:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                # a refreshed risk reads its data as the first one, which has warned
                self.earlier, self.caught = self.caught, caught
                self.follow(risk, oracle)
        self.outcome.seconds = time.process_time() - start
        return self.outcome

    def make(self) -> hs.EmpiricalRisk:
        setup = self.setup
        if setup.closure is not None:
            keywords = {k: v for k, v in self.keywords.items() if k == "dtype"}
            return hs.EmpiricalRisk.from_closure(
                setup.model, setup.closure, num_samples=setup.samples, **keywords
            )
        return hs.EmpiricalRisk(setup.model, setup.kit.loss, setup.data(), **self.keywords)

    def examine(self, risk: hs.EmpiricalRisk, oracle: Oracle) -> None:
        """Value, counts, gradient, Hessian, and on every third composition its parts."""
        setup = self.setup
        with ambient(setup.ambient):
            self.number("value", risk.value, oracle.value)
            if not oracle.lies:
                self.vector("gradient", risk.gradient, oracle.gradient, oracle)
        count = self.attempt("num_samples", lambda: risk.num_samples, may_refuse=True)
        # where a sample has several rows of outputs, rows may be what is counted
        if count not in (None, setup.samples) and not setup.flat:
            self.wrong("num_samples", f"{count}, not {setup.samples}")
        kit = setup.kit
        if kit.denominator is not None and not setup.flat and setup.sample_dim == 0:
            wanted = kit.denominator(
                self.truth.outputs().detach(), self.truth.targets(), setup.samples
            )
            if wanted == wanted:
                self.number("denominator", lambda: risk.denominator, wanted)
        route = {5: "retained", 11: "streaming", 17: "traced"}.get(self.seed % 18, "auto")
        with ambient(setup.ambient):
            H = self.attempt("Hessian", lambda: hs.Hessian(risk, route=route))  # type: ignore[arg-type]
        if H is not None:
            self.matrix("Hessian", H.dense, oracle.hessian, oracle)
            block = vectors(risk.dim)
            self.matrix("Hessian products", lambda: H @ block.to(H.dtype),
                        None if oracle.hessian is None else oracle.hessian @ block,
                        oracle)  # fmt: skip
        if oracle.lies or oracle.hessian is None:
            return
        if self.seed % 3 == 0 and setup.closure is None:
            self.parts(risk, oracle)
        if self.seed % 2:
            self.elsewhere(risk, oracle)
        if self.seed % 4 == 2:
            self.restricted(risk, oracle)

    def parts(self, risk: hs.EmpiricalRisk, oracle: Oracle) -> None:
        """Gauss-Newton, residual part, Fisher and Gram."""
        try:
            parts: Parts | None = parts_of(oracle)
        except RuntimeError:  # a loss without a second derivative
            return
        assert parts is not None
        reads = self.setup.kit.reads  # then there are no such parts, and refusing them is right
        GN = self.attempt("GaussNewton", lambda: hs.GaussNewton(risk), may_refuse=reads)
        if GN is not None:
            self.matrix("GaussNewton", GN.dense, parts.gauss_newton, oracle)
        R = self.attempt("ResidualHessian", lambda: hs.ResidualHessian(risk), may_refuse=reads)
        if R is not None and not oracle.opaque:
            self.matrix("ResidualHessian", R.dense, parts.residual, oracle)
        # coupled samples have no gradients of their own, rows of a sample no common one
        if parts.fisher is not None and parts.blocks:
            F = self.attempt("EmpiricalFisher", lambda: hs.EmpiricalFisher(risk), may_refuse=reads)
            if F is not None:
                fisher = parts.fisher * risk.denominator
                self.matrix("EmpiricalFisher", F.dense, fisher, oracle)
        blocks = parts.blocks and parts.convex
        K = self.attempt("Gram", lambda: hs.Gram(risk), may_refuse=reads or not blocks)
        if K is not None and not self.setup.flat:
            wanted = torch.linalg.eigvalsh(parts.gauss_newton)
            size = min(len(wanted), K.shape[0])
            self.vector(
                "Gram",
                lambda: torch.linalg.eigvalsh(K.dense().double())[-size:],
                wanted[-size:],
                None,
            )

    def elsewhere(self, risk: hs.EmpiricalRisk, oracle: Oracle) -> None:
        """The same at other parameters."""
        generator = torch.Generator().manual_seed(5)
        step = 0.1 * torch.randn(risk.dim, generator=generator, dtype=torch.float64)
        theta = risk.theta + step.to(risk.dtype)
        step = theta.double() - risk.theta.double()
        truth = build(self.seed).cast(PRECISIONS[self.setup.precision][0], torch.float64)
        _same_tables(truth, self.setup)
        _move(truth, step)
        self.compared("at", lambda: risk.at(theta), truth, oracle)

    def restricted(self, risk: hs.EmpiricalRisk, oracle: Oracle) -> None:
        """The same as a function of some parameters."""
        if len(oracle.names) < 2 or oracle.hessian is None:
            return
        names = oracle.names[:: 1 + self.seed % 2][: max(1, len(oracle.names) - 1)]
        keep = torch.cat([
            torch.full((size,), name in names)
            for name, size in zip(oracle.names, oracle.sizes, strict=True)
        ])  # fmt: skip
        found = self.attempt("restrict", lambda: risk.restrict(names))
        if found is None:
            return
        self.number("restrict value", found.value, oracle.value)
        H = self.attempt("restrict Hessian", lambda: hs.Hessian(found))
        if H is not None:
            self.whole_matrix("restrict Hessian", H.dense, oracle.hessian[keep][:, keep], oracle)

    def follow(self, risk: hs.EmpiricalRisk, oracle: Oracle) -> None:
        """After a step of training, and `refreshed`."""
        step = 0.1 * torch.randn(
            risk.dim, generator=torch.Generator().manual_seed(7), dtype=torch.float64
        )
        truth = build(self.seed)
        for setup in (self.setup, truth):
            with torch.no_grad():
                generator = torch.Generator().manual_seed(8)
                for name, buffer in setup.model.named_buffers():
                    if buffer.is_floating_point() and not name.endswith(("_u", "_v")):
                        noise = torch.rand(buffer.shape, generator=generator, dtype=torch.float64)
                        buffer += (0.1 * noise).to(buffer.dtype)
                if self.seed % 8 == 0:
                    for p in setup.model.parameters():
                        if not p.requires_grad:
                            p.add_((0.125 * torch.ones_like(p)).to(p.dtype))
        before = self.attempt("value before refresh", risk.value, may_refuse=True)
        store = PRECISIONS[self.setup.precision][0]
        _move(self.setup, step)
        # the same numbers, which have been rounded differently above
        truth.cast(store, torch.float64)
        _same_tables(truth, self.setup)
        with torch.no_grad():
            for one, two in zip(truth.modules(), self.setup.modules(), strict=True):
                for part in ("_parameters", "_buffers"):
                    for key, tensor in getattr(two, part).items():
                        if tensor is not None:
                            getattr(one, part)[key].copy_(tensor)
        after = self.attempt("value before refresh", risk.value, may_refuse=True)
        if before is not None and after is not None and before != after:
            self.wrong("value before refresh", f"{before} became {after} as the model was trained")
        self.compared("refresh", risk.refreshed, truth, oracle)

    def compared(
        self, name: str, make: Callable[[], hs.EmpiricalRisk], truth: Setup, known: Oracle
    ) -> None:
        """A risk at other parameters beside an oracle there."""
        oracle = Oracle.elsewhere(truth, known)
        risk = self.attempt(name, make)
        if risk is None:
            return
        self.number(f"{name} value", risk.value, oracle.value)
        self.vector(f"{name} gradient", risk.gradient, oracle.gradient, oracle)
        H = self.attempt(f"{name} Hessian", lambda: hs.Hessian(risk))
        if H is not None:
            v = vectors(risk.dim)
            self.matrix(f"{name} Hessian", lambda: H @ v.to(H.dtype), oracle.products(v), oracle)

    def attempt(self, check: str, make: Callable[[], Any], *, may_refuse: bool = False) -> Any:
        """The result, or None and a finding."""
        try:
            return make()
        except REFUSALS as error:
            if not may_refuse:
                self.add(check, "refused", f"{type(error).__name__}: {error}")
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            # an error of the user's own backward pass is theirs
            self.add(
                check,
                "refused" if self.failed else "raw error",
                f"{error!r} ({where.filename}:{where.lineno})",
            )
        return None

    def number(self, check: str, found: Callable[[], float], wanted: float) -> None:
        value = self.attempt(check, found)
        if value is not None:
            within = 1e-9 if self.dtype is torch.float64 else 1e-3
            if not abs(value - wanted) <= within * (abs(wanted) + 1e-2):
                self.wrong(check, f"{value:.9g}, not {wanted:.9g}")

    def vector(
        self, check: str, found: Callable[[], Tensor], wanted: Tensor | None, oracle: Oracle | None
    ) -> None:
        value = self.attempt(check, found)
        if value is None:
            return
        if wanted is None:
            self.wrong(check, "gradients that are not slopes of the loss were handed out")
            return
        sizes = [len(wanted)] if oracle is None else oracle.sizes
        self._blocks(check, value.double()[:, None], wanted[:, None], sizes, [1], 1e-3)

    def matrix(
        self, check: str, found: Callable[[], Tensor], wanted: Tensor | None, oracle: Oracle
    ) -> None:
        value = self.attempt(check, found)
        if value is None:
            return
        if wanted is None:
            self.wrong(check, "gradients are not slopes of the loss, so there is no Hessian")
            return
        columns = oracle.sizes if wanted.shape[1] == wanted.shape[0] else [wanted.shape[1]]
        size = float(oracle.gradient.norm())
        self._blocks(check, value.double(), wanted, oracle.sizes, columns, 1e-2 * size)

    def whole_matrix(
        self, check: str, found: Callable[[], Tensor], wanted: Tensor, oracle: Oracle
    ) -> None:
        value = self.attempt(check, found)
        if value is not None:
            n = [len(wanted)]
            self._blocks(check, value.double(), wanted, n, n, 1e-2 * float(oracle.gradient.norm()))

    def _blocks(
        self, check: str, found: Tensor, wanted: Tensor, rows: list[int], columns: list[int],
        floor: float,
    ) -> None:  # fmt: skip
        """Block by block, so that a small block is not hidden behind a large one."""
        if found.shape != wanted.shape:
            self.wrong(check, f"shape {tuple(found.shape)}, not {tuple(wanted.shape)}")
            return
        within, of_all = WITHIN[self.dtype]
        whole = max(float(wanted.norm()), floor)
        for r, (a, b) in enumerate(zip(found.split(rows), wanted.split(rows), strict=True)):
            for c, (x, y) in enumerate(zip(a.split(columns, 1), b.split(columns, 1), strict=True)):
                error = float((x - y).norm())
                if not error <= within * float(y.norm()) + of_all * whole:
                    self.wrong(
                        check,
                        f"block ({r}, {c}) of norm {float(y.norm()):.3g} is off by {error:.3g}; "
                        f"all has norm {float(wanted.norm()):.3g}",
                    )
                    return

    def wrong(self, check: str, message: str) -> None:
        categories = [
            w.category.__name__
            for w in (*self.earlier, *self.caught)
            if w.category in (SelfCheckWarning, StaleStateWarning, SampleAxisWarning)
        ]
        if categories:
            self.add(check, "warned", f"{message} ({', '.join(sorted(set(categories)))})")
        else:
            self.add(check, "silent wrong", message)

    def interrupted(self, risk: hs.EmpiricalRisk | None) -> None:
        """The user presses Ctrl-C in a forward pass."""
        calls: list[Callable[[], Any]] = [self.make]
        if risk is not None:
            calls += [risk.value, risk.gradient, lambda: hs.Hessian(risk), risk.refreshed().value]
        for number, call in enumerate(calls):
            Trunk.fuse = 1 + (self.seed + number) % 3
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    call()
            except (Interrupted, *REFUSALS):
                pass
            except Exception as error:
                # an error of the user's own backward pass is theirs
                self.add("interrupted", "refused" if self.failed else "raw error", repr(error))
            finally:
                Trunk.fuse = None

    def note_damage(self, traces: Traces, when: str = "user's state") -> None:
        for what in traces.damage()[:4]:
            self.add(when, "damage", what)

    def add(self, check: str, verdict: str, message: str) -> None:
        self.outcome.findings.append(Finding(check, verdict, message))


def vectors(n: int) -> Tensor:
    """Three random vectors."""
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def _same_tables(one: Setup, other: Setup) -> None:
    """What the user's model has kept from its own passes is rounded as these were."""
    for mine, theirs in zip(one.modules(), other.modules(), strict=True):
        if isinstance(mine, Cached) and isinstance(theirs, Cached) and theirs.table is not None:
            mine.table = theirs.table.double()


def _move(setup: Setup, step: Tensor) -> None:
    with torch.no_grad():
        free = setup.parameters()
        for p, s in zip(free, step.split([p.numel() for p in free]), strict=True):
            p.add_(s.view_as(p).to(p.dtype))


@contextlib.contextmanager
def ambient(name: str) -> Iterator[None]:
    """What the user has switched on around the calls."""
    before = torch.get_default_dtype()
    contexts: dict[str, Callable[[], Any]] = {
        "no_grad": torch.no_grad,
        "inference": torch.inference_mode,
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    }
    try:
        if name == "default_dtype":
            torch.set_default_dtype(torch.float64)
        with contexts.get(name, contextlib.nullcontext)():
            yield
    finally:
        torch.set_default_dtype(before)


def examine(seed: int) -> Outcome:
    """Build a composition and examine it; defects of the campaign itself are raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Examination(seed).run()


def campaign(first: int, minutes: float, most: int) -> list[Outcome]:
    """As many compositions as the time allows, one line a minute."""
    start = last = time.monotonic()
    outcomes: list[Outcome] = []
    while time.monotonic() - start < 60 * minutes and len(outcomes) < most:
        seed = first + len(outcomes)
        try:
            outcomes.append(examine(seed))
        except Exception:
            say(f"seed {seed}: the campaign itself failed\n{traceback.format_exc(limit=-4)}")
            outcomes.append(Outcome(seed, ["broken"]))
            continue
        if outcomes[-1].verdict in VERDICTS[2:]:
            show(outcomes[-1])
        if time.monotonic() - last > 60:
            last = time.monotonic()
            counts = collections.Counter(o.verdict for o in outcomes)
            say(f"{(last - start) / 60:.0f} min, {len(outcomes)}: {dict(counts)}")
    return outcomes


def say(text: str) -> None:
    """A line at once, also into a file."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def show(outcome: Outcome, *, all_of_it: bool = False) -> None:
    """One composition."""
    say(f"seed {outcome.seed}: {outcome.verdict}; {', '.join(outcome.features)}"
          f"{'' if outcome.computable else ' [not computable]'}"
          f"{' [undecided]' if outcome.undecided else ''} {outcome.seconds:.1f} s")  # fmt: skip
    for f in outcome.findings:
        if all_of_it or f.verdict != "refused":
            say(f"    {f.verdict}: {f.check}: {f.message[:400]}")


def table(outcomes: list[Outcome]) -> str:
    """Verdicts in all and by feature; the commonest refusals of what can be computed."""
    lines = [f"{len(outcomes)} compositions, seeds {outcomes[0].seed} to {outcomes[-1].seed}"]
    counts = collections.Counter(o.verdict for o in outcomes)
    lines += [f"  {verdict:14}{counts[verdict]:6}" for verdict in VERDICTS]
    over = sum(o.verdict == "refused" and o.computable for o in outcomes)
    lines += [f"  refused though double backward gives the truth: {over}"]
    lines += [f"  checks by differences undecided: {sum(o.undecided for o in outcomes)}", ""]
    lines += [f"{'feature':32}" + "".join(f"{v:>14}" for v in VERDICTS)]
    for feature in sorted({f for o in outcomes for f in o.features}):
        found = collections.Counter(o.verdict for o in outcomes if feature in o.features)
        lines.append(f"{feature:32}" + "".join(f"{found[v]:14}" for v in VERDICTS))
    lines += ["", "refused though computable:"]
    common = collections.Counter(r for o in outcomes for r in set(o.refusals))
    example = {r: o.seed for o in reversed(outcomes) for r in o.refusals}
    lines += [f"{n:5}  {r}  (seed {example[r]})" for r, n in common.most_common(40)]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign; 1 if a number was wrong without a word."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--count", type=int, default=10**9, help="at most so many")
    parser.add_argument("--only", type=int, help="this seed alone, with all that it gives")
    chosen = parser.parse_args(arguments)
    if chosen.only is not None:
        outcomes = [examine(chosen.only)]
        show(outcomes[0], all_of_it=True)
    else:
        outcomes = campaign(chosen.seed, chosen.minutes, chosen.count)
        say(table(outcomes))
    return int(any(o.verdict == "silent wrong" for o in outcomes))


if __name__ == "__main__":
    sys.exit(main())
