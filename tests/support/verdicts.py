"""What every verdict of a study must say besides its numbers."""

from hessium.figures.records import Findings


def require_told(findings: Findings) -> None:
    """Each statement says whose claim it is and which figure or table shows it."""
    names = {chart.name for chart in findings.charts}
    names |= {table.title for table in (*findings.tables, *findings.quoted)}
    for one in findings.statements:
        assert one.origin is not None, one.claim
        assert one.shown in names, one.claim
        if one.origin.kind == "source":
            assert one.origin.publication is not None
            assert one.origin.place, one.claim
