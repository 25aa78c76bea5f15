"""Profiles and audits as charts; see `hessium.figures.views`."""

from __future__ import annotations

import numpy as np

from hessium.figures.formatting import digits
from hessium.figures.records import Chart
from hessium.figures.views.spectra import WIDTH, density_series, spectrum_chart
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
    reach = max(float(np.abs(one.nodes).max()) for one in spectra.values()) or 1.0
    linear = float(f"{reach / 100:.1g}")
    chart = spectrum_chart(next(iter(spectra.values())), label="H", linear=linear)
    return Chart(
        name="densities",
        title=f"{title}; λ₀ = {digits(linear, 2)}",
        caption=chart.caption,
        x_label=chart.x_label,
        y_label=chart.y_label,
        x_scale="symlog",
        x_linear=linear,
        y_scale="log",
        series=tuple(
            part
            for name, one in spectra.items()
            for part in density_series(one, name, linear, WIDTH)
        ),
    )


VIEWS = {"Profile": profile_chart, "Audit": audit_chart}
