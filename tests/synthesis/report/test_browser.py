"""The page in a real browser, as wide as a desktop and as narrow as a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from clara_lightning.synthesis.outcome import Dropped, Outcome
from clara_lightning.synthesis.report.page import write_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --virtual-time-budget=2000 --dump-dom"
).split()
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND"  # no name leads anywhere
LONG = "<script>document.title='owned'</script>" + "w" * 300

# A window of the browser is at least 500 pixels wide; a frame is as narrow as one likes, and is a window to its page.
FRAME = """<!doctype html><body style="margin:0">
<iframe style="border:0;width:{width}px;height:3000px" srcdoc="{page}"></iframe>
<pre id="seen"></pre>
<script>
onload = () => {{
  const inside = document.querySelector("iframe").contentDocument;
  inside.querySelectorAll("details").forEach((one) => {{ one.open = true; }});
  document.getElementById("seen").textContent = JSON.stringify({{
    width: inside.defaultView.innerWidth,
    content: inside.scrollingElement.scrollWidth,
    title: inside.title,
    scripts: inside.scripts.length,
    bars: [...inside.querySelectorAll("svg")].map((bar) => bar.getBoundingClientRect().width).filter((one) => one > 0),
  }});
}};
</script>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium: apt-get install chromium"),
]


@pytest.mark.parametrize("width", [1200, 360])
def test_nothing_is_wider_than_the_window(tmp_path: Path, outcomes: Callable[[int], list[Outcome]], width: int) -> None:
    dropped = (Dropped(LONG, LONG, "simple", LONG, LONG, 1),)
    many = [replace(one, id=LONG, document=LONG, dropped=dropped, detail=LONG) for one in outcomes(60)]
    write_report(tmp_path, many, {"teacher": LONG, "settings": {LONG: LONG}, "contamination": {"examples": [LONG]}})
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(width=width, page=html.escape(page)), encoding="utf-8")
    window = (f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={max(width, 500)},3000", frame.as_uri())
    command = [str(BROWSER), *FLAGS, OFFLINE, *window]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    (found,) = re.findall(r'<pre id="seen">(.*?)</pre>', shown)
    seen = json.loads(html.unescape(found))
    assert seen["width"] == width and seen["content"] <= width
    assert seen["title"] == "Synthesis" and seen["scripts"] == 0
    assert len(seen["bars"]) == page.count("<svg") // 2  # the other half is for another width
