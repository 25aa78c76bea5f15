"""The page in a real browser, on a phone: nothing fetched, nothing wider than the screen."""

from pathlib import Path

import pytest

from hessium.report import write_report
from support.browser import found_by, needs_browser
from support.toy_experiment import fill

pytestmark = [pytest.mark.slow, needs_browser]

# measures the page inside a frame as wide as a phone and writes what it finds into the title
PROBE = """<!DOCTYPE html><title>waiting</title>
<iframe id="f" src="report.html" style="width:390px;height:800px;border:0"></iframe>
<script>
f.onload = () => setTimeout(() => {
  const w = f.contentWindow, d = w.document, wide = [];
  d.querySelectorAll("body *").forEach(e => {
    if (e.closest(".scroll, pre, svg")) return;
    const box = e.getBoundingClientRect();
    if (box.right > 390.5 || box.left < -0.5) wide.push(e.tagName + "." + e.className);
  });
  const clipped = [];
  d.querySelectorAll("svg.chart").forEach(s => {
    const frame = s.getBoundingClientRect();
    s.querySelectorAll("text").forEach(t => {
      const box = t.getBoundingClientRect();
      if (box.right > frame.right + 1 || box.left < frame.left - 1 ||
          box.bottom > frame.bottom + 1 || box.top < frame.top - 1) clipped.push(t.textContent);
    });
  });
  const cues = [...d.querySelectorAll("body *")].map(e => w.getComputedStyle(e))
    .filter(look => look.overflowX == "auto")
    .map(look => look.backgroundImage.split("linear-gradient").length - 1 + " " +
      look.backgroundAttachment);
  const fetched = w.performance.getEntriesByType("resource").map(e => e.name);
  document.body.append(Object.assign(document.createElement("pre"), {id: "found", textContent:
    JSON.stringify({scroll: d.documentElement.scrollWidth, wide, clipped, fetched, cues,
      charts: d.querySelectorAll("svg.chart").length})}));
}, 300);
</script>"""


def test_on_a_phone(tmp_path: Path) -> None:
    write_report(fill(tmp_path))
    (tmp_path / "probe.html").write_text(PROBE)
    found = found_by(tmp_path / "probe.html", tmp_path)
    assert found["charts"] == 2
    assert found["scroll"] <= 390
    assert found["wide"] == []
    assert found["clipped"] == []
    assert found["fetched"] == []
    # what may be wider than the screen has a shadow where there is more, covered where there is not
    assert found["cues"]
    assert all("local" in cue and "scroll" in cue and cue >= "4" for cue in found["cues"])
