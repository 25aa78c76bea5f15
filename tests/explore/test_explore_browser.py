"""The page as its reader uses it: on a phone, by keyboard, by link, with measured spectra."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from explore.test_explore_page import run_of
from hessium.explore.page import render
from support.browser import found_by, needs_browser

pytestmark = [pytest.mark.slow, needs_browser]

# the page in a frame as wide as a phone; what is wrong or thrown, and what settings do
PROBE = """<!DOCTYPE html><title>probe</title>
<iframe id="f" src="page.html#ratio=0.5&energy=oops&activation=relu&step=3&n=40"
  style="width:360px;height:740px;border:0"></iframe>
<script>
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
f.onload = async () => {
  const w = f.contentWindow, d = w.document, get = (id) => d.getElementById(id), found = {};
  const words = (id) => get(id).textContent, ink = (id) => {
    const canvas = get(id).querySelector("canvas");
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return data.reduce((sum, v, k) => sum + (k % 4 === 3 && v > 0 ? 1 : 0), 0);
  };
  await wait(600);
  found.first = w.hessium.settings();
  found.errors = w.thrown;
  found.wide = [...d.querySelectorAll("body *")].filter((e) => {
    const box = e.getBoundingClientRect();
    return !e.closest(".skip, .handle") && (box.right > 360.5 || box.left < -0.5);
  }).map((e) => e.tagName + "#" + e.id);
  found.scroll = d.documentElement.scrollWidth;
  found.fetched = w.performance.getEntriesByType("resource").map((e) => e.name);
  found.plots = [...d.querySelectorAll(".plot")].filter((e) => e.offsetParent).map((e) => e.id);
  found.ink = found.plots.map(ink);
  found.unnamed = [...d.querySelectorAll("input, button, select, canvas, [role=slider]")]
    .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length))
    .map((e) => e.outerHTML.slice(0, 80));
  found.alone = [...d.querySelectorAll("[id]")].map((e) => e.id)
    .filter((id, k, all) => all.indexOf(id) !== k);

  const ratio = get("ratio");
  ratio.value = -1;
  ratio.dispatchEvent(new w.Event("input", {bubbles: true}));
  await wait(500);
  found.slid = [w.hessium.settings().ratio, words("index-words"),
    ratio.getAttribute("aria-valuetext"),
    get("density-plot").querySelector("canvas").getAttribute("aria-label")];
  found.link = w.location.hash;
  const key = (target, name, more) => target.dispatchEvent(
    new w.KeyboardEvent("keydown", {key: name, bubbles: true, cancelable: true, ...more}));
  const handle = get("index-plot").querySelector(".handle");
  key(handle, "ArrowRight"); key(handle, "ArrowRight", {shiftKey: true});
  await wait(50);
  found.energy = w.hessium.settings().energy;
  key(d.body, "a"); key(d.body, "s");
  await wait(50);
  found.keys = [w.hessium.settings().activation, w.hessium.settings().step];
  get("shortcuts").checked = false;
  key(d.body, "a");
  found.off = w.hessium.settings().activation;
  get("critical").click();
  await wait(500);
  found.critical = [w.hessium.settings().energy, w.hessium.criticalEnergy(0.1, "linear"),
    w.hessium.index(0.1, w.hessium.settings().energy, "linear")];
  get("take").click();
  await wait(500);
  found.taken = [w.hessium.settings().ratio, w.hessium.settings().energy];
  found.overlay = words("overlay-words");
  get("theme").click(); get("theme").click();
  await wait(300);
  found.dark = w.getComputedStyle(d.body).backgroundColor;
  found.answers = [...d.querySelectorAll("#exercise-list details")].map((e) => e.open);
  document.body.append(Object.assign(document.createElement("pre"),
    {id: "found", textContent: JSON.stringify(found)}));
};
</script>"""
CATCH = """<script>window.thrown = [];
addEventListener("error", (e) => thrown.push(String(e.message)));
addEventListener("unhandledrejection", (e) => thrown.push(String(e.reason)));
console.error = (...all) => thrown.push(all.join(" "));</script>"""


def test_the_page_in_use(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wishart = rng.standard_normal((40, 80))
    noise = rng.standard_normal((40, 40))
    h0, h1 = wishart @ wishart.T / 80, (noise + noise.T) * np.sqrt(0.1 / 40)
    arrays = {
        "gauss_newton": 3 * np.linalg.eigvalsh(h0),
        "residual": 3 * np.linalg.eigvalsh(h1),
        "hessian": 3 * np.linalg.eigvalsh(h0 + h1),
    }
    run = run_of(tmp_path / "run", arrays, parameters=40, outputs=80)
    page = render([run]).replace("<style>", f"{CATCH}<style>", 1)
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    (tmp_path / "probe.html").write_text(PROBE)
    found = found_by(tmp_path / "probe.html", tmp_path)

    assert found["errors"] == []
    assert found["fetched"] == []
    assert found["wide"] == []
    assert found["scroll"] <= 360
    assert found["unnamed"] == []
    assert found["alone"] == []
    assert len(found["plots"]) == 8
    assert min(found["ink"]) > 2000
    # the link sets what it says; what is no number keeps its default
    first = found["first"]
    assert (first["ratio"], first["activation"], first["step"], first["n"]) == (0.5, "relu", 3, 40)
    assert first["energy"] == 0.1

    ratio, index_words, spoken, described = found["slid"]
    assert ratio == 0.1
    assert "Critical energy" in index_words
    assert spoken == "ratio 0.1"
    assert "Support of H" in described
    assert found["link"].startswith("#ratio=0.1&energy=0.1")
    assert found["energy"] == pytest.approx(0.1 * 10**0.11)
    assert found["keys"] == ["linear", 4]
    assert found["off"] == "linear"
    energy, critical, index = found["critical"]
    assert energy == critical
    assert index < 1e-12
    # ratio from the run, energy from the variance of H1 in units of the mean of H0
    unit = np.trace(h0) / 40
    assert found["taken"][0] == 0.5
    assert found["taken"][1] == pytest.approx(
        np.var(np.linalg.eigvalsh(h1)) / unit**2 / 2, rel=1e-4
    )
    assert "mean 1" in found["overlay"]
    assert found["dark"] == "rgb(20, 23, 26)"
    assert found["answers"] == [False] * 8
