"""Profiles and audits as charts; see `hessium.figures.views`."""

from __future__ import annotations

from hessium.figures.records import Chart
from hessium.figures.views.spectra import overlaid_chart
from hessium.profiles.own_audit import Audit
from hessium.profiles.profile_result import Profile
from hessium.spectra import Spectrum


def profile_chart(profile: Profile) -> Chart:
    """Densities of H, H0 and H1 on one axis."""
    parts = (profile.hessian, profile.gauss_newton, profile.residual)
    return _overlaid(parts, f"{profile.model['model']}, {profile.hessian.dim} parameters")


def audit_chart(audit: Audit) -> Chart:
    """Densities of H, H0 and H1 on one axis."""
    checks = audit.assumptions.checks
    failed = sum(not check.holds for check in checks)
    title = f"{audit.model['model']}: {failed} of {len(checks)} assumptions rejected"
    return _overlaid((audit.hessian, audit.gauss_newton, audit.residual), title)


def _overlaid(parts: tuple[Spectrum | None, ...], title: str) -> Chart:
    spectra = {k: s for k, s in zip(("H", "H₀", "H₁"), parts, strict=True) if s is not None}
    return overlaid_chart(spectra, title)


VIEWS = {"Profile": profile_chart, "Audit": audit_chart}
