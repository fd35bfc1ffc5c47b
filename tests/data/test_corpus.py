"""The corpus: fixed shards, every document once, whoever encodes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clara_lightning.data.chunks import Chunking, chunk
from clara_lightning.data.corpus import CorpusBatch, CorpusDataModule
from clara_lightning.data.prompts import document_ids
from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError


def row(number: int) -> dict[str, Any]:
    return {
        "id": f"d{number}",
        "title": f"T{number}",
        "text": "word " * (1 + number * 7 % 5),
        "metadata": {"n": number},
    }


def write(path: Path, count: int) -> str:
    path.write_text("".join(json.dumps(row(number)) + "\n" for number in range(count)), encoding="utf-8")
    return str(path)


def make_corpus(path: str, **options: Any) -> CorpusDataModule:
    corpus = CorpusDataModule(path, **options)
    corpus.setup("predict")
    return corpus


def batches_of(corpus: CorpusDataModule, *, rank: int = 0, world: int = 1) -> list[CorpusBatch]:
    corpus.trainer = SimpleNamespace(global_rank=rank, world_size=world)  # type: ignore[assignment]
    return list(corpus.predict_dataloader())


def by_shard(batches: list[CorpusBatch]) -> dict[int, dict[int, str]]:
    """Ids by shard and place."""
    shards: dict[int, dict[int, str]] = {}
    for batch in batches:
        for place, document in zip(batch.places, batch.documents, strict=True):
            assert place not in shards.setdefault(batch.shard, {})
            shards[batch.shard][place] = document.id
    return shards


def test_shards_are_ranges_of_the_file(tmp_path: Path) -> None:
    corpus = make_corpus(write(tmp_path / "d.jsonl", 10), rows_per_shard=4, batch_size=3)
    assert corpus.num_shards == 3
    found = by_shard(batches_of(corpus))
    assert {shard: [ids[place] for place in sorted(ids)] for shard, ids in found.items()} == {
        0: ["d0", "d1", "d2", "d3"],
        1: ["d4", "d5", "d6", "d7"],
        2: ["d8", "d9"],
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    count=st.integers(1, 17), rows=st.integers(1, 7), size=st.integers(1, 5), world=st.integers(1, 4), data=st.data()
)
def test_every_document_is_encoded_once_whatever_the_number_of_processes(
    tmp_path: Path, count: int, rows: int, size: int, world: int, data: st.DataObject
) -> None:
    path = write(tmp_path / "d.jsonl", count)
    corpus = make_corpus(path, rows_per_shard=rows, batch_size=size)
    alone = batches_of(corpus)
    ranks = [batches_of(corpus, rank=rank, world=world) for rank in range(world)]
    together = [batch for rank in ranks for batch in rank]
    assert sorted(together) == sorted(alone)
    assert sorted(d.id for batch in alone for d in batch.documents) == sorted(f"d{n}" for n in range(count))
    shards_of = [{batch.shard for batch in rank} for rank in ranks]
    assert sum(map(len, shards_of)) == len(set().union(*shards_of)) == corpus.num_shards
    for batch in alone:
        assert 1 <= len(batch.documents) <= size
        assert batch.shard_rows == min(rows, count - batch.shard * rows)
        assert all(d.id == f"d{batch.shard * rows + p}" for d, p in zip(batch.documents, batch.places, strict=True))
    finished = data.draw(st.frozensets(st.integers(0, corpus.num_shards - 1)))
    corpus.finished_shards = finished
    rest = [batch for rank in range(world) for batch in batches_of(corpus, rank=rank, world=world)]
    assert sorted(rest) == sorted(batch for batch in alone if batch.shard not in finished)


def test_finished_shards_are_left_out_and_the_rest_shared_out_evenly(tmp_path: Path) -> None:
    corpus = make_corpus(write(tmp_path / "d.jsonl", 12), rows_per_shard=2)
    corpus.finished_shards = frozenset({0, 2, 4})
    ranks = [{batch.shard for batch in batches_of(corpus, rank=rank, world=3)} for rank in range(3)]
    assert ranks == [{1}, {3}, {5}]


def test_documents_of_like_length_share_a_batch(tmp_path: Path) -> None:
    corpus = make_corpus(write(tmp_path / "d.jsonl", 10), rows_per_shard=10, batch_size=2)
    lengths = [len(document.content) for batch in batches_of(corpus) for document in batch.documents]
    assert lengths == sorted(lengths)


def test_the_number_of_batches_is_known_beforehand(tmp_path: Path) -> None:
    corpus = make_corpus(write(tmp_path / "d.jsonl", 11), rows_per_shard=4, batch_size=3)
    for world in (1, 2, 4):
        for rank in range(world):
            batches = batches_of(corpus, rank=rank, world=world)
            assert len(corpus.predict_dataloader()) == len(batches)


def test_the_sum_changes_with_every_field_of_a_document(tmp_path: Path) -> None:
    sums = set()
    changes: list[dict[str, Any]] = [{}, {"id": "x"}, {"title": "x"}, {"text": "x"}, {"metadata": {"n": 2}}]
    for number, change in enumerate(changes):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(json.dumps(row(1) | change))
        sums.add(make_corpus(str(path)).summary.sha256)
    assert len(sums) == len(changes)


def test_a_bad_last_line_is_found_before_the_first_batch(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "d.jsonl", 5))
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(ClaraError, match=r"d\.jsonl:6"):
        make_corpus(str(path))
    corpus = make_corpus(str(path), skip_bad_rows=1)
    assert corpus.summary.documents == 5


def test_a_file_is_required_and_must_hold_documents(tmp_path: Path) -> None:
    with pytest.raises(ClaraError, match=r"data\.init_args\.documents is required"):
        CorpusDataModule().setup("predict")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(ClaraError, match=r"empty\.jsonl: holds no documents"):
        make_corpus(str(tmp_path / "empty.jsonl"))


@pytest.mark.parametrize("name", ["batch_size", "rows_per_shard"])
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(ClaraError, match=rf"data\.init_args\.{name} must be >= 1, got 0"):
        CorpusDataModule("d.jsonl", **{name: 0})


# --- chunks ---------------------------------------------------------------------------------------------------------


def long_row(number: int) -> dict[str, Any]:
    """A document that may be longer than 40 tokens, or much longer."""
    text = " ".join(f"Town {number} sells {item} things." for item in range(number * number % 37))
    return {"id": f"d{number}", "title": f"T{number}", "text": f"Begin. {text}"}


def write_long(path: Path, count: int) -> str:
    path.write_text("".join(json.dumps(long_row(number)) + "\n" for number in range(count)), encoding="utf-8")
    return str(path)


def make_chunked(path: str, tokenizer: Any, *, tokens: int = 40, overlap: int = 8, **options: Any) -> CorpusDataModule:
    corpus = CorpusDataModule(path, chunk_tokens=tokens, chunk_overlap=overlap, **options)
    corpus.setup("predict")
    corpus.take_tokenizer(tokenizer, document_tokens=40)
    return corpus


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer: Callable[..., Any]) -> Any:
    return tiny_tokenizer()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
@given(count=st.integers(1, 12), rows=st.integers(1, 9), world=st.integers(1, 4), data=st.data())
def test_shards_of_chunks_are_the_same_whatever_the_number_of_processes(
    tmp_path: Path, tokenizer: Any, count: int, rows: int, world: int, data: st.DataObject
) -> None:
    path = write_long(tmp_path / "d.jsonl", count)
    documents = (Document(row["id"], row["text"], row["title"]) for row in map(long_row, range(count)))
    expected = [piece for document in documents for piece in chunk(document, tokenizer, Chunking(40, 8))]
    corpus = make_chunked(path, tokenizer, rows_per_shard=rows, batch_size=2)
    corpus.finished_shards = data.draw(st.frozensets(st.integers(0, corpus.num_shards - 1)))

    assert corpus.summary.documents == len(expected)
    together = [batch for rank in range(world) for batch in batches_of(corpus, rank=rank, world=world)]
    found = {
        batch.shard * rows + place: document
        for batch in together
        for place, document in zip(batch.places, batch.documents, strict=True)
    }
    assert found == {n: piece for n, piece in enumerate(expected) if n // rows not in corpus.finished_shards}
    assert corpus.num_batches(frozenset(range(corpus.num_shards)) - corpus.finished_shards) == len(together)


def test_documents_are_counted_before_and_after_they_are_cut(tmp_path: Path, tokenizer: Any) -> None:
    corpus = make_chunked(write_long(tmp_path / "d.jsonl", 8), tokenizer)

    assert corpus.summary.num_read == 8 < corpus.summary.documents
    assert corpus.summary.cut_in_words(40) == "6 of 8 documents are longer than 40 tokens and read in chunks"


def test_titles_that_are_cut_are_counted(tmp_path: Path, tokenizer: Any) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps({"id": "d", "text": "short", "title": "so many words " * 30}))

    assert make_chunked(str(path), tokenizer).summary.cut_in_words(40).endswith("; titles cut for their length: 1")


def test_the_sum_is_over_chunks(tmp_path: Path, tokenizer: Any) -> None:
    path = write_long(tmp_path / "d.jsonl", 8)
    sums = [make_chunked(path, tokenizer, overlap=overlap).summary.sha256 for overlap in (8, 8, 0)]

    assert sums[0] == sums[1] != sums[2]


def test_documents_share_a_batch_by_their_tokens_where_that_is_wanted(tmp_path: Path, tokenizer: Any) -> None:
    corpus = make_corpus(write_long(tmp_path / "d.jsonl", 12), batch_size=3, rows_per_shard=500)
    corpus.sort_by_tokens(tokenizer)
    documents = [document.content for batch in batches_of(corpus) for document in batch.documents]
    lengths = [len(ids) for ids in document_ids(tokenizer, documents)]

    assert lengths == sorted(lengths)


def test_what_fits_is_encoded_as_without_chunks(tmp_path: Path, tokenizer: Any) -> None:
    path = write(tmp_path / "d.jsonl", 10)
    chunked, whole = make_chunked(path, tokenizer), make_corpus(path)

    assert chunked.summary.sha256 == whole.summary.sha256


@pytest.mark.parametrize("order", [("a", "a#2"), ("a#2", "a")])
def test_a_chunk_with_the_id_of_another_document_is_refused(
    tmp_path: Path, tokenizer: Any, order: tuple[str, str]
) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text("".join(json.dumps({"id": name, "text": "many words " * 60}) + "\n" for name in order))

    with pytest.raises(ClaraError, match=r"d\.jsonl: a chunk of document 'a' would have the id of another: 'a#2'$"):
        make_chunked(str(path), tokenizer)


def test_chunks_longer_than_what_the_model_reads_are_refused(tmp_path: Path, tokenizer: Any) -> None:
    problem = r"chunk_tokens must be <= the model's document_tokens \(40\), got 41$"
    with pytest.raises(ClaraError, match=rf"^data\.init_args\.{problem}"):
        make_chunked(write(tmp_path / "d.jsonl", 1), tokenizer, tokens=41)


def test_an_overlap_without_chunks_is_refused() -> None:
    with pytest.raises(ClaraError, match=r"^data\.init_args\.chunk_overlap is 8, but chunk_tokens is not set$"):
        CorpusDataModule("d.jsonl", chunk_overlap=8)


def test_a_corpus_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    corpus = make_corpus(write(tmp_path / "d.jsonl", 10), rows_per_shard=2)
    write(tmp_path / "d.jsonl", 5)

    with pytest.raises(ClaraError, match=r"d\.jsonl: was changed while it was read$"):
        batches_of(corpus)


def test_a_folder_of_texts_is_a_corpus(tmp_path: Path, tokenizer: Any) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "long.md").write_text("# Rome\n\n" + long_row(6)["text"])
    (tmp_path / "texts" / "short.txt").write_text("Oslo.")
    documents = [d for batch in batches_of(make_chunked(f"{tmp_path}/texts", tokenizer)) for d in batch.documents]

    assert {document.title for document in documents} == {"Rome", "short"}
    assert "long.md#1" in {document.id for document in documents}


def test_a_document_of_fifty_megabytes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps({"id": "d", "text": "word " * 10_000_000}))
    (batch,) = batches_of(make_corpus(str(path)))

    assert len(batch.documents[0].text) == 50_000_000
