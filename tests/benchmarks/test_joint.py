"""The study of stage 3: its rows, its data, its starts, its tables, and what is counted of added words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch
import yaml
from benchmarks.joint import starts
from benchmarks.joint.__main__ import HERE, Row, keep
from benchmarks.joint.__main__ import main as run_from_command_line
from benchmarks.joint.data import ANSWERED, ASKED, DEV, DOCUMENTS, ONE_HOP, SEVERAL_HOPS, TRAIN, Sizes, write_data
from benchmarks.joint.lens import Added, summary
from benchmarks.joint.tables import answers_table, draw_curves, grouped, retrieval_table

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import AdapterFolder, RetrievalConfig, save_adapters
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.cli.main import main
from clara_lightning.data.readers import read_questions
from clara_lightning.errors import ClaraError

ROWS = sorted(path.stem for path in (HERE / "rows").glob("*.yaml"))


def test_a_row_is_named_after_what_it_is() -> None:
    assert Row(("distill", "success"), "weak", 4, 2).name == "distill+success-weak-4min-seed2"
    assert Row((), "weak", 4, 2).name == "default-weak-4min-seed2"
    assert Row((), "weak", 0, 0).name == "start-weak-0min-seed0"
    with pytest.raises(ClaraError, match=r"'distil' is no row: choose among .*distill"):
        Row(("distil",), "weak", 4, 2)
    with pytest.raises(ClaraError, match=r"--minutes must be above 0, or 0 without a row, .*: got 0"):
        Row(("distill",), "weak", 0, 2)  # it would measure the start under the row's name
    with pytest.raises(ClaraError, match=r"--minutes must be above 0, .*: got -1"):
        Row((), "weak", -1, 2)


def test_a_mistake_on_the_command_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run_from_command_line(["distil"])
    assert capsys.readouterr().err.startswith("python -m benchmarks.joint: 'distil' is no row")


@pytest.mark.parametrize("name", ROWS)
def test_clara_fit_takes_each_overlay(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = (HERE / "rows" / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# ")
    row = Row((name,), "weak", 4, 3)
    with pytest.raises(SystemExit, match="0"):
        main([*row.fit(tmp_path, tmp_path, start=tmp_path, store=tmp_path, steps=7), "--print_config"])
    found = yaml.safe_load(capsys.readouterr().out)
    assert found["model"]["init_args"]["query"] == {"projection": 64, "importance": True}
    assert (found["trainer"]["max_steps"], found["seed_everything"]) == (7, 3)
    wanted, used = (each["model"]["init_args"] for each in (yaml.safe_load(text), found))
    classes = [each["class_path"] for each in wanted.pop("estimators", used["estimators"])]
    assert classes == [each["class_path"] for each in used["estimators"]]
    assert wanted.items() <= used.items()


def test_candidates_hold_the_gold_documents_and_what_is_measured_is_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLARA_DATA", str(tmp_path))
    (tmp_path / "train").mkdir()
    for name in (*ONE_HOP, *SEVERAL_HOPS):
        lines = list(_rows(name, num_gold=2 if name in SEVERAL_HOPS else 1))
        (tmp_path / "train" / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")

    write_data(tmp_path / "out", Sizes(train=40, dev=8, answered=3))

    read = {
        name: list(read_questions(str(tmp_path / "out" / name), require_answers=name in (TRAIN, DEV)))
        for name in (TRAIN, DEV, ASKED, ANSWERED)
    }
    for questions in read.values():
        assert all(len(row.passages) == 20 for row in questions)
        assert all(len(row.gold_document_ids) == sum(passage.gold for passage in row.passages) for row in questions)
    trained, measured = (
        {passage.text for row in read[name] for passage in row.passages if passage.gold} for name in (TRAIN, DEV)
    )
    assert not {text for text in trained & measured if text.startswith(ONE_HOP)}
    assert len({row.id for row in read[DEV]}) == len(read[DEV])
    assert [row.id for row in read[ASKED]] == [row.id for row in read[DEV]]
    assert not any(row.answers for row in read[ASKED])
    assert sum(bool(row.answers) for row in read[ANSWERED]) == 3
    documents = {json.loads(line)["id"] for line in (tmp_path / "out" / DOCUMENTS).read_text().splitlines()}
    assert documents >= {passage.document_id for row in read[DEV] for passage in row.passages}


def _rows(name: str, *, num_gold: int) -> Iterator[str]:
    for number in range(64):
        texts = [f"{name} {number // 2} part {part} of a text" for part in range(num_gold + 1)]
        passages = [{"text": text, "gold": part < num_gold} for part, text in enumerate(texts)]
        yield json.dumps(
            {"id": str(number % 48), "question": f"which text {name} {number}?", "answers": ["a"], "passages": passages}
        )


def test_a_spoilt_start_has_the_same_memory_and_other_query_vectors(
    tiny_backbone: Callable[..., ClaraBackbone], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny_backbone("llama", kind="words", adapters=(COMPRESSOR, GENERATOR, QUERY_REASONER))
    backbone.start_query_reasoner()
    config = BackboneConfig(name="tiny")
    save_adapters(backbone, tmp_path / "whole", config=config, stage="test", parent=None, retrieval=RetrievalConfig())
    monkeypatch.setattr(starts, "PRETRAINED", str(tmp_path / "whole"))

    spoilt = AdapterFolder.open(starts.spoil(tmp_path / "spoilt"))

    assert spoilt.fingerprint == AdapterFolder.open(tmp_path / "whole").fingerprint
    assert spoilt.query == starts.QUERY
    tensors = starts.load_file(spoilt.path / starts.MEMORY_FILE)
    first, second = (tensors[f"{QUERY_REASONER}.projection.{number}.weight"] for number in (0, 1))
    vectors_XD = torch.randn(200, first.shape[1], generator=torch.Generator().manual_seed(3))
    added_XD = vectors_XD @ first.T @ second.T
    assert (added_XD.norm(dim=1) / vectors_XD.norm(dim=1)).mean().item() == pytest.approx(10.0, rel=0.1)


def result_of(start: str, recall: float, *, overlays: tuple[str, ...] = (), minutes: float = 4, seed: int = 0) -> Any:
    value = {"value": recall, "low": recall - 0.1, "high": recall + 0.1}
    figures = dict.fromkeys(("recall@1", "recall@5", "mrr"), value)
    systems = {"clara": figures, "bm25": figures, "hybrid": figures} | ({} if minutes else {"dense": figures})
    return {
        **{"overlays": list(overlays), "start": start, "minutes": minutes, "seed": seed, "answers": {}},
        **{"recipe": "+".join(overlays) or ("default" if minutes else "start"), "steps": 10 if minutes else None},
        "retrieval": {"candidates": systems},
    }


def test_a_row_may_be_measured_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "row.json"
    keep(result_of("weak", 0.5) | {"answers": {"none": 1}, "answers_from": "candidates"}, path)
    again = result_of("weak", 0.5)
    keep(again | {"retrieval": {"corpus": again["retrieval"]["candidates"]}}, path)
    found = json.loads(path.read_text(encoding="utf-8"))
    assert list(found["retrieval"]) == ["candidates", "corpus"]
    assert (found["answers"], found["answers_from"]) == ({"none": 1}, "candidates")


def test_a_start_stands_before_what_is_made_of_it_and_seeds_stand_together() -> None:
    results = [
        result_of("strong", 0.8),
        result_of("weak", 0.5),
        result_of("weak", 0.7, seed=1),
        result_of("weak", 0.9, overlays=("distill",)),
        result_of("weak", 0.4, minutes=0),
    ]
    assert [runs[0]["recipe"] for runs in grouped(results)] == ["start", "distill", "default", "default"]
    lines = retrieval_table(results, "candidates")
    assert lines[2].startswith("|  | BM25 |  |  |  | 0.800 [0.70, 0.90] |")
    assert lines[3].startswith("|  | all-MiniLM-L6-v2 |  |  |  | 0.400 [0.30, 0.50] |")
    assert lines[4].startswith("| weak | start |  |  |  | 0.400 [0.30, 0.50] |")
    assert lines[6].startswith("| weak | default | 4 | 2 | 10 | 0.600 (0.500 to 0.700) |")
    assert lines[6].endswith("| 0.600 | 0.600 |")
    assert len(retrieval_table(results, "corpus")) == 2  # nothing was searched


def test_answers_are_means_over_seeds_of_the_rows_that_have_some() -> None:
    def answered(value: float, seed: int) -> Any:
        interval = {"value": value, "low": value - 0.1, "high": value + 0.1}
        figures = dict.fromkeys(("f1", "cover_em", "cross_entropy"), interval)
        return result_of("weak", 0.5, seed=seed) | {
            "answers": dict.fromkeys(("retrieved_memory", "none", "gold_memory"), figures),
            "answers_from": "candidates",
            "answered": 96,
        }

    lines = answers_table([answered(0.2, 0), answered(0.4, 1), result_of("strong", 0.5)])
    assert len(lines) == 3
    assert lines[2] == "| weak | default | 4 | 2 | 96 | 20 candidates |" + " 0.300 |" * 9
    (line,) = answers_table([answered(0.2, 0)])[2:]
    assert line == "| weak | default | 4 | 1 | 96 | 20 candidates |" + " 0.200 [0.10, 0.30] | 0.200 | 0.200 |" * 3


def test_the_picture_is_drawn_from_starts_and_what_is_made_of_them(tmp_path: Path) -> None:
    results = [result_of(start, 0.5, minutes=0) for start in ("weak", "strong")]
    results += [result_of("weak", 0.6), result_of("weak", 0.7, seed=1), result_of("strong", 0.8, overlays=("distill",))]
    draw_curves(results, tmp_path / "curves.png")
    assert plt.imread(tmp_path / "curves.png").std() > 0.05


def test_words_that_were_added_are_counted_in_gold_passages_and_in_others() -> None:
    added = [Added("q", ("a", "b", "c"), ("a", "b"), ("c",)), Added("r", ("d",), (), ())]
    assert summary(added) == {"words": 2.0, "in_gold": 0.5, "in_other": 0.25}
    assert summary([Added("q", (), (), ())]) == {"words": 0.0, "in_gold": 0.0, "in_other": 0.0}
