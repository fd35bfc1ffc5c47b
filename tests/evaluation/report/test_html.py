"""The report as HTML: one file, nothing from outside, nothing from data that works."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from typing import Any

from clara_lightning.evaluation.report.canvas import Picture
from clara_lightning.evaluation.report.html import html
from clara_lightning.evaluation.report.page import make_page

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> | a\n{{ 7 * 7 }}\x1b[2J"


class Reader(HTMLParser):
    """The tags with their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def rendered(evaluated: Any) -> str:
    return html(make_page(evaluated.results, evaluated.costs, evaluated.predictions, pictures=evaluated.drawn()))


def test_text_from_data_brings_no_tag_and_no_attribute(evaluated: Any) -> None:
    harmless, evil = Reader(rendered(evaluated.with_text("x"))), Reader(rendered(evaluated.with_text(EVIL)))
    assert [(tag, list(attributes)) for tag, attributes in evil.tags] == [
        (tag, list(attributes)) for tag, attributes in harmless.tags
    ]
    assert not [tag for tag, _ in evil.tags if tag == "script"]
    assert "<script>alert(1)</script>" in evil.text and "{{ 7 * 7 }}" in evil.text


def test_control_characters_are_shown_as_unknown(evaluated: Any) -> None:
    page = rendered(evaluated.with_text(EVIL))
    assert "\x1b" not in page and "\N{REPLACEMENT CHARACTER}[2J" in page


def test_nothing_comes_from_elsewhere(evaluated: Any) -> None:
    page = rendered(evaluated)
    for tag, attributes in Reader(page).tags:
        assert tag not in ("script", "link", "iframe", "object", "base")
        assert str(attributes.get("src", "data:image/png;base64,")).startswith("data:image/png;base64,")
        assert str(attributes.get("href", "#")).startswith("#")
    assert "url(" not in page and "@import" not in page and not re.search(r"https?://", page)


def test_pictures_are_inside_and_told_in_words(evaluated: Any) -> None:
    drawn = evaluated.drawn()
    shown = [attributes for tag, attributes in Reader(rendered(evaluated)).tags if tag == "img"]
    inside = [base64.b64decode(str(each["src"]).partition(",")[2]) for each in shown]
    assert sorted(inside) == sorted(picture.png for picture in drawn.values())
    assert [each["alt"] for each in shown if "gold memory 0.410 [0.350, 0.470]" in str(each["alt"])]


def test_links_inside_the_page_lead_somewhere(evaluated: Any) -> None:
    for data in (evaluated, evaluated.without_search()):
        tags = Reader(rendered(data)).tags
        links = {str(attributes["href"])[1:] for tag, attributes in tags if tag == "a"}
        assert links and links <= {attributes.get("id") for _, attributes in tags}


def test_a_picture_without_data_leaves_no_hole(evaluated: Any) -> None:
    tags = Reader(rendered(evaluated.without_search())).tags
    assert len([tag for tag, _ in tags if tag == "img"]) == len([tag for tag, _ in tags if tag == "figure"]) == 3


def test_an_interval_stands_below_its_figure(evaluated: Any) -> None:
    assert "<td>0.410 <small>[0.350, 0.470]</small></td>" in rendered(evaluated)


def test_the_words_of_a_picture_are_escaped(evaluated: Any) -> None:
    evil = {"recall": Picture("recall", EVIL, b"png")}
    page = html(make_page(evaluated.results, evaluated.costs, evaluated.predictions, pictures=evil))
    (image,) = [attributes for tag, attributes in Reader(page).tags if tag == "img"]
    assert str(image["alt"]).startswith("<script>") and set(image) == {"alt", "src"}
