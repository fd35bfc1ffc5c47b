"""``clara predict`` through the command line: kills, second runs, several processes, and what is refused."""

from __future__ import annotations

import json
import random
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from clara_lightning.backbone.folder import AdapterFolder, build_from_folder
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.cli.trainer import run_trainer
from clara_lightning.corpus.manifest import Manifest
from clara_lightning.corpus.store import LatentStore
from clara_lightning.corpus.verification import faults
from clara_lightning.data.prompts import document_ids
from clara_lightning.data.readers import read_documents
from clara_lightning.data.records import Document


@pytest.fixture
def backbone(compressor: Path) -> Any:
    return build_from_folder(AdapterFolder.open(compressor), backbone=BackboneConfig(dtype="float32"))


@pytest.fixture
def unfinished(store: Path, tmp_path: Path) -> Path:
    """A copy of the store as it was before its manifest was written."""
    copy = tmp_path / "unfinished"
    shutil.copytree(store, copy)
    identity = Manifest.read(copy, setting="").identity
    (copy / "manifest.json").unlink()
    (copy / "encoding.json").write_text(json.dumps(asdict(identity), indent=2) + "\n", encoding="utf-8")
    return copy


def test_a_store_holds_every_document_and_its_memory(commands: Any, store: Path, backbone: Any) -> None:
    opened = LatentStore.open(store)
    assert not list(faults(store))
    rows = [json.loads(line) for line in commands.files.documents.read_text(encoding="utf-8").splitlines()]
    documents = [Document(row["id"], row["text"], row["title"]) for row in rows]

    assert opened.documents(range(40)) == documents
    with torch.no_grad():
        expected = torch.stack([backbone.compress([document.content])[0] for document in documents])
    # bfloat16 keeps 8 bits: half a step is 2 ** -9 of the value, and batches may differ in the last bits of float32.
    torch.testing.assert_close(opened.memory(range(40)).float(), expected, rtol=2**-8, atol=1e-5)


def test_float16_keeps_more_of_what_the_backbone_computed_than_bfloat16(
    commands: Any, clara: Any, store: Path, compressor: Path, backbone: Any, tmp_path: Path
) -> None:
    assert clara(*commands.predict(tmp_path / "float16", compressor, "--encoder.dtype", "float16")).code == 0
    with torch.no_grad():
        computed = backbone.compress([d.content for d in LatentStore.open(store).documents(range(40))])

    errors = [(LatentStore.open(path).memory(range(40)) - computed).norm() for path in (tmp_path / "float16", store)]

    assert errors[0] < errors[1] / 4  # three bits more: an eighth, but for the smallest values


def test_documents_longer_than_the_limit_are_counted(store: Path, commands: Any, backbone: Any) -> None:
    rows = [json.loads(line) for line in commands.files.documents.read_text(encoding="utf-8").splitlines()]
    lengths = [len(backbone.tokenizer(f" {row['title']}\n {row['text']}")["input_ids"]) for row in rows]
    longer = sum(length > 40 for length in lengths)

    assert 0 < longer < len(rows)
    assert Manifest.read(store, setting="").documents_cut == longer


def test_no_temporary_file_stays_behind(store: Path, bytes_of: Any) -> None:
    shards = [f"shards/{n:08d}.{suffix}" for n in range(7) for suffix in ("parquet", "safetensors")]

    assert sorted(bytes_of(store)) == sorted(["manifest.json", *shards])


def test_killed_at_any_moment_and_run_again_it_ends_in_the_same_bytes(
    commands: Any, clara: Any, start_clara: Any, kill_when: Any, bytes_of: Any, compressor: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in commands.files.documents.read_text(encoding="utf-8").splitlines()]
    many = tmp_path / "many.jsonl"
    copies = (row | {"id": f"{row['id']}-{copy}"} for copy in range(20) for row in rows)
    many.write_text("".join(json.dumps(row) + "\n" for row in copies), encoding="utf-8")
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    options = ("--data.documents", many, "--encoder.index", "flat")
    assert clara(*commands.predict(undisturbed, compressor, *options)).code == 0

    kill_when(start_clara(*commands.predict(killed, compressor, *options)), lambda: any(killed.glob("*/*.parquet")))
    assert not (killed / "manifest.json").exists()
    assert (
        "not finished: run clara predict again"
        in clara(*("search", "--store", killed, "--adapters", compressor, "question")).mistake
    )
    assert clara(*commands.predict(killed, compressor, *options)).code == 0

    assert bytes_of(killed) == bytes_of(undisturbed)


