"""``clara store``: what a store holds, whether it is right, and changes without encoding it anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.readers import read_documents

CPU = ("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false")
FLOAT32 = ("--model.backbone.dtype", "float32", "--trainer.logger", "false", *CPU)


@pytest.fixture
def own(store: Path, tmp_path: Path) -> Path:
    """A store of 40 documents that may be changed."""
    return Path(shutil.copytree(store, tmp_path / "own"))


def part(documents: Path, target: Path, numbers: Any) -> Path:
    rows = documents.read_text(encoding="utf-8").splitlines(keepends=True)
    target.write_text("".join(rows[number] for number in numbers), encoding="utf-8")
    return target


def append(store: Path, documents: Path, adapters: Path, *options: object) -> list[object]:
    words = ("--documents", documents, "--adapters", adapters, "--batch-size", 4)
    return ["store", "append", store, *words, *FLOAT32, *options]


def test_info_says_what_is_there(clara: Any, own: Path) -> None:
    found = json.loads(clara("store", "info", own, "--json").out)
    assert found["documents"] == 40 and found["memory kept as"] == "bfloat16"
    assert found["bytes"] == sum(file.stat().st_size for file in own.rglob("*") if file.is_file())
    assert "documents" in clara("store", "info", own).out


def test_verify_names_the_file_and_ends_with_2(clara: Any, own: Path) -> None:
    assert clara("store", "verify", own).code == 0
    file = own / "shards" / "00000002.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    done = clara("store", "verify", own)
    assert done.code == 2 and f"{file}: its checksum is not the one in the manifest" in done.out


def test_append_delete_and_compact_give_what_encoding_from_scratch_gives(
    clara: Any, own: Path, files: Any, compressor: Path, joint: Path, tmp_path: Path, commands: Any
) -> None:
    documents = files.documents
    first = part(documents, tmp_path / "first.jsonl", range(30))
    rest = part(documents, tmp_path / "rest.jsonl", range(28, 40))
    small = tmp_path / "small"
    predict = [*commands.predict(small, compressor), "--data.documents", first]
    assert clara(*predict).code == 0
    assert clara("store", "delete", small, "--id", "d28", "--id", "d29").code == 0
    done = clara(*append(small, rest, compressor))
    assert done.code == 0, done.err
    assert clara("store", "compact", small).code == 0
    assert clara("store", "verify", small).code == 0
    assert LatentStore.open(small).ids == LatentStore.open(own).ids
    reports = []
    for store in (own, small):
        out = tmp_path / f"report-{store.name}"
        words = (
            "--adapters",
            joint,
            "--data",
            files.questions,
            "--dtype",
            "float32",
            "--dense",
            "none",
            "--device",
            "cpu",
        )
        done = clara("evaluate", "--store", store, *words, "--out", out)
        assert done.code == 0, done.err
        reports.append([(out / name).read_bytes() for name in ("predictions.jsonl", "rankings.jsonl")])
    assert reports[0] == reports[1]


def test_ids_that_are_there_are_refused_before_anything_is_encoded(
    clara: Any, own: Path, files: Any, compressor: Path, tmp_path: Path
) -> None:
    again = part(files.documents, tmp_path / "again.jsonl", [5, 7])
    done = clara(*append(own, again, compressor))
    assert done.mistake == f"--documents: 'd5' is in {own} already: --replace puts a new one in its place"
    done = clara(*append(own, again, compressor, "--replace"))
    assert done.code == 0, done.err
    assert sorted(LatentStore.open(own).ids) == sorted(f"d{n}" for n in range(40))


CHUNKS = ("--data.chunk_tokens", 24, "--data.chunk_overlap", 4)


@pytest.fixture
def chunked(clara: Any, commands: Any, compressor: Path, files: Any, tmp_path: Path) -> Path:
    """A store of 10 documents in chunks."""
    first = part(files.documents, tmp_path / "first.jsonl", range(10))
    done = clara(*commands.predict(tmp_path / "chunked", compressor, "--data.documents", first, *CHUNKS))
    assert done.code == 0, done.err
    return tmp_path / "chunked"


def test_info_says_how_documents_were_cut(clara: Any, own: Path, chunked: Path) -> None:
    found = [json.loads(clara("store", "info", store, "--json").out) for store in (own, chunked)]
    assert [each["tokens of a chunk"] for each in found] == [0, 24]
    assert [each["tokens it repeats"] for each in found] == [0, 4]


def test_append_cuts_new_documents_as_those_that_are_there(
    clara: Any, chunked: Path, commands: Any, files: Any, compressor: Path, tmp_path: Path
) -> None:
    rest, both = (part(files.documents, tmp_path / f"{n}.jsonl", range(n, 14)) for n in (10, 0))
    done = clara(*append(chunked, rest, compressor))
    assert done.code == 0, done.err
    assert clara(*commands.predict(tmp_path / "whole", compressor, "--data.documents", both, *CHUNKS)).code == 0
    assert LatentStore.open(chunked).ids == LatentStore.open(tmp_path / "whole").ids
    assert clara("store", "verify", chunked).code == 0


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        (("--data.chunk_tokens", 32), "--data.chunk_tokens is 32, but STORE was made with chunk_tokens 24"),
        (("--data.init_args.chunk_overlap=8",), "--data.init_args.chunk_overlap is 8, but STORE was made with"),
        (("--data.chunk_tokens", "null"), "--data.chunk_tokens is null, but STORE was made with chunk_tokens 24"),
    ],
)
def test_append_refuses_to_cut_otherwise(
    clara: Any, chunked: Path, files: Any, compressor: Path, tmp_path: Path, options: Any, mistake: str
) -> None:
    rest = part(files.documents, tmp_path / "rest.jsonl", range(10, 14))
    assert mistake in clara(*append(chunked, rest, compressor, *options)).mistake.replace(str(chunked), "STORE")
    assert not (chunked / "appending").exists()


def test_export_gives_documents_and_memory(clara: Any, own: Path, files: Any, tmp_path: Path) -> None:
    clara("store", "delete", own, "--id", "d3")
    assert clara("store", "export", own, tmp_path / "out.jsonl").code == 0
    wanted = [document for document in read_documents(files.documents) if document.id != "d3"]
    assert list(read_documents(tmp_path / "out.jsonl")) == wanted
    assert clara("store", "export", own, tmp_path / "out.parquet").code == 0
    table = pq.read_table(tmp_path / "out.parquet")
    store = LatentStore.open(own)
    assert table.column("id").to_pylist() == store.ids
    assert table.column("memory").to_pylist()[7] == store.memory([7]).float().flatten().tolist()


def test_ids_may_come_from_a_file(clara: Any, own: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("d1\n\nd2\n", encoding="utf-8")
    assert "38 documents left" in clara("store", "delete", own, "--ids", tmp_path / "ids.txt").out


@pytest.mark.parametrize(
    ("words", "mistake"),
    [
        (("store",), "store: which verb? (info, verify, append, delete, compact, index, bench, export, pull)"),
        (("store", "info", "nowhere"), "STORE: nowhere is no store (no such folder)"),
        (("store", "delete", "nowhere"), "store delete: --id or --ids is required: the documents to delete"),
        (("store", "delete", "nowhere", "--id", "a"), "--store: nowhere: No such file or directory"),
    ],
)
def test_a_mistake_is_one_line(clara: Any, words: tuple[str, ...], mistake: str) -> None:
    assert clara(*words).mistake == mistake


@pytest.mark.parametrize("dtype", ["int8", "float8", "float16"])
def test_memory_is_kept_in_the_dtype_that_is_asked_for(
    clara: Any, compressor: Path, commands: Any, tmp_path: Path, own: Path, dtype: str
) -> None:
    done = clara(*commands.predict(tmp_path / "packed", compressor), "--encoder.dtype", dtype)
    assert done.code == 0, done.err
    packed, plain = LatentStore.open(tmp_path / "packed"), LatentStore.open(own)
    assert packed.manifest.identity.dtype == dtype and clara("store", "verify", packed.path).code == 0
    rows = range(40)
    error = (packed.memory(rows).float() - plain.memory(rows).float()).norm() / plain.memory(rows).float().norm()
    assert error < {"int8": 0.01, "float8": 0.04, "float16": 0.004}[dtype]
