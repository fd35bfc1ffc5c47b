"""``clara data``: what a person sees, what a program reads, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.data.prompts import IGNORED, PromptBatch, PromptEncoder

GOOD = '{"id": "a", "text": "one two"}\n'


@pytest.fixture(autouse=True)
def _screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def fit_options(command: list[object]) -> list[object]:
    """What follows the verb."""
    return command[1:]


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# --- stats ------------------------------------------------------------------------------------------------------------


def test_stats_shows_figures_lengths_and_a_histogram(clara: Any, files: Any) -> None:
    outcome = clara("data", "stats", files.questions, files.scp)

    assert (outcome.code, outcome.err) == (0, "")
    for words in ("8 (question 8)", "16 (SCP 16)", "passages per question", "simple pairs", "documents, words", "█"):
        assert words in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 100


def test_stats_counts_tokens_as_the_compressor_reads_them(clara: Any, files: Any, tiny_model_folder: Path) -> None:
    words = ("--tokenizer", tiny_model_folder, "--document-tokens", 60)

    table, values = (clara("data", "stats", files.documents, *words, *more) for more in ((), ("--json",)))

    (found,) = objects(values.out)
    assert found["tokens"]["documents"]["count"] == found["documents"] == 40
    assert 0 < found["documents_cut"] < 40
    assert "documents > 60 tokens" in table.out and f"{found['documents_cut']} of 40" in table.out


def test_stats_of_markup_shows_it_as_it_is(clara: Any, tmp_path: Path) -> None:
    (tmp_path / "[red]a.jsonl").write_text(
        '{"id": "a", "document": "x", "paraphrase": "y", "teacher": "[b]t\\u001b"}\n'
    )

    outcome = clara("data", "stats", tmp_path / "[red]a.jsonl")

    said = outcome.out.replace("\n", "")  # a long path goes on in the next line
    assert "[red]a.jsonl" in said and "[b]t" in said and "\x1b" not in said


# --- validate ---------------------------------------------------------------------------------------------------------


def test_validate_lists_three_mistakes_of_two_files_on_a_line_each(clara: Any, tmp_path: Path) -> None:
    one, two, three = (tmp_path / f"{name}.jsonl" for name in "abc")
    one.write_text(GOOD + '{"id": "b", "text": ""}\n{"id": "c"}\n')
    two.write_text('{"id": "q", "question": "x", "answers": "y"}\n')
    three.write_text(GOOD)

    outcome = clara("data", "validate", one, two, three)

    assert outcome.mistake == f"data validate: bad rows: 3, in {one}, {two}"
    assert outcome.out.splitlines() == [
        f"{one}:2: text: empty",
        f"{one}:3: text: missing",
        f"{one}: 3 rows, 2 bad, 1 records",
        f"{two}:1: answers: expected a list, got a string ('y')",
        f"{two}: 1 rows, 1 bad, 0 records",
        f"{three}: 1 rows, 0 bad, 1 records",
    ]


def test_validate_says_how_many_mistakes_it_does_not_list(clara: Any, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{\n" * 5)

    outcome = clara("data", "validate", tmp_path / "a.jsonl", "--max-mistakes", 2)

    assert outcome.code == 2 and outcome.out.count("not a JSON object") == 2
    assert "a.jsonl: and 3 more (--max-mistakes 0 lists all)" in outcome.out


def test_validate_passes_a_file_with_warnings(clara: Any, files: Any, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(GOOD + GOOD.replace('"a"', '"b"'))

    outcome = clara("data", "validate", files.documents, files.questions, files.scp, tmp_path / "a.jsonl")

    assert (outcome.code, outcome.err) == (0, "")
    assert "a.jsonl: warning: a document that an earlier row has: 1 of 2 (50.0%), the first" in outcome.out


def test_validate_gives_json_and_the_same_exit_code(clara: Any, files: Any, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("[]\n")

    outcome = clara("data", "validate", files.scp, tmp_path / "a.jsonl", "--json")

    assert outcome.code == 2
    good, bad = objects(outcome.out)
    assert (good["mistakes"], good["rows"], bad["mistakes"]) == (0, 16, 1)
    assert bad["listed"] == [f"{tmp_path / 'a.jsonl'}:1: the row: expected an object, got a list ([])"]


# --- mix and split ----------------------------------------------------------------------------------------------------


def test_a_mixture_says_what_it_took_and_is_trained_on(clara: Any, files: Any, commands: Any, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_bytes(files.scp.read_bytes())
    parts, out = (f"{files.scp}:0.75", f"{other}:0.25"), tmp_path / "mixed.jsonl"

    outcome = clara("data", "mix", *parts, "--out", out, "--rows", 12)
    (first, second) = objects(clara("data", "mix", *parts, "--out", out, "--replace", "--json").out)

    assert outcome.out.splitlines() == [
        f"{out}: 12 rows",
        f"  9 rows (75.0%) of the 16 of {files.scp}",
        f"  3 rows (25.0%) of the 16 of {other}",
    ]
    assert (first["taken"], second["taken"], second["repeated"]) == (16, 5, 0)
    assert clara(*commands.fit_compressor(tmp_path / "run", "--data.train", out, "--trainer.max_steps", 1)).code == 0


def test_a_split_says_what_stands_where_and_is_trained_on(
    clara: Any, files: Any, commands: Any, tmp_path: Path
) -> None:
    words = ("data", "split", files.scp, "--out", tmp_path / "split", "--val", 0.4)

    outcome, values = clara(*words), json.loads(clara(*words, "--replace", "--json").out)

    assert outcome.code == 0 and sum(values["rows"].values()) == 16
    for side, rows in values["rows"].items():
        path = tmp_path / "split" / f"{side}.jsonl"
        assert f"{path}: {rows} rows" in outcome.out and path.read_bytes().count(b"\n") == rows
    files_of = [word for side in ("train", "val") for word in (f"--data.{side}", tmp_path / "split" / f"{side}.jsonl")]
    assert clara(*commands.fit_compressor(tmp_path / "run", *files_of, "--trainer.max_steps", 1)).code == 0


# --- preview ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["compressor", "instruct", "joint"])
def test_preview_shows_the_ids_and_labels_that_the_first_steps_are_fed(
    stage: str, clara: Any, commands: Any, files: Any, compressor: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    instruct = ("--data", "clara_lightning.InstructDataModule", "--data.documents_per_question", 3)
    questions = ("--data.train", files.questions, "--data.val", files.questions, "--data.batch_size", 4)
    command = {
        "compressor": lambda: commands.fit_compressor(tmp_path / "run"),
        "instruct": lambda: commands.fit_compressor(tmp_path / "run", *instruct, *questions, init_from=compressor),
        "joint": lambda: commands.fit_joint(tmp_path / "run", compressor),
    }[stage]()
    shown = objects(clara("data", "preview", *fit_options(command), "--rows", 4, "--json").out)

    fed: list[PromptBatch] = []
    encode = PromptEncoder.encode
    monkeypatch.setattr(
        PromptEncoder, "encode", lambda self, prompts, **more: (fed.append(encode(self, prompts, **more)), fed[-1])[1]
    )
    steps = 4 // (2 if stage == "joint" else 4)
    assert clara(*command, "--trainer.max_steps", steps, "--trainer.limit_val_batches", 0).code == 0

    rows = [
        (batch.ids[n][mask].tolist(), batch.slots[n][mask].tolist(), batch.labels[n][mask].tolist())
        for batch in fed[:steps]
        for n, mask in enumerate(batch.attention.bool())
    ]
    assert rows == [(row["ids"], row["slots"], row["labels"]) for row in shown]
    assert len(rows) == 4 and all(set(labels) > {IGNORED} for _, _, labels in rows)


def test_preview_marks_memory_targets_and_what_is_cut_without_colour(clara: Any, commands: Any, tmp_path: Path) -> None:
    given = fit_options(commands.fit_compressor(tmp_path / "run", "--data.paraphrase_share", 0))

    outcome = clara("data", "preview", *given, "--model.document_tokens", 20, "--rows", 3, "--epoch", 1)

    assert outcome.code == 0 and "\x1b" not in outcome.out
    assert "SalientCompressor, epoch 1: 3 of 16 examples" in outcome.out
    assert outcome.out.count("[M\N{MULTIPLICATION SIGN}4]") == 4  # once in the legend
    assert outcome.out.count("«") == outcome.out.count("»") == 4 and outcome.out.count("~~") >= 4
    assert "<|im_start|>assistant" in outcome.out and "<|im_end|>»" in outcome.out
    assert "document tokens 20 (" in outcome.out and "5.0 document tokens a memory token" in outcome.out
    assert not (tmp_path / "run").exists()


def test_preview_takes_memory_and_prompt_from_the_stage_before(
    clara: Any, commands: Any, compressor: Path, tmp_path: Path
) -> None:
    given = fit_options(commands.fit_joint(tmp_path / "run", compressor))

    outcome = clara("data", "preview", *given, "--rows", 1)

    assert "documents of at most 40 tokens, 4 memory tokens each" in " ".join(outcome.out.split())
    assert "question, as the query reasoner reads it" in outcome.out
    assert outcome.out.count(", gold\n") == 1 and outcome.out.count(", not gold\n") == 3


def test_preview_shows_text_of_documents_and_never_obeys_it(clara: Any, commands: Any, tmp_path: Path) -> None:
    row = {"id": "a", "document": "[bold]x[/red] \x1b[31m <|im_end|>", "pairs": [{"question": "[i]?", "answer": "[u]"}]}
    (tmp_path / "a.jsonl").write_text((json.dumps(row) + "\n") * 4)
    given = fit_options(commands.fit_compressor(tmp_path / "run", "--data.train", tmp_path / "a.jsonl"))

    outcome = clara("data", "preview", *given, "--data.val", "null", "--rows", 1)

    assert outcome.code == 0, outcome.err
    assert "[bold]x[/red]" in outcome.out and "[u]" in outcome.out and "\x1b" not in outcome.out


def test_preview_loads_no_weights(clara: Any, commands: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("clara_lightning.modules.base.load_pretrained", lambda *given: pytest.fail("weights"))
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", lambda *a, **k: pytest.fail("weights"))

    assert clara("data", "preview", *fit_options(commands.fit_compressor(tmp_path / "run"))).code == 0


# --- mistakes ---------------------------------------------------------------------------------------------------------

MISTAKES: dict[str, tuple[list[object], str]] = {
    "no verb": (["data"], "data: one of stats, validate, preview, mix, split is required; see clara data --help"),
    "no verb of ours": (["data", "count"], "no such verb: data count (there are stats, validate, preview, mix, split)"),
    "no file": (["data", "stats", "no.jsonl"], "no.jsonl: no such file or directory"),
    "no file to check": (["data", "validate", "no.jsonl"], "no.jsonl: no such file or directory"),
    "an unknown option": (["data", "validate", "FILE", "--speed", 3], "data validate: unrecognized arguments: --speed"),
    "fewer mistakes than none": (["data", "validate", "FILE", "--max-mistakes", -1], "--max-mistakes must be >= 0"),
    "a limit that has no effect": (
        ["data", "stats", "FILE", "--document-tokens", 3],
        "--document-tokens: has no effect without --tokenizer",
    ),
    "a limit of nothing": (
        ["data", "stats", "FILE", "--tokenizer", "x", "--document-tokens", 0],
        "--document-tokens must be >= 1, got 0",
    ),
    "no tokenizer there": (["data", "stats", "FILE", "--tokenizer", "./none"], "--tokenizer: no such folder: ./none"),
    "a part without a weight": (["data", "mix", "FILE", "--out", "OUT"], "data mix: expected FILE:WEIGHT"),
    "no place for a mixture": (["data", "mix", "FILE:1"], "data mix: the following arguments are required: --out"),
    "a mixture under a wrong name": (
        ["data", "mix", "FILE:1", "--out", "x.csv"],
        "expected a name that ends in .jsonl",
    ),
    "a share that is none": (
        ["data", "split", "FILE", "--out", "OUT", "--val", 2],
        "--val must be above 0 and below 1",
    ),
    "a split by what is not there": (["data", "split", "FILE", "--out", "OUT", "--by", "size"], "--by: invalid choice"),
    "a preview of nothing": (["data", "preview"], "data preview: --config is required"),
    "a preview of no configuration": (["data", "preview", "--config", "no.yaml"], "no.yaml"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name: str, clara: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text(GOOD)
    given, message = MISTAKES[name]

    outcome = clara(*(str(word).replace("FILE", "a.jsonl").replace("OUT", "out.jsonl") for word in given))

    assert message in outcome.mistake
    assert outcome.out == "" and [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


PREVIEWS: dict[str, tuple[list[object], str]] = {
    "no such setting": (["--data.batch_sise", 2], "data.init_args.batch_sise: no such setting; is it batch_size?"),
    "no such file": (["--data.train", "no.jsonl"], "no.jsonl: no such file or directory"),
    "adapters that are none": (["--model.init_from", "no"], "model.init_args.init_from: no is no adapter folder"),
    "data of another stage": (["--data", "clara_lightning.QADataModule"], "data.class_path must be"),
    "data to encode": (
        ["--data", "clara_lightning.CorpusDataModule", "--data.documents", "x"],
        "CorpusDataModule has no examples to train on",
    ),
    "no row": (["--rows", 0], "--rows must be >= 1, got 0"),
    "a batch that is too large": (["--data.batch_size", 99], "data.init_args.batch_size: 1 x 99"),
    "no tokenizer": (["--model.backbone.name", "./none"], "model.init_args.backbone.name: no such folder: ./none"),
}


@pytest.mark.parametrize("name", PREVIEWS)
def test_a_mistake_of_a_preview_is_that_of_a_training(
    name: str, clara: Any, commands: Any, files: Any, tmp_path: Path
) -> None:
    options, message = PREVIEWS[name]
    data = ("--data.train", files.questions, "--data.val", "null") if "QADataModule" in str(options) else ()
    command = fit_options(commands.fit_compressor(tmp_path / "run"))
    if "CorpusDataModule" in str(options):
        command = command[: command.index("--data")] + command[command.index("--trainer.max_epochs") :]

    outcome = clara("data", "preview", *command, *options, *data)

    assert message in outcome.mistake
    assert outcome.out == "" and not list(tmp_path.iterdir())
