"""How long a move of each slider of `hessium explore` takes until the page is drawn again.

Run: python benchmarks/explore_redraw.py. A headless Chromium opens the page at 1280 x 900, moves
each slider 40 times and draws after each move; the median and the largest time are printed, in
milliseconds of the browser's own clock, without a graphics card. Pixels are read afterwards, which
waits until everything is painted, and must have changed.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from hessium.explore.page import render

MOVES = 40
MEASURE = """<script type="module">
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const seen = () => [...document.querySelectorAll(".plot")].filter((e) => e.offsetParent)
  .flatMap((e) => [...e.querySelectorAll("canvas")]);
const pixels = () => seen().map((c) => {
  const data = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  let sum = 0;
  for (let k = 0; k < data.length; k += 97) sum = (sum * 31 + data[k]) % 1000000007;
  return sum; }).join();
await wait(1500);
const asked = [];
window.requestAnimationFrame = (work) => asked.push(work);
const drawn = () => { while (asked.length) asked.splice(0).forEach((work) => work(0)); };
const found = {canvases: seen().length};
for (const name of ["ratio", "energy", "n"]) {
  const slider = document.getElementById(name), times = [];
  const low = Number(slider.min), high = Number(slider.max);
  let before = pixels(), changed = 0;
  for (let k = 0; k < MOVES; k++) {
    slider.value = low + (high - low) * ((k * 0.618) % 1);
    const start = performance.now();
    slider.dispatchEvent(new Event("input", {bubbles: true}));
    drawn();
    for (const c of seen()) c.getContext("2d").getImageData(0, 0, 1, 1);
    times.push(performance.now() - start);
    const after = pixels();
    changed += after !== before;
    before = after;
  }
  found[name] = {times, changed};
}
await fetch("/found", {method: "POST", body: JSON.stringify(found)});
</script></body>"""


def measured() -> dict[str, Any]:
    """What the page reports."""
    page = render().replace("</body>", MEASURE.replace("MOVES", str(MOVES)), 1).encode()
    found: dict[str, Any] = {}
    finished = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.update(json.loads(body))
            self.send_response(204)
            self.end_headers()
            finished.set()

        def log_message(self, *_: object) -> None:
            pass

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        msg = "chromium is required"
        raise SystemExit(msg)
    with HTTPServer(("127.0.0.1", 0), Handler) as server, tempfile.TemporaryDirectory() as folder:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu"]
        command += ["--window-size=1280,900", "--remote-debugging-port=0"]
        command += [f"--user-data-dir={folder}", f"http://127.0.0.1:{server.server_port}/"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            if not finished.wait(120):
                msg = "the page did not answer within 120 seconds"
                raise SystemExit(msg)
        finally:
            process.kill()
            process.wait()
            server.shutdown()
    return found


def main() -> None:
    """Print one line for each slider."""
    found = measured()
    print(f"{found.pop('canvases')} plots")
    for name, one in found.items():
        times = one["times"]
        print(
            f"{name}: median {statistics.median(times):.1f} ms, largest {max(times):.1f} ms; "
            f"pixels changed in {one['changed']} of {MOVES} moves"
        )


if __name__ == "__main__":
    main()
