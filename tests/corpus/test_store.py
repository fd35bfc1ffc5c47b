"""Reading a store: rows, ids, checks, and what is refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from clara_lightning.corpus.manifest import checksum_of
from clara_lightning.corpus.shards import ShardReader
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError


def refusal(path: Path) -> str:
    with pytest.raises(ClaraError) as caught:
        LatentStore.open(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_rows_are_what_was_encoded_in_bfloat16(made: LatentStore, memory_NLD: torch.Tensor) -> None:
    rows = made.memory([10, 0, 4, 4, 3])

    assert rows.dtype == torch.bfloat16
    assert torch.equal(rows, memory_NLD[[10, 0, 4, 4, 3]].to(torch.bfloat16))


def test_no_rows_are_an_empty_memory(made: LatentStore) -> None:
    assert made.memory([]).shape == (0, 2, 8)


def test_rows_of_a_shard_are_read_together(
    made: LatentStore, memory_NLD: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[list[int]] = []
    original = ShardReader.memory
    monkeypatch.setattr(ShardReader, "memory", lambda self, rows: (read.append(list(rows)), original(self, rows))[1])

    rows = made.memory([9, 0, 4, 10, 2, 5, 8])

    assert torch.equal(rows, memory_NLD[[9, 0, 4, 10, 2, 5, 8]].to(torch.bfloat16))
    assert read == [[1, 2, 0], [0, 2], [0, 1]]


def test_a_store_goes_to_another_process_as_the_place_where_it_is(made: LatentStore, memory_NLD: torch.Tensor) -> None:
    made.memory([0, 10])  # maps two shards
    assert made.rows_of(["d3"]) == [3]

    other = pickle.loads(pickle.dumps(made))

    assert torch.equal(other.memory([10, 3]), made.memory([10, 3]))
    assert other.rows_of(["d3"]) == [3]
    assert len(pickle.dumps(other)) == len(pickle.dumps(LatentStore.open(made.path)))  # nothing that was read


def test_a_store_knows_its_size_and_shape(made: LatentStore) -> None:
    assert len(made) == 11
    assert made.memory_shape == (2, 8)


def test_documents_come_in_the_order_asked_for_across_shards(made: LatentStore) -> None:
    assert made.documents([9, 1, 4]) == [
        Document(f"d{n}", f"Text {n}.", f"Title {n}", {"number": n}) for n in (9, 1, 4)
    ]


def test_documents_are_read_across_row_groups(make_store: Any) -> None:
    count = 2500  # a Parquet row group has 1024 rows
    made = make_store(torch.zeros(count, 1, 1), rows_per_shard=count)

    assert [document.id for document in made.documents([2499, 0, 1024, 1023])] == ["d2499", "d0", "d1024", "d1023"]


def test_blocks_go_through_all_memory_in_order(made: LatentStore, memory_NLD: torch.Tensor) -> None:
    blocks = list(made.blocks(3))

    assert [first for first, _ in blocks] == [0, 3, 4, 7, 8]  # a block does not cross a shard
    assert torch.equal(torch.cat([block for _, block in blocks]), memory_NLD.to(torch.bfloat16))


def test_ids_name_rows_and_rows_name_ids(made: LatentStore) -> None:
    assert made.ids == [f"d{n}" for n in range(11)]
    assert made.rows_of(["d7", "d0"]) == [7, 0]


def test_an_unknown_id_is_refused_with_its_source(made: LatentStore) -> None:
    with pytest.raises(ClaraError, match=r"qa\.jsonl: gold_ids: document 'd99' is not in the store"):
        made.rows_of(["d1", "d99"], source="qa.jsonl: gold_ids")


def test_a_row_outside_the_store_is_an_error(made: LatentStore) -> None:
    with pytest.raises(IndexError, match="row 11 of a store with 11 documents"):
        made.memory([11])


@pytest.mark.parametrize("suffix", ["safetensors", "parquet"])
def test_a_missing_shard_file_is_refused_at_opening(made: LatentStore, suffix: str) -> None:
    (made.path / "shards" / f"00000002.{suffix}").unlink()

    assert refusal(made.path) == f"--store: {made.path}/shards/00000002.{suffix} is missing"


def test_a_folder_without_a_manifest_is_no_store_yet(made: LatentStore) -> None:
    (made.path / "manifest.json").unlink()

    assert "its encoding is not finished: run clara predict again" in refusal(made.path)
    assert "no such folder" in refusal(made.path / "elsewhere")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/b", "..", "."])
def test_a_manifest_cannot_lead_out_of_its_folder(made: LatentStore, name: str) -> None:
    change_manifest(made, lambda values: values["shards"][0].update(name=name))

    assert refusal(made.path).endswith(f"manifest.json: shards: {name!r} is not a plain file name")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.update(version=9), "version: 9 is not supported, this version reads 2"),
        (lambda values: values.pop("shards"), "not a valid manifest: 'shards'"),
        (lambda values: values["identity"].pop("dtype"), "not a valid manifest"),
        (lambda values: values["shards"][0].update(extra=1), "not a valid manifest"),
        (lambda values: values["shards"][0].update(name=7), "not a valid manifest"),
    ],
)
def test_a_manifest_that_is_not_ours_is_refused(made: LatentStore, change: Any, message: str) -> None:
    change_manifest(made, change)

    assert message in refusal(made.path)


def test_an_older_manifest_does_not_say_how_documents_were_cut(made: LatentStore) -> None:
    change_manifest(made, lambda values: [values["identity"].pop(name) for name in ("chunk_tokens", "chunk_overlap")])

    identity = LatentStore.open(made.path).manifest.identity
    assert identity.chunk_tokens is None and identity.chunk_overlap is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_manifest_that_is_no_object_is_refused(made: LatentStore, text: str) -> None:
    (made.path / "manifest.json").write_text(text, encoding="utf-8")

    assert "not a valid manifest" in refusal(made.path)


def test_a_store_of_another_compressor_is_refused_with_both_fingerprints(made: LatentStore) -> None:
    made.require(fingerprint="ab" * 32, memory_tokens=2)

    with pytest.raises(ClaraError) as caught:
        made.require(fingerprint="ef" * 32, memory_tokens=2)

    message = str(caught.value)
    assert "ab" * 8 in message and "ef" * 8 in message and "\n" not in message


def test_a_store_of_another_memory_size_is_refused_with_both_sizes(made: LatentStore) -> None:
    with pytest.raises(ClaraError, match="holds 2 memory tokens a document, the adapters make 16"):
        made.require(fingerprint="ab" * 32, memory_tokens=16)


def test_the_id_of_a_document_that_was_cut_stands_for_its_chunks(make_store: Any) -> None:
    ids = ["a#1", "a#2", "b", "c#2", "a#10", "d#1", "d"]

    cut, whole = (make_store(torch.ones(7, 1, 2), name=str(n), ids=ids, chunk_tokens=n) for n in (32, 0))

    assert cut.rows_of_each(["a", "b", "a#2", "c", "d"]) == [(0, 1, 4), (2,), (1,), (3,), (6,)]
    with pytest.raises(ClaraError, match="document 'e' is not in the store"):
        cut.rows_of_each(["b", "e"])
    with pytest.raises(ClaraError, match="document 'a' is not in the store"):  # its ids are of its own making
        whole.rows_of_each(["a"])


def change_manifest(store: LatentStore, change: Any) -> None:
    path = store.path / "manifest.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    values["sha256"] = checksum_of({key: value for key, value in values.items() if key != "sha256"})
    path.write_text(json.dumps(values), encoding="utf-8")
