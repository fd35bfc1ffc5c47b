"""What validations measure, and when: through the command line, against the backbone asked directly."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import AdapterFolder, build_from_folder
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.data.prompts import MEMORY, Prompt
from clara_lightning.data.readers import read_questions, read_scp
from clara_lightning.errors import ClaraError
from clara_lightning.modules.validation import ValidationAnswers, is_last_validation

STILL = ("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", 0.0, "--trainer.max_steps", 1)
OFTEN = ("--trainer.val_check_interval", 2)
ANSWERED = ("val/em", "val/f1", "val/cover_em", "val/answer_words")


def validations(run: Path) -> list[dict[str, str]]:
    """Rows of a run's validations, without empty cells."""
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        rows = [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]
    return [row for row in rows if "val/loss" in row]


def steps_with_answers(run: Path) -> list[int]:
    rows = validations(run)
    assert all(len(row.keys() & set(ANSWERED)) in (0, len(ANSWERED)) for row in rows)
    return [int(row["step"]) for row in rows if "val/em" in row]


def simulated(
    *, batches: int, every: int, max_steps: int, accumulate: int, across: bool
) -> list[tuple[int, int, bool]]:
    """``(batches done in the epoch, steps, whether it is the last)`` of each validation, by walking two epochs."""
    found: list[tuple[int, int, int]] = []
    steps = total = 0
    for epoch in range(2):
        for done in range(1, batches + 1):
            total += 1
            steps += done % accumulate == 0 or done == batches
            if (total if across else done) % every == 0:
                found.append((epoch, done, steps))
            if steps == max_steps:
                break
        if steps == max_steps:
            break
    last = {max(index for index, each in enumerate(found) if each[0] == epoch) for epoch, _, _ in found}
    return [(done, steps, index in last) for index, (_, done, steps) in enumerate(found)]


@pytest.mark.parametrize("across", [False, True], ids=["counted by epoch", "counted over epochs"])
@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize("every", [1, 2, 3, 4, 7])
def test_the_last_validation_of_an_epoch_or_run_is_known(every: int, accumulate: int, across: bool) -> None:
    for batches in (4, 7, 8):
        for max_steps in (-1, 1, 2, 3, 5):
            sizes = {"batches": batches, "every": every, "max_steps": max_steps, "accumulate": accumulate}
            walk = simulated(**sizes, across=across)
            found = [is_last_validation(done, steps=steps, **sizes) for done, steps, _ in walk]
            assert found == [last for _, _, last in walk], sizes


def test_where_a_clock_decides_only_the_last_step_is_known() -> None:
    clock: dict[str, Any] = {"batches": 9, "every": None, "max_steps": 3, "accumulate": 1}
    assert [is_last_validation(n, steps=n, **clock) for n in (1, 2, 3)] == [False, False, True]


