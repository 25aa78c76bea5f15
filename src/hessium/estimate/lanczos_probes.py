"""Lanczos runs from random vectors and their Gauss rules, for stochastic quadrature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessium.errors import NonFiniteError
from hessium.estimate.basis_size import BESIDE
from hessium.estimate.checkpoint import Checkpoint, joined
from hessium.estimate.deflation import Deflated
from hessium.estimate.eigenpairs import Eigenpairs
from hessium.linalg.lanczos import LanczosProcess, Passes, absorb_products
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.vectors import gaussian_share, norm
from hessium.progress import Progress
from hessium.spectra import GaussRule, Spectrum


class Sampler:
    """Runs Lanczos probes and keeps their Gauss rules.

    Args:
        operator: A.
        known: eigenpairs to deflate from the probes.
        steps: of each probe.
        passes: of reorthogonalisation.
        max_bytes: for the bases.
        seeds: of the probes.
        checkpoint: for the state, or None.
    """

    def __init__(
        self,
        operator: SymmetricOperator,
        known: Eigenpairs | None,
        steps: int,
        passes: Passes,
        max_bytes: int,
        seeds: np.random.Generator,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self._operator, self._passes, self._seeds = operator, passes, seeds
        self._shares = operator.shares
        self._out = Deflated.of(operator, known)
        self._exact = self._out.values
        self._residual = float(np.linalg.norm(self._out.residuals))
        self._products = self._out.num_matvecs
        self._room = operator.shape[0] - self._exact.size  # dimension of the complement
        self._steps = min(steps, self._room)
        size = operator.dtype.itemsize
        self._row = self._shares.largest * size  # bytes
        self._beside = self._shares.beside * size
        self._bytes = max_bytes - 2 * self._exact.size * self._row
        self._rules: list[GaussRule] = []
        self._running: list[LanczosProcess] = []
        self._idle: list[LanczosProcess] = []  # finished processes whose memory is reused
        self._checkpoint = checkpoint
        self._saved: list[int] = []  # rows of each running basis that are on disk
        self.wanted = 0  # target number of rules
        self._proof: Tensor | None = None  # a sum of vectors, and its expected product
        self._departure = 0.0

    @property
    def rules(self) -> int:
        """Number of finished rules."""
        return len(self._rules)

    def run(self, total: int, progress: Progress) -> None:
        """Add rules up to the given number, in blocks where block products are cheaper."""
        self.wanted = total
        while self._running or self.rules < total:
            if not self._running:
                together = min(
                    self._operator.preferred_columns, total - self.rules, self._fitting()
                )
                self._begin(together, self._steps)
            while active := [p for p in self._running if not p.finished]:
                self._advance(active)
                done = sum(len(p.alphas) for p in self._running)
                progress(self.rules * self._steps + done, total * self._steps, "products")
            self._finish()

    def find_steps(self, error: float, most: int) -> None:
        """Extend the first probe until its brackets are narrow enough; keep the number of steps."""
        if self._rules:  # found before the work was interrupted
            self._steps = self._rules[0].diagonal.size
            return
        if not self._running:
            fits = (self._bytes - self._beside) // self._row - BESIDE
            self._begin(1, max(1, min(most, self._room, fits)))
        (process,) = self._running
        while not process.finished:
            # before the step: a state may have been written between a step and its check
            look = process.alphas and len(process.alphas) % 20 == 0
            if look and process.rule().open_mass() <= error:
                break
            self._advance([process])
        self._steps = len(process.alphas)
        self._finish()

    def estimate(self) -> Spectrum:
        """Spectrum estimated from all rules so far."""
        # bounds the norms of the tridiagonal matrices (Gershgorin)
        reach = max(float(np.abs(r.diagonal).max() + 2 * r.offdiagonal.max()) for r in self._rules)
        scale = max(reach, float(np.abs(self._exact).max(initial=0.0)))
        rounding = 20 * float(torch.finfo(self._operator.dtype).eps) * scale
        if self._departure > rounding * len(self._rules) ** 0.5:
            rounding += self._departure
        return Spectrum.from_rules(
            tuple(self._rules),
            self._exact,
            dim=self._operator.shape[0],
            resolution=rounding + self._leakage(reach),
            num_matvecs=self._products,
            nonnegative=self._operator.positive_semidefinite,
            rank_bound=self._operator.rank_bound,
        )

    def restore(self, numbers: Mapping[str, Any], files: Sequence[Mapping[str, Tensor]]) -> None:
        """Resume from a saved state."""
        self._seeds.bit_generator.state = numbers["rng"]
        self._products, self._steps = numbers["products"], numbers["steps"]
        self.wanted = numbers["wanted"]
        if "proofs" in files[-1]:
            self._proof = files[-1]["proofs"].mT.to(self._operator.device)
        self._rules = [
            GaussRule(diagonal=np.array(d), offdiagonal=np.array(o), mass=m)
            for d, o, m in numbers["rules"]
        ]
        for i, (alphas, betas, mass, steps) in enumerate(numbers["running"]):
            rows = joined([file[f"basis{i}"] for file in files], _final(alphas, betas, steps))
            rows = rows.to(self._operator.device)
            process = LanczosProcess(rows[0], steps, passes=self._passes, shares=self._shares)
            process.basis[: len(rows)] = rows
            process.alphas, process.betas, process.mass = alphas, betas, mass
            process.finished = len(rows) == len(alphas)
            self._running.append(process)
            self._saved.append(len(rows))

    def save(self) -> None:
        """Write a state, each row of the running bases once."""
        if self._checkpoint is None:
            return
        final = [_final(p.alphas, p.betas, len(p.basis)) for p in self._running]
        vectors = {
            f"basis{i}": p.basis[first:last].cpu()
            for i, (p, first, last) in enumerate(
                zip(self._running, self._saved, final, strict=True)
            )
        }
        if self._proof is not None:
            vectors["proofs"] = self._proof.mT.cpu()
        numbers = {
            "rng": self._seeds.bit_generator.state,
            "choice": self._operator.choice,
            "products": self._products,
            "steps": self._steps,
            "wanted": self.wanted,
            "rules": [(r.diagonal.tolist(), r.offdiagonal.tolist(), r.mass) for r in self._rules],
            "running": [(p.alphas, p.betas, p.mass, len(p.basis)) for p in self._running],
        }
        if self._checkpoint.save(numbers, vectors, append=any(self._saved)):
            self._saved = final

    def _begin(self, count: int, steps: int) -> None:
        self._running, self._saved = [], [0] * count
        for _ in range(count):
            start = gaussian_share(self._operator, self._seeds)
            self._out.project_out_(start, self._shares, passes=2)
            if self._idle and len(self._idle[-1].basis) == min(steps, self._shares.dim):
                process = self._idle.pop()
                process.begin(start, self._passes)
            else:
                process = LanczosProcess(start, steps, passes=self._passes, shares=self._shares)
            self._running.append(process)

    def _advance(self, processes: list[LanczosProcess]) -> None:
        try:
            block = torch.stack([p.direction for p in processes])
            products = self._operator.times_shares(block)
        except NonFiniteError as error:
            msg = f"{error} (in step {len(processes[0].alphas) + 1})"
            self._rules += [p.rule() for p in processes if p.alphas]
            partial = self.estimate() if self._rules else None
            raise NonFiniteError(msg, partial=partial) from error
        self._products += len(processes)
        # matrix-vector products are faster for one row
        rows = products if len(products) > 1 else products[0]
        self._out.project_out_(rows, self._shares)
        absorb_products(processes, products.unbind(0))
        if self._checkpoint is not None and self._checkpoint.due:
            self.save()

    def _finish(self) -> None:
        self._rules += [process.rule() for process in self._running]
        for number, process in enumerate(self._running, start=len(self._rules)):
            self._collect(process, number)
        self._idle, self._running, self._saved = self._running, [], []

    def _collect(self, process: LanczosProcess, number: int) -> None:
        """Add basis vectors with random signs to the sum that `prove` checks."""
        steps = len(process.alphas) - 1  # the residual of the last step is not kept
        if not steps:
            return
        signs = np.random.default_rng(number).choice([-1.0, 1.0], size=steps)
        weights = np.zeros((steps + 1, 2))
        weights[:-1, 0] = signs
        weights[:, 1] = process.times(weights[:, 0])
        rows = process.basis[: steps + 1]
        found = rows.mT @ torch.as_tensor(weights).to(rows)
        self._proof = found if self._proof is None else self._proof.add_(found)

    def prove(self) -> None:
        r"""Measure the distance of the products from the tridiagonal relation.

        With a sum x of basis vectors with random signs, $E|Ax - \sum_i \pm V_i^T T_i e|^2$ is the
        sum of squares of all errors of the products: of noise, asymmetry, lower internal precision,
        or a single wrong product. Cost: one product.
        """
        if self._proof is None:
            return
        vector, expected = (column.contiguous() for column in self._proof.unbind(1))
        product = self._operator.times_shares(vector[None])[0]
        self._products += 1
        self._out.project_out_(product, self._shares)
        self._departure = 4 * float(norm(product - expected, self._shares))

    def _leakage(self, reach: float) -> float:
        """Bound on the shift of the other eigenvalues by the residuals of deflated pairs.

        |R|^2 over the gap between the two sets (Mathias 1998), and at most |R|.
        """
        if not self._exact.size:
            return 0.0
        gap = float(np.abs(self._exact).min()) - reach
        return min(self._residual, self._residual**2 / gap) if gap > 0 else self._residual

    def _fitting(self) -> int:
        """How many probes fit into memory."""
        each = (self._steps + BESIDE) * self._row + self._beside
        return max(1, self._bytes // each)


def _final(alphas: Sequence[float], betas: Sequence[float], steps: int) -> int:
    """Number of final rows of the basis of a process."""
    ended = len(alphas) == steps or list(betas[-1:]) == [0.0]
    return len(alphas) if ended else len(alphas) + 1
