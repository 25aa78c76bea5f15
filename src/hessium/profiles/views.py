"""Profiles and audits as charts; see `hessium.figures.views`."""

from __future__ import annotations

from hessium.errors import InputError
from hessium.figures.records import Chart
from hessium.figures.views.estimates import eigenpairs_chart
from hessium.figures.views.matrices import density_chart
from hessium.figures.views.monitors import monitor_chart
from hessium.figures.views.spectra import overlaid_chart, spectrum_chart
from hessium.profiles.audit_result import Audit
from hessium.profiles.identification_charts import identification_chart
from hessium.profiles.matrix_profile import MatrixProfile
from hessium.profiles.portrait import SIGNS
from hessium.profiles.profile_result import Profile


def profile_chart(profile: Profile) -> Chart:
    """Densities of H, H0 and H1 on one axis.

    Raises:
        InputError: if no spectrum was measured, or all are zero.
    """
    signed = {SIGNS[name]: [one] for name, one in profile.matrices.items()}
    title = f" of {profile.model['model']}, {profile.model['parameters']} parameters"
    chart = density_chart(signed, "1 run", "density", title)
    if chart is None:
        msg = "profile: no spectrum other than zero, so there is nothing to plot"
        raise InputError(msg)
    return chart


def matrix_chart(matrix: MatrixProfile, *, label: str = "spectrum") -> Chart:
    """The density, or the eigenpairs where no density was measured."""
    if matrix.spectrum is not None:
        return spectrum_chart(matrix.spectrum, label=label)
    assert matrix.pairs is not None
    return eigenpairs_chart(matrix.pairs, label=label)


def audit_chart(audit: Audit) -> Chart:
    """Densities of H, H0 and H1 on one axis."""
    checks = audit.assumptions.checks
    failed = sum(not check.holds for check in checks)
    spectra = {"H": audit.hessian, "H₀": audit.gauss_newton, "H₁": audit.residual}
    return overlaid_chart(
        spectra, f"{audit.model['model']}: {failed} of {len(checks)} assumptions rejected"
    )


VIEWS = {
    "Profile": profile_chart,
    "MatrixProfile": matrix_chart,
    "Audit": audit_chart,
    "CheckpointSeries": monitor_chart,
    "Identification": identification_chart,
}
