"""Pages in a real browser without a window: what they find is read from the document."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")

needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs chromium")


def found_by(page: Path, folder: Path, *, seconds: int = 60) -> Any:
    """The JSON that `page` writes into its element `<pre id="found">`.

    Args:
        page: the file.
        folder: for the profile of the browser.
        seconds: limit of the browser's run.
    """
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]
    command += ["--no-first-run", "--disable-background-networking", "--disable-sync"]
    command += ["--disable-component-update", "--allow-file-access-from-files"]
    command += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000"]
    command += ["--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=True)
    match = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert match is not None, done.stdout[:500]
    return json.loads(html.unescape(match.group(1)))
