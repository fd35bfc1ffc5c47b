"""The corpus: fixed shards, every document once, whoever encodes them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clara_lightning.data.corpus import CorpusBatch, CorpusDataModule
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
