"""Stored parts of a profile: the identity of their risk; spectra and eigenpairs as arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from hessium.estimate import Eigenpairs
from hessium.problem import EmpiricalRisk
from hessium.runs.experiment import Result
from hessium.spectra import GaussRule, Spectrum

_ARRAYS = ("values", "residuals", "converged", "multiplicity_known")
_NUMBERS = ("null_space", "requested", "which", "dim", "scale")


def packed_spectrum(spectrum: Spectrum) -> Result:
    """All eigenvalues of an exact spectrum, or the rules of an estimate."""
    known, rules = spectrum.known, spectrum.rules
    found = {
        "known": known[known != 0] if spectrum.exact else known,
        "dim": spectrum.dim,
        "resolution": spectrum.resolution,
        "nonnegative": spectrum.nonnegative,
        "rank_bound": spectrum.dim if spectrum.rank_bound is None else spectrum.rank_bound,
    }
    if spectrum.exact:
        return found
    return found | {
        "diagonals": np.concatenate([rule.diagonal for rule in rules]),
        "offdiagonals": np.concatenate([rule.offdiagonal for rule in rules]),
        "lengths": np.array([rule.diagonal.size for rule in rules]),
        "masses": np.array([rule.mass for rule in rules]),
    }


def unpacked_spectrum(part: Result) -> Spectrum:
    """The exact spectrum of a part."""
    return Spectrum.of(
        np.sort(np.append(part["known"], np.zeros(int(part["dim"]) - part["known"].size))),
        resolution=float(part["resolution"]),
        nonnegative=bool(part["nonnegative"]),
        rank_bound=int(part["rank_bound"]),
        num_matvecs=int(part.get("products", 0)),
    )


def pooled_spectrum(parts: Iterable[Result], num_matvecs: int) -> Spectrum:
    """One estimate from the rules of several parts."""
    found = list(parts)
    first = found[0]
    return Spectrum.from_rules(
        tuple(rule for part in found for rule in _rules(part)),
        first["known"],
        dim=int(first["dim"]),
        resolution=max(float(part["resolution"]) for part in found),
        num_matvecs=num_matvecs,
        nonnegative=bool(first["nonnegative"]),
        rank_bound=int(first["rank_bound"]),
    )


def packed_pairs(pairs: Eigenpairs) -> Result:
    """Eigenpairs, their vectors on the CPU."""
    fields = {name: getattr(pairs, name) for name in (*_ARRAYS, *_NUMBERS)}
    return {**fields, "vectors": pairs.vectors.cpu().numpy()}


def unpacked_pairs(part: Mapping[str, object], device: torch.device | str = "cpu") -> Eigenpairs:
    """The eigenpairs of a part."""
    fields = {name: part[name] for name in (*_ARRAYS, *_NUMBERS)}
    vectors = torch.as_tensor(part["vectors"]).to(device)
    return Eigenpairs(**fields, vectors=vectors, num_matvecs=part["products"])  # type: ignore[arg-type]


def _rules(part: Result) -> list[GaussRule]:
    ends = np.cumsum(part["lengths"])[:-1]
    pieces = (np.split(part[name], ends) for name in ("diagonals", "offdiagonals"))
    return [
        GaussRule(diagonal=d, offdiagonal=e, mass=float(m))
        for d, e, m in zip(*pieces, part["masses"], strict=True)
    ]


def identity(risk: EmpiricalRisk, loss: float, slope: float) -> dict[str, Any]:
    """Properties that identify a risk: parameters bit for bit, loss and gradient to a few digits.

    Sums over threads round differently from run to run, hence not all digits.
    """
    theta = risk.theta.cpu().numpy()
    return {
        "risk": repr(risk),
        "theta": hashlib.sha256(theta.tobytes()).hexdigest()[:32],
        "names": hashlib.sha256(repr(risk.names).encode()).hexdigest()[:32],
        "loss": f"{loss:.4e}",
        "slope": f"{slope:.3e}",
    }