@pytest.mark.slow
def test_killed_at_twenty_random_moments_it_ends_in_the_same_bytes(
    commands: Any, start_clara: Any, finish: Any, bytes_of: Any, compressor: Path, tmp_path: Path
) -> None:
    options = ("--data.rows_per_shard", 1)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    started = time.monotonic()
    assert finish(start_clara(*commands.predict(undisturbed, compressor, *options))).code == 0
    seconds = time.monotonic() - started
    draw = random.Random(0)
    for _ in range(20):
        process = start_clara(*commands.predict(killed, compressor, *options))
        time.sleep(draw.uniform(0.4, 1.0) * seconds)  # most of the beginning is imports
        process.kill()
        process.communicate()

    assert finish(start_clara(*commands.predict(killed, compressor, *options))).code == 0
    assert bytes_of(killed) == bytes_of(undisturbed)


def test_killed_before_the_manifest_it_is_finished_by_the_next_run(
    commands: Any, clara: Any, bytes_of: Any, compressor: Path, store: Path, unfinished: Path
) -> None:
    assert clara(*commands.predict(unfinished, compressor)).code == 0

    assert bytes_of(unfinished) == bytes_of(store)


def test_killed_between_a_shards_memory_and_its_text_the_shard_is_written_again(
    commands: Any, clara: Any, bytes_of: Any, compressor: Path, store: Path, unfinished: Path
) -> None:
    (unfinished / "shards" / "00000003.parquet").unlink()
    (unfinished / "shards" / "00000003.safetensors").write_bytes(b"not the memory")
    (unfinished / "shards" / ".00000003.parquet.tmp").write_bytes(b"half a file")

    assert clara(*commands.predict(unfinished, compressor)).code == 0

    assert bytes_of(unfinished) == bytes_of(store)


def test_killed_right_after_the_manifest_the_next_run_tidies_up(
    commands: Any, clara: Any, bytes_of: Any, compressor: Path, store: Path, unfinished: Path
) -> None:
    shutil.copy(store / "manifest.json", unfinished / "manifest.json")

    assert clara(*commands.predict(unfinished, compressor)).code == 0

    assert bytes_of(unfinished) == bytes_of(store)


def test_killed_while_the_plan_was_written_it_begins_again(
    commands: Any, clara: Any, bytes_of: Any, compressor: Path, store: Path, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / ".encoding.json.tmp").write_text("{", encoding="utf-8")

    assert clara(*commands.predict(begun, compressor)).code == 0

    assert bytes_of(begun) == bytes_of(store)


def test_a_finished_store_is_left_as_it_is(
    commands: Any, clara: Any, compressor: Path, store: Path, bytes_of: Any
) -> None:
    before, times = bytes_of(store), {path: path.stat().st_mtime_ns for path in store.rglob("*")}

    again = clara(*commands.predict(store, compressor))

    assert again.code == 0 and "40 documents in 7 shards, 7 done" in again.err
    assert bytes_of(store) == before
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == times


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data.rows_per_shard", 8), "was begun with rows_per_shard 6, this run has 8"),
        (("--data.documents", "OTHER"), "was begun with documents_sha256"),
        (("--model.backbone.dtype", "bfloat16"), "was begun with compute_dtype float32, this run has bfloat16"),
        (("--model.init_from", "OTHER"), "was begun with compressor"),
        (("--data.chunk_tokens", 40), "was begun with chunk_tokens 0, this run has 40"),
    ],
)
def test_another_corpus_or_compressor_is_refused_and_the_store_stays(
    options: tuple[Any, ...],
    message: str,
    commands: Any,
    clara: Any,
    compressor: Path,
    store: Path,
    bytes_of: Any,
    tmp_path: Path,
) -> None:
    before = bytes_of(store)
    if options == ("--data.documents", "OTHER"):
        first_line = commands.files.documents.read_text(encoding="utf-8").splitlines()[0]
        (tmp_path / "other.jsonl").write_text(first_line, encoding="utf-8")
        options = ("--data.documents", tmp_path / "other.jsonl")
    if options == ("--model.init_from", "OTHER"):
        assert clara(*commands.fit_compressor(tmp_path / "other", "--trainer.max_steps", 1)).code == 0
        options = ("--model.init_from", tmp_path / "other" / "adapters")

    refused = clara(*commands.predict(store, compressor, *options))

    assert message in refused.mistake
    assert bytes_of(store) == before


