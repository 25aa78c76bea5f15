"""From stored results to one self-contained HTML page."""

from hessium.report.page import Report as Report
from hessium.report.page import write_report as write_report
