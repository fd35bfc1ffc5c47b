"""The report as Markdown, read back by another program's parser."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from clara_lightning.evaluation.report.markdown import inline, markdown

EVIL = "<script>alert(1)</script> a|b\n\n# no heading\n- [x](http://example.org) `c` ![i](j.png) *e* __s__ <!-- $m$"
OURS = {
    "h1",
    "h2",
    "h3",
    "p",
    "ul",
    "li",
    "strong",
    "br",
    "img",
    "pre",
    "code",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
}


class Reader(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(text: str) -> Reader:
    """As a reader sees it that lets HTML through."""
    return Reader(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))


@pytest.mark.parametrize("place", ["- {}", "# {}", "{}", "| {} | b |\n| --- | --- |\n| c | {} |", "- **{}**: {}"])
@given(
    text=st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t\\`*_[]()<>&#|!-=+.1~"))
)
def test_any_text_reads_as_itself_and_is_no_markup(place: str, text: str) -> None:
    around = read(place.replace("{}", "x"))
    found = read(place.replace("{}", f"x{inline(text)}x"))
    assert found.tags == around.tags
    assert f"x{' '.join(text.split())}x" in "".join(found.texts)


@pytest.mark.parametrize("text", ["# x", "- x", "+ x", "1. x", "2) x", "---", "===", "> x", "-", "    x", "* * *"])
@pytest.mark.parametrize("place", ["- {}", "{}", "x\n{}"])
def test_text_at_the_start_of_a_line_begins_no_block(place: str, text: str) -> None:
    assert read(place.format(inline(text))).tags == read(place.format("x")).tags


def test_text_from_data_brings_no_element_of_its_own(evaluated: Any) -> None:
    harmless, evil = markdown(evaluated.with_text("x").page()), markdown(evaluated.with_text(EVIL).page())
    assert "script" not in read(evil).tags
    assert sorted(read(evil).tags) == sorted(read(harmless).tags)
    assert set(read(evil).tags) <= OURS


def test_every_row_of_a_table_has_as_many_cells_as_its_header(evaluated: Any) -> None:
    page = MarkdownIt("commonmark").enable("table").render(markdown(evaluated.with_text(EVIL).page()))
    for table in page.split("<table>")[1:]:
        rows = table.split("</table>")[0].split("<tr>")[1:]
        assert len({row.count("<td") + row.count("<th") for row in rows}) == 1


def test_the_verdict_comes_first_and_everything_else_after_it(evaluated: Any) -> None:
    titles = [line[3:] for line in markdown(evaluated.page()).splitlines() if line.startswith("## ")]
    assert titles == [
        "Verdict",
        "Answers",
        "Search",
        "Where answers were lost",
        "What it costs",
        "Paraphrases",
        "Notes",
        "What the words mean",
        "Samples",
        "To repeat it",
    ]


def test_what_there_is_no_data_for_leaves_no_hole(evaluated: Any) -> None:
    text = markdown(evaluated.without_search().page())
    assert "## Search" not in text and "## Where answers were lost" not in text and "## Paraphrases" not in text


def test_settings_fingerprint_and_command_are_there_to_repeat_it(evaluated: Any) -> None:
    text = markdown(evaluated.page())
    assert f"\n    {evaluated.results.settings['command']}\n" in text
    assert "| resamples.number | 2000 |" in text and "| limit | null |" in text
    assert f"| adapters.fingerprint | {evaluated.results.adapters['fingerprint']} |" in text
