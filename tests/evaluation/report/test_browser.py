"""The page in a real browser, without a network, as wide as a desktop and as narrow as a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --virtual-time-budget=2000"
).split()
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND"  # no name leads anywhere
LONG = "<script>document.title='owned'</script>" + "w" * 300

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium: apt-get install chromium"),
]

# A window of the browser is at least 500 pixels wide; a frame is as narrow as one likes, and is a window to its page.
FRAME = """<!doctype html><body style="margin:0">
<iframe style="border:0;width:{width}px;height:3000px" srcdoc="{page}"></iframe>
<pre id="seen"></pre>
<script>
onload = () => {{
  const inside = document.querySelector("iframe").contentDocument;
  document.getElementById("seen").textContent = JSON.stringify({{
    width: inside.defaultView.innerWidth,
    content: inside.scrollingElement.scrollWidth,
    height: inside.scrollingElement.scrollHeight,
    title: inside.title,
    pictures: [...inside.images].map((image) => [image.naturalWidth, image.getBoundingClientRect().right]),
    scripts: inside.scripts.length,
    tables: [...inside.querySelectorAll(".scroll")].map((box) => box.getBoundingClientRect().right),
  }});
}};
</script>"""


def browse(page: Path, profile: Path, *arguments: str) -> str:
    """Open a page in a fresh profile, and return what the browser prints."""
    command = [str(BROWSER), *FLAGS, OFFLINE, f"--user-data-dir={profile}", *arguments, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.parametrize("width", [1200, 360])
@pytest.mark.parametrize("text", [None, LONG])
def test_nothing_is_wider_than_the_window(evaluated: Any, tmp_path: Path, width: int, text: str | None) -> None:
    data = evaluated if text is None else evaluated.with_text(text)
    page = (data.write(tmp_path) / "report.html").read_text(encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(width=width, page=html.escape(page)), encoding="utf-8")
    shown = browse(frame, tmp_path / "profile", f"--window-size={max(width, 500)},3000", "--dump-dom")
    (found,) = re.findall(r'<pre id="seen">(.*?)</pre>', shown)
    seen = json.loads(html.unescape(found))
    assert seen["width"] == width and seen["content"] <= width
    assert seen["title"] == "Evaluation" and seen["scripts"] == 0
    assert len(seen["pictures"]) == 5 and all(pixels > 0 and right <= width for pixels, right in seen["pictures"])
    assert seen["tables"] and all(right <= width for right in seen["tables"])
    assert seen["height"] > 3000


def test_it_can_be_photographed(evaluated: Any, tmp_path: Path) -> None:
    page = evaluated.write(tmp_path) / "report.html"
    browse(page, tmp_path / "profile", "--window-size=1200,2000", f"--screenshot={tmp_path / 'page.png'}")
    picture = np.asarray(Image.open(tmp_path / "page.png").convert("L"))
    assert picture.shape == (2000, 1200) and len(np.unique(picture)) > 50