def test_a_folder_with_something_else_in_it_is_refused(
    commands: Any, clara: Any, compressor: Path, tmp_path: Path, bytes_of: Any
) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter1.tex").write_text("Once", encoding="utf-8")

    refused = clara(*commands.predict(folder, compressor))

    assert refused.mistake == f"encoder.store: {folder} is not empty and no store: choose another folder"
    assert list(bytes_of(folder)) == ["chapter1.tex"]


def test_adapters_whose_weights_were_changed_are_refused(
    commands: Any, clara: Any, compressor: Path, joint: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    changed = tmp_path / "adapters"
    shutil.copytree(compressor, changed)
    path = changed / "compressor" / "adapter_model.safetensors"
    save_file({name: value + 1 for name, value in load_file(path).items()}, path)

    refused = clara(*commands.predict(tmp_path / "store", changed))

    assert refused.code == 2 and "the folder was changed" in refused.err
    assert not (tmp_path / "store" / "manifest.json").exists()


@pytest.mark.parametrize(
    "shards_left",
    [
        pytest.param(7, id="from the start"),
        pytest.param(1, id="with one shard left for the two", marks=pytest.mark.slow),
    ],
)
def test_two_processes_write_the_same_bytes_as_one(
    shards_left: int,
    commands: Any,
    start_clara: Any,
    finish: Any,
    bytes_of: Any,
    compressor: Path,
    store: Path,
    unfinished: Path,
    tmp_path: Path,
) -> None:
    folder = unfinished if shards_left == 1 else tmp_path / "store"
    if shards_left == 1:
        (unfinished / "shards" / "00000005.parquet").unlink()
    both = ("--trainer.devices", 2, "--trainer.strategy", "ddp")

    outcome = finish(start_clara(*commands.predict(folder, compressor, *both)))

    assert outcome.code == 0, outcome.err
    assert bytes_of(folder) == bytes_of(store)


def test_at_the_end_it_says_how_much_was_padding(
    commands: Any, clara: Any, compressor: Path, backbone: Any, tmp_path: Path
) -> None:
    packed = clara(*commands.predict(tmp_path / "packed", compressor))
    padded = clara(*commands.predict(tmp_path / "padded", compressor, "--model.backbone.attention", "eager"))

    texts = [document.content for document in read_documents(str(commands.files.documents))]
    lengths = [min(40, len(ids)) + 4 for ids in document_ids(backbone.tokenizer, texts)]
    shards = [sorted(lengths[start : start + 6]) for start in range(0, 40, 6)]
    batches = [shard[start : start + 4] for shard in shards for start in range(0, len(shard), 4)]
    ran = sum(len(batch) * max(batch) for batch in batches)
    assert packed.code == padded.code == 0
    assert f"the backbone ran over {sum(lengths):,} tokens; padding 0.0 % of tokens" in packed.err
    share = 100 * (1 - sum(lengths) / ran)
    assert f"the backbone ran over {ran:,} tokens; padding {share:.1f} % of tokens" in padded.err


def test_no_memory_is_kept_once_it_is_written(commands: Any, compressor: Path, tmp_path: Path) -> None:
    words = [str(word) for word in commands.predict(tmp_path / "store", compressor)]

    assert not any(run_trainer(words).trainer.predict_loop._predictions)


# --- chunks ---------------------------------------------------------------------------------------------------------

IN_CHUNKS = ("--data.chunk_tokens", 40, "--data.chunk_overlap", 8)


@pytest.fixture
def texts(commands: Any, tmp_path: Path) -> Path:
    """A folder of five texts, four of them longer than the compressor reads."""
    folder = tmp_path / "texts"
    folder.mkdir()
    rows = [json.loads(line) for line in commands.files.documents.read_text(encoding="utf-8").splitlines()]
    for number, start in enumerate((0, 1, 7, 14, 27)):
        text = " ".join(row["text"] for row in rows[start : start + number * number])
        (folder / f"{number}.txt").write_text(text or "Oslo.", encoding="utf-8")
    return folder


def test_long_documents_are_encoded_in_chunks_none_of_which_is_cut(
    commands: Any, clara: Any, compressor: Path, texts: Path, tmp_path: Path
) -> None:
    outcome = clara(*commands.predict(tmp_path / "store", compressor, "--data.documents", texts, *IN_CHUNKS))

    assert outcome.code == 0, outcome.err
    assert "4 of 5 documents are longer than 40 tokens and read in chunks" in outcome.err
    opened = LatentStore.open(tmp_path / "store")
    documents = opened.documents(range(len(opened)))
    assert Manifest.read(tmp_path / "store", setting="").documents_cut == 0
    assert documents[0] == Document("0.txt", "Oslo.", "0", {"source": "0.txt"})
    assert documents[1].metadata | {"chunks": 0} == {"source": "1.txt", "document": "1.txt", "chunk": 1, "chunks": 0}
    last = (texts / "4.txt").read_text(encoding="utf-8")
    assert documents[-1].id == f"4.txt#{documents[-1].metadata['chunks']}" and last.endswith(documents[-1].text)


def test_a_shard_of_chunks_that_is_missing_is_written_again_with_the_same_bytes(
    commands: Any, clara: Any, compressor: Path, texts: Path, tmp_path: Path, bytes_of: Any
) -> None:
    command = commands.predict(tmp_path / "store", compressor, "--data.documents", texts, *IN_CHUNKS)
    assert clara(*command).code == 0
    before, manifest = bytes_of(tmp_path / "store"), tmp_path / "store" / "manifest.json"
    identity = json.loads(manifest.read_text(encoding="utf-8"))["identity"]
    (tmp_path / "store" / "encoding.json").write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")
    manifest.unlink()
    for number in (1, 3):
        (tmp_path / "store" / "shards" / f"{number:08d}.parquet").unlink()

    assert clara(*command).code == 0

    assert bytes_of(tmp_path / "store") == before


def test_an_encoding_in_chunks_goes_on_with_the_same_chunks_alone(
    commands: Any, clara: Any, compressor: Path, texts: Path, tmp_path: Path
) -> None:
    command = commands.predict(tmp_path / "store", compressor, "--data.documents", texts, *IN_CHUNKS)
    assert clara(*command).code == 0

    other = clara(*command, "--data.chunk_overlap", 4)

    assert "was begun with chunk_overlap 8, this run has 4" in other.mistake


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--data.chunk_tokens", 41),
            "data.init_args.chunk_tokens must be <= the model's document_tokens (40), got 41",
        ),
        (
            ("--data.chunk_tokens", 40, "--data.chunk_overlap", 20),
            "data.init_args.chunk_overlap must be in [0, chunk_tokens / 2), got 20 with chunk_tokens 40",
        ),
        (("--data.documents", "none/*.jsonl"), "none/*.jsonl: no file matches"),
    ],
)
def test_chunks_that_cannot_be_made_are_refused_before_anything_is_written(
    options: tuple[Any, ...], message: str, commands: Any, clara: Any, compressor: Path, tmp_path: Path
) -> None:
    assert clara(*commands.predict(tmp_path / "store", compressor, *options)).mistake == message
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("second_line", "message"),
    [
        ('{"id": "d0", "text": "twice"}', "id: 'd0' is the id of an earlier document"),
        ('{"id": "d1", "text": "  "}', "text: empty"),
        ('{"id": "d1", "text": ', "JSON"),
        ('{"id": "d1", "text": 3}', "text: expected a string, got a number (3)"),
    ],
)
def test_a_bad_document_is_found_before_anything_is_written(
    second_line: str, message: str, commands: Any, clara: Any, compressor: Path, tmp_path: Path
) -> None:
    documents = tmp_path / "documents.jsonl"
    documents.write_text('{"id": "d0", "text": "once"}\n' + second_line + "\n", encoding="utf-8")

    refused = clara(*commands.predict(tmp_path / "store", compressor, "--data.documents", documents))

    assert refused.mistake.startswith(f"{documents}:2: ") and message in refused.mistake
    assert not (tmp_path / "store").exists()


def test_bad_rows_that_are_allowed_are_counted(commands: Any, clara: Any, compressor: Path, tmp_path: Path) -> None:
    documents = tmp_path / "documents.jsonl"
    documents.write_text('{"id": "d0", "text": "once"}\n{"id": "d1"}\n', encoding="utf-8")
    options = ("--data.documents", documents, "--data.skip_bad_rows", 1)

    outcome = clara(*commands.predict(tmp_path / "store", compressor, *options))

    assert outcome.code == 0 and "skipped bad rows: 1; the first: " in outcome.err
    assert len(LatentStore.open(tmp_path / "store")) == 1


def test_a_long_encoding_says_how_far_it_is(
    commands: Any, clara: Any, compressor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clara_lightning.corpus.encoder.SECONDS_BETWEEN_LINES", 0.0)

    done = clara(*commands.predict(tmp_path / "store", compressor))

    assert "24 of 40 documents, " in done.err and "GB of memory written, time left 0:00:" in done.err