def test_answers_are_written_after_an_epoch_and_not_in_between(commands: Any, clara: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"

    assert clara(*commands.fit_compressor(run, *OFTEN)).code == 0

    assert [int(row["step"]) for row in validations(run)] == [1, 3, 5, 7]
    assert steps_with_answers(run) == [3, 7]


@pytest.mark.parametrize(("max_steps", "step"), [(2, 1), (3, 1)])
def test_answers_are_written_at_the_last_validation_of_a_run(
    max_steps: int, step: int, commands: Any, clara: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"

    assert clara(*commands.fit_compressor(run, *OFTEN, "--trainer.max_steps", max_steps)).code == 0

    assert steps_with_answers(run) == [step]


@pytest.mark.parametrize("verb", ["validate", "test"])
def test_answers_are_written_when_measuring_is_all_there_is_to_do(
    verb: str, commands: Any, clara: Any, compressor_run: Path, joint_run: Path, compressor: Path
) -> None:
    for run, fit in (
        (compressor_run, commands.fit_compressor(compressor_run)),
        (joint_run, commands.fit_joint(joint_run, compressor)),
    ):
        outcome = clara(verb, *fit[1:], "--ckpt_path", run / "checkpoints" / "last.ckpt")
        assert outcome.code == 0, outcome.err
        assert all(name in outcome.out for name in (*ANSWERED, "val/recall@1"))


def test_no_rows_to_answer_is_none_answered(commands: Any, clara: Any, tmp_path: Path) -> None:
    run, none = tmp_path / "run", ("--model.generate_rows", 0, "--model.max_new_tokens", 5, "--trainer.max_steps", 4)

    outcome = clara(*commands.fit_compressor(run, *none))

    assert outcome.code == 0
    assert steps_with_answers(run) == []
    assert "without effect: model.init_args.max_new_tokens: model.init_args.generate_rows is 0" in outcome.err


def test_as_many_rows_are_answered_as_are_asked_for(
    commands: Any, clara: Any, compressor: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, asked = tmp_path / "run", []

    def generate(self: ClaraBackbone, prompts: Sequence[Any], memory: Any, *, max_new_tokens: int) -> list[str]:
        asked.append((len(prompts), max_new_tokens))
        return [" ".join(["word"] * (2 * len(asked) + place)) for place in range(len(prompts))]

    monkeypatch.setattr(ClaraBackbone, "generate", generate)
    few = ("--data.max_val_rows", 8, "--model.generate_rows", 3, "--model.max_new_tokens", 7)

    assert clara(*commands.fit_joint(run, compressor, *few)).code == 0

    assert asked == [(2, 7), (2, 7)]  # batches of 2, of which the second counts in half
    assert float(validations(run)[0]["val/answer_words"]) == (2 + 3 + 4) / 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": -1, "max_new_tokens": 1}, r"generate_rows must be >= 0, got -1"),
        ({"rows": 1, "max_new_tokens": 0}, r"max_new_tokens must be >= 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ClaraError, match=message):
        ValidationAnswers(**settings)


def mean_loss(backbone: ClaraBackbone, asks: Sequence[tuple[str, str, Sequence[str] | torch.Tensor]]) -> float:
    """Mean over tokens of the loss of answers, one question after the other: ``(question, answer, background)``."""
    total, tokens = 0.0, 0
    for question, answer, background in asks:
        given = background if isinstance(background, torch.Tensor) else None
        filling = tuple(background) if given is None else (MEMORY,) * len(given)
        prompt = backbone.prompts.ask(question, filling, answer=answer)  # type: ignore[arg-type]
        with torch.no_grad():
            loss = backbone.answer_loss([prompt], given)
        total, tokens = total + float(loss.sum_B), tokens + int(loss.tokens_B)
    return total / tokens


def close(found: dict[str, str], expected: dict[str, float]) -> bool:
    return {name: float(found[f"val/{name}"]) for name in expected} == pytest.approx(expected, abs=1e-4)


def test_stages_1_and_2_measure_what_the_backbone_says(
    commands: Any, clara: Any, compressor: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert (
        clara(*commands.fit_compressor(run, *STILL, "--trainer.limit_train_batches", 1, init_from=compressor)).code == 0
    )
    rows = list(read_scp(str(commands.files.scp)))[:4]
    backbone = build_from_folder(AdapterFolder.open(compressor), backbone=BackboneConfig(dtype="float32"))
    memory = [backbone.compress([row.document]) for row in rows]
    lent = [memory[1].to(torch.bfloat16).float(), *(each.to(torch.bfloat16).float() for each in memory[:3])]
    asks = [(row.pairs[0].question, row.pairs[0].answer) for row in rows]

    backgrounds = {"none": [()] * 4, "another": lent, "memory": memory, "text": [(row.document,) for row in rows]}
    expected = {
        f"ce_{name}": mean_loss(backbone, [(*ask, filling) for ask, filling in zip(asks, fillings, strict=True)])
        for name, fillings in backgrounds.items()
    }

    assert close(validations(run)[0], expected)


@pytest.mark.parametrize("source", ["given", "search"])
def test_stage_3_measures_what_the_backbone_says(
    source: str, commands: Any, clara: Any, compressor: Path, store: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    search = ("--model.store", store, "--model.candidates.search", 1, "--model.num_candidates", 5)
    still = (*STILL, "--trainer.limit_train_batches", 1, *(search if source == "search" else ()))
    assert clara(*commands.fit_joint(run, compressor, *still)).code == 0
    rows = list(read_questions(str(commands.files.questions)))[:4]
    backbone = build_from_folder(AdapterFolder.open(compressor), backbone=BackboneConfig(dtype="float32"))

    def compress(texts: list[str]) -> torch.Tensor:
        return backbone.compress(texts).to(torch.bfloat16 if source == "search" else torch.float32)

    gold = [[passage.content for passage in row.passages if passage.gold] for row in rows]
    others = [[passage.content for passage in row.passages if not passage.gold][:1] for row in rows]
    backgrounds: dict[str, list[Any]] = {"none": [()] * 4, "memory": [*map(compress, gold)], "text": gold}
    if source == "given":
        backgrounds["another"] = [*map(compress, others)]
    expected = {
        f"ce_{name}": mean_loss(
            backbone, [(row.question, row.answers[0], filling) for row, filling in zip(rows, fillings, strict=True)]
        )
        for name, fillings in backgrounds.items()
    }

    assert close(validations(run)[0], expected)


def test_questions_without_gold_are_counted_and_left_out(
    commands: Any, clara: Any, compressor: Path, tmp_path: Path
) -> None:
    run, data = tmp_path / "run", tmp_path / "qa.jsonl"
    rows = [json.loads(line) for line in commands.files.questions.read_text(encoding="utf-8").splitlines()]
    for number, row in enumerate(rows):
        row.pop("gold_ids")
        row["passages"] = [passage | {"gold": passage["gold"] and number < 2} for passage in row["passages"]]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    still = (*STILL, "--trainer.limit_train_batches", 1, "--data.val", data)

    some = clara(*commands.fit_joint(run, compressor, *still))
    assert clara(*commands.fit_joint(tmp_path / "two", compressor, *still, "--data.max_val_rows", 2)).code == 0

    assert some.code == 0
    assert "2 of 4 validation questions name no gold document" in some.err
    found, expected = validations(run)[0], validations(tmp_path / "two")[0]
    for name in ("none", "another", "memory", "text"):
        assert float(found[f"val/ce_{name}"]) == pytest.approx(float(expected[f"val/ce_{name}"]), abs=1e-5)
    assert found["val/ce_retrieved"] != expected["val/ce_retrieved"]


def test_a_file_without_any_gold_is_validated_as_far_as_possible(
    commands: Any, clara: Any, compressor: Path, tmp_path: Path
) -> None:
    run, data = tmp_path / "run", tmp_path / "qa.jsonl"
    row = json.loads(commands.files.questions.read_text(encoding="utf-8").splitlines()[0])
    row["passages"] = [passage | {"gold": False} for passage in row["passages"]]
    data.write_text(json.dumps(row) + "\n", encoding="utf-8")

    assert clara(*commands.fit_joint(run, compressor, "--data.val", data)).code == 0

    found = {name: float(value) for name, value in validations(run)[0].items()}
    assert math.isfinite(found["val/loss"]) and math.isfinite(found["val/em"])
    assert math.isnan(found["val/information_retained"]) and math.isnan(found["val/ce_memory"])


def answered(rank: int, processes: int, texts: list[str], references: list[tuple[str, ...]]) -> ValidationAnswers:
    """The answers of one batch of one process, whose first three rows of the file count."""
    answers = ValidationAnswers(rows=3, max_new_tokens=1)
    trainer: Any = SimpleNamespace(state=SimpleNamespace(fn="validate"), global_rank=rank, world_size=processes)
    backbone: Any = SimpleNamespace(generate=lambda *_, **__: texts)
    answers.start(trainer)
    answers.add(backbone, [Prompt("{background}")] * len(texts), torch.zeros(0), references, real=len(texts))
    return answers


def test_every_reference_answer_counts() -> None:
    found = answered(0, 1, ["second", "neither nor"], [("first", "second")] * 2).figures()
    assert {name: float(value) for name, value in found.items()} == {
        "em": 0.5,
        "f1": 0.5,
        "cover_em": 0.5,
        "answer_words": 1.5,
    }


@pytest.mark.parametrize(("rank", "mean_words"), [(0, (1 + 2) / 2), (1, 1.0)])
def test_rows_count_by_their_place_in_the_file(rank: int, mean_words: float) -> None:
    found = answered(rank, 2, ["one", "one two", "one two three"], [("one",)] * 3).figures()
    assert float(found["answer_words"]) == mean_words  # rows 0 and 2 of rank 0, row 1 of rank 1
