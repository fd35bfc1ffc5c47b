"""What is told beside the outcomes: everything that was given, and nothing where nothing was."""

from __future__ import annotations

from clara_lightning.synthesis.outcome import Outcome
from clara_lightning.synthesis.report.context import MOST, context_sections
from clara_lightning.synthesis.report.figures import Tally
from clara_lightning.synthesis.teacher import Usage

NOTHING = Tally().result()


def cells(context: dict[str, object]) -> dict[str, list[list[str]]]:
    """The rows of every table by the title of its section and its caption."""
    return {
        f"{section.title}/{table.caption}": [list(row.cells) for row in table.rows]
        for section in context_sections(NOTHING, context)
        for table in section.tables
    }


def test_no_context_has_no_sections() -> None:
    assert cells({}) == {}


def test_documents_left_out_stand_by_their_reasons() -> None:
    found = cells({"documents": {"read": 1200, "kept": 9, "left_out": {"too short": 1191}}})
    assert found == {
        "Before the teacher/Documents": [["read", "1,200"], ["kept", "9"], ["left out: too short", "1,191"]]
    }


def test_contamination_comes_with_examples() -> None:
    found = cells(
        {"contamination": {"found": 2, "examples": [{"document": "a", "question": "Why?"}, {"document": "b"}]}}
    )
    assert found["Before the teacher/Contamination"] == [["found", "2"]]
    assert found["Before the teacher/Contamination: examples"] == [["a", "Why?"], ["b", "-"]]


def test_a_long_list_is_cut_and_says_so() -> None:
    found = cells({"contamination": {"examples": [f"q{number}" for number in range(MOST + 5)]}})
    assert len(found[f"Before the teacher/Contamination: examples ({MOST} of {MOST + 5})"]) == MOST


def test_settings_are_flat_and_the_teacher_comes_first() -> None:
    found = cells({"settings": {"rounds": 3, "model": {"seed": 0, "stop": ["a"]}}, "teacher": "rules", "paid": True})
    assert found == {
        "Settings/": [
            ["teacher", "rules"],
            ["rounds", "3"],
            ["model.seed", "0"],
            ["model.stop", '["a"]'],
            ["paid", "yes"],
        ]
    }


def test_an_unknown_key_is_shown() -> None:
    assert cells({"machine": {"cores": 2}}) == {"Settings/": [["machine.cores", "2"]]}


def test_what_it_took_joins_usage_and_context() -> None:
    tally = Tally()
    tally.add(Outcome("1", "1", "Kenya", usage=Usage(4, 3000, 500)))
    tally.add(Outcome("2", "2", "Mali", reason="no pairs", usage=Usage(1, 0, 500)))
    (section,) = context_sections(tally.result(), {"seconds": 12.5, "cost": "0.02 USD"})
    assert [list(row.cells) for row in section.tables[0].rows] == [
        ["requests", "5"],
        ["tokens read", "3,000"],
        ["tokens written", "1,000"],
        ["requests an accepted document", "5.0"],
        ["tokens an accepted document", "4,000"],
        ["tokens for rejected documents", "12 %"],
        ["seconds", "12.5"],
        ["cost", "0.02 USD"],
    ]
