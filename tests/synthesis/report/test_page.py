"""The report's folder: the same bytes in any order, whole files, and a page on which nothing from data works."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.outcome import Dropped, Outcome, Pair, Round
from clara_lightning.synthesis.report.page import write_report

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&lt; {{ 7 * 7 }} {% raw %} \x1b[2J \u202eback\x00"


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


def speaking(text: str) -> list[Outcome]:
    """Outcomes in which every text is this one."""
    accepted = Outcome(
        key="1",
        id=text,
        document=f"Here is it: {text} and more",
        pairs=(Pair(text, text, "simple", "exact", 1), Pair(text, "", "bridge", "teacher", 1)),
        paraphrase=text,
        rounds=(Round(2, 2, 1.0),),
        dropped=(Dropped(text, text, "simple", text, text, 1),),
    )
    failed = replace(accepted, key="3", paraphrase=None, paraphrase_faults=(text,))
    return [accepted, failed, replace(failed, key="2", reason="bad reply", detail=text)]


def rendered(folder: Path, text: str) -> str:
    context = {
        "teacher": text,
        "documents": {"read": 3, "left_out": {text: 1}},
        "contamination": {"examples": [{"question": text, text: text}]},
        "settings": {text: text},
    }
    write_report(folder, speaking(text), context)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_order_of_outcomes_changes_no_byte(tmp_path: Path, outcomes: Callable[[int], list[Outcome]]) -> None:
    many = outcomes(100)
    seen = set()
    for seed in range(3):
        random.Random(seed).shuffle(many)
        write_report(tmp_path, iter(many), {"teacher": "rules"})
        seen.add(((tmp_path / "report.html").read_bytes(), (tmp_path / "report.json").read_bytes()))
    assert len(seen) == 1


def test_the_folder_holds_the_page_the_figures_and_nothing_else(
    tmp_path: Path, outcomes: Callable[[int], list[Outcome]]
) -> None:
    folder = tmp_path / "deep" / "report"
    figures = write_report(folder, outcomes(5), {"seconds": 1.5})
    assert {path.name for path in folder.iterdir()} == {"report.html", "report.json"}
    data = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert data == json.loads(json.dumps({"figures": figures.to_json(), "context": {"seconds": 1.5}}))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClaraError, match=r"file/report\.html: cannot be written"):
        write_report(tmp_path / "file", [], {})


def test_text_from_data_brings_no_tag_and_no_attribute(tmp_path: Path) -> None:
    harmless, evil = Reader(rendered(tmp_path, re.sub(r"\S", "x", EVIL))), Reader(rendered(tmp_path, EVIL))
    assert [(tag, list(attributes)) for tag, attributes in evil.tags] == [
        (tag, list(attributes)) for tag, attributes in harmless.tags
    ]
    assert "<script>alert(1)</script>" in evil.text and "&lt; {{ 7 * 7 }} {% raw %}" in evil.text


def test_characters_that_act_are_shown_as_their_codes(tmp_path: Path) -> None:
    page = rendered(tmp_path, EVIL)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)
    assert "[U+001B][2J [U+202E]back[U+0000]" in page


def test_halves_of_surrogate_pairs_can_be_written(tmp_path: Path) -> None:
    assert "[U+D83D]" in rendered(tmp_path, "half \ud83d")
    data = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert data["context"]["teacher"] == "half \ud83d"


def test_text_from_right_to_left_stays_in_its_place(tmp_path: Path) -> None:
    page = rendered(tmp_path, "نيروبي")
    around = re.findall(r"<(td|li|summary|div)\b([^>]*)>[^<]*نيروبي", page)
    assert {tag for tag, _ in around} == {"td", "li", "div", "summary"}
    assert all('dir="auto"' in attributes for _, attributes in around)


def test_the_policy_forbids_scripts_and_the_network(tmp_path: Path) -> None:
    policies = [each for tag, each in Reader(rendered(tmp_path, "x")).tags if tag == "meta" and "http-equiv" in each]
    assert [each["http-equiv"] for each in policies] == ["Content-Security-Policy"]
    assert str(policies[0]["content"]).startswith("default-src 'none'; style-src 'unsafe-inline';")


def test_nothing_comes_from_elsewhere(tmp_path: Path) -> None:
    page = rendered(tmp_path, "x")
    for tag, attributes in Reader(page).tags:
        assert tag not in ("script", "link", "iframe", "object", "base", "img")
        assert "src" not in attributes and str(attributes.get("href", "#")).startswith("#")
    assert "url(" not in page and "@import" not in page and not re.search(r"https?://", page)


@pytest.mark.parametrize("count", [0, 1, 50])
def test_links_lead_somewhere(tmp_path: Path, outcomes: Callable[[int], list[Outcome]], count: int) -> None:
    write_report(tmp_path, outcomes(count), {})
    tags = Reader((tmp_path / "report.html").read_text(encoding="utf-8")).tags
    links = {str(attributes["href"])[1:] for tag, attributes in tags if tag == "a"}
    assert bool(links) == (count > 0) and links <= {attributes.get("id") for _, attributes in tags}


def test_without_documents_the_page_says_so(tmp_path: Path) -> None:
    write_report(tmp_path, [], {})
    text = Reader((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "No documents: there was nothing to ask about." in text and "Coverage" not in text


def test_bars_are_as_long_as_their_figures(tmp_path: Path) -> None:
    rejected = [Outcome(str(number), str(number), "Mali", reason="no pairs") for number in range(3)]
    write_report(tmp_path, [*rejected, replace(speaking("x")[0], dropped=())], {})
    tags = Reader((tmp_path / "report.html").read_text(encoding="utf-8")).tags
    bars = [attributes["width"] for tag, attributes in tags if tag == "rect"]
    assert bars[:4] == ["25.0", "25.0", "75.0", "75.0"]  # each beside its row, and below it on a phone


def test_twelve_samples_of_each_kind_are_shown(tmp_path: Path, outcomes: Callable[[int], list[Outcome]]) -> None:
    write_report(tmp_path, [replace(one, dropped=()) for one in outcomes(100)], {})
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<summary") == 24
    assert len(re.findall(r"12 of \d\d, chosen by chance", page)) == 2
