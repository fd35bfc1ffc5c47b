"""How the package's adapters are made: the data, the commands, and what is written of the figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks.recipes.adapters import (
    CARD,
    DOCUMENTS,
    QUESTIONS,
    TRAINED,
    install,
    main,
    measured,
    stages,
    write_data,
)
from benchmarks.recipes.split import HELD_OUT

from clara_lightning.cli.main import main as clara
from clara_lightning.data.readers import read_documents, read_questions


def results(retained: float) -> dict[str, Any]:
    value = {"value": retained, "low": retained - 0.1, "high": retained + 0.1}
    names = ("cover_em", "em", "f1", "cross_entropy", "information_retained")
    conditions = ("none", "another", "gold_memory", "gold_text")
    return {"questions": 7, "answers": {name: dict.fromkeys(names, value) for name in conditions}}


def test_every_question_of_stage_3_finds_its_passage_among_the_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLARA_DATA", str(tmp_path))
    (tmp_path / "train").mkdir()
    for name in (*TRAINED, HELD_OUT):
        with (tmp_path / "train" / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for number in range(60):
                passages = [{"title": name, "text": f"{name} text {number // 3}", "gold": True}]
                row = {"id": str(number), "question": f"{name} {number}?", "answers": ["a"], "passages": passages}
                file.write(json.dumps(row) + "\n")
    write_data(tmp_path / "data")
    documents = {document.id: document.content for document in read_documents(tmp_path / "data" / DOCUMENTS)}
    asked = [*read_questions(tmp_path / "data" / QUESTIONS), *read_questions(tmp_path / "data" / f"dev-{QUESTIONS}")]
    assert len(asked) > 100
    for question in asked:
        assert [documents[name] for name in question.gold_document_ids] == [question.passages[0].content]


@pytest.mark.parametrize("number", [1, 3])
def test_the_configurations_are_taken(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = stages(tmp_path, tmp_path / "target")[number]
    with pytest.raises(SystemExit, match="0"):
        clara([*stage.command, "--print_config"])
    assert "max_steps: " in capsys.readouterr().out


def test_the_installed_folder_replaces_the_old_one_and_its_card_says_what_was_measured(tmp_path: Path) -> None:
    rounded, target = tmp_path / "rounded", tmp_path / "package" / "smollm2"
    rounded.mkdir()
    target.mkdir(parents=True)
    (target / "old").touch()
    (rounded / CARD).write_text("# A card\n", encoding="utf-8")
    (rounded / ".gitattributes").touch()
    reports = []
    for name, retained in (("report-64", 0.7), ("report-16", 0.4)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps(results(retained)), encoding="utf-8")
        reports.append(tmp_path / name)
    compressor = tmp_path / "compressor"
    (compressor / "adapters").mkdir(parents=True)
    told = "# Another\n\n## Backbone\n\nb\n\n## Training\n\nt\n\n## Figures\n\nf\n\n## Limits\n\nl\n"
    (compressor / "adapters" / CARD).write_text(told, encoding="utf-8")
    install(rounded, compressor, reports, target, tmp_path / "installed")
    assert [path.name for path in target.iterdir()] == [CARD]
    card = (target / CARD).read_text(encoding="utf-8")
    assert card.startswith("# A card\n" + measured([results(0.7), results(0.4)]) + "\n## Stage 1\n")
    assert card.endswith("\n\n### Training\n\nt\n\n### Figures\n\nf\n")
    assert "64 memory tokens for 256 tokens of text: information retained 0.70 [0.60, 0.80]" in card
    assert "| the memory of another document | 0.40 [0.30, 0.50] |" in card
    assert [path.name for path in target.parent.iterdir()] == ["smollm2"]


def test_without_the_data_the_setting_is_named_with_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLARA_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit) as ended:
        main(["--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert "CLARA_DATA: " in capsys.readouterr().err
