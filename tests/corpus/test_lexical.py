"""The BM25 index of a store: what it finds, how it is written, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import bm25s
import numpy as np
import pytest
import torch

from clara_lightning.corpus import lexical
from clara_lightning.corpus.lexical import LexicalIndex, best_rows, build_lexical_index, folder_of
from clara_lightning.corpus.store import LatentStore
from clara_lightning.errors import ClaraError

TEXTS = (
    "The river Tiber flows through Rome.",
    "The Alps are mountains.",
    "Copper is mined near the old harbour of Brod.",
    "Rome has hills and a river.",
    "the of",
    "北京是中国的首都。",
    "Copper wires.",
)
QUESTIONS = ("Where is copper mined near the harbour?", "the river of Rome, the river", "中国的首都是哪里", "zzz", "")


@pytest.fixture
def made(make_store: Any) -> LatentStore:
    """Seven documents in shards of three."""
    return make_store(torch.ones(len(TEXTS), 1, 2), rows_per_shard=3, texts=TEXTS)  # type: ignore[no-any-return]


def in_memory(texts: Sequence[str] = TEXTS) -> LexicalIndex:
    return LexicalIndex.of_texts(lambda: [texts])


def refusal(store: LatentStore) -> str:
    with pytest.raises(ClaraError) as caught:
        LexicalIndex.open(store)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_it_finds_documents_that_have_a_word_of_the_question() -> None:
    assert [in_memory().search(question, top_k=7).rows for question in QUESTIONS] == [(2, 6), (3, 0), (5,), (), ()]


def test_its_scores_are_those_of_bm25ss_own_search() -> None:
    texts = TEXTS[:4]
    model = bm25s.BM25()
    model.index(bm25s.tokenize(list(texts), stopwords="en", show_progress=False), show_progress=False)
    query = bm25s.tokenize([QUESTIONS[1]], stopwords="en", show_progress=False)
    rows, scores = model.retrieve(query, k=4, show_progress=False)

    found = in_memory(texts).scores(QUESTIONS[1])

    assert found[rows[0]].tolist() == pytest.approx(scores[0].tolist())


def test_the_stored_index_gives_the_bits_of_the_one_in_memory(
    made: LatentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexical, "BATCH", 2)
    build_lexical_index(made)

    stored = LexicalIndex.open(made)

    assert (len(stored), stored.num_words) == (len(TEXTS), in_memory().num_words)
    for question in QUESTIONS:
        assert np.array_equal(stored.scores(question), in_memory().scores(question))


def test_the_stored_index_is_mapped_and_not_read(made: LatentStore) -> None:
    stored = build_lexical_index(made)

    assert all(isinstance(stored._model.scores[name], np.memmap) for name in ("data", "indices", "indptr"))


def test_two_buildings_give_the_same_bytes(made: LatentStore, bytes_of: Any) -> None:
    build_lexical_index(made)
    first = bytes_of(made.path)

    build_lexical_index(made)

    assert bytes_of(made.path) == first
    assert not [path.name for path in (made.path / "index").iterdir() if path.name.startswith(".")]


def test_documents_without_any_word_can_be_indexed(make_store: Any) -> None:
    store = make_store(torch.ones(2, 1, 2), texts=["the", "of"])

    assert build_lexical_index(store).scores("anything").tolist() == [0.0, 0.0]


def test_a_store_without_an_index_says_how_to_build_one(made: LatentStore) -> None:
    assert refusal(made) == f"--store: {made.path} has no BM25 index: build it with clara store index {made.path}"


def test_a_building_that_is_cut_short_leaves_nothing(made: LatentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(store: LatentStore) -> Iterator[Sequence[str]]:
        yield TEXTS[:3]
        raise KeyboardInterrupt

    monkeypatch.setattr(lexical, "contents", cut)
    with pytest.raises(KeyboardInterrupt):
        build_lexical_index(made)

    assert "has no BM25 index" in refusal(made)
    assert not list((made.path / "index").iterdir())
    monkeypatch.undo()
    assert len(build_lexical_index(made)) == len(TEXTS)


def test_a_full_disk_is_told_and_leaves_the_index_that_was_there(
    made: LatentStore, monkeypatch: pytest.MonkeyPatch, bytes_of: Any
) -> None:
    build_lexical_index(made)
    before = bytes_of(made.path)
    monkeypatch.setattr(lexical.shutil, "disk_usage", lambda path: SimpleNamespace(free=100))

    with pytest.raises(ClaraError, match=r"^--store: .*bm25 cannot be built: it takes \d+ bytes, and 100 are free$"):
        build_lexical_index(made)

    assert bytes_of(made.path) == before
    assert LexicalIndex.open(made).search("Alps", top_k=1).rows == (1,)


@pytest.mark.parametrize("texts", [TEXTS[:6], (*TEXTS[:6], "Copper pipes.")], ids=["fewer", "others"])
def test_an_index_of_other_documents_is_refused(made: LatentStore, make_store: Any, texts: Sequence[str]) -> None:
    build_lexical_index(made)
    other = make_store(torch.ones(len(texts), 1, 2), rows_per_shard=3, texts=texts, name="other")
    shutil.copytree(folder_of(made), folder_of(other))

    message = refusal(other)

    assert "is not the index of this store's documents" in message
    assert message.endswith(f"build it with clara store index {other.path}")
    assert build_lexical_index(other).search("pipes", top_k=1).rows == ((6,) if len(texts) == 7 else ())


def test_an_index_by_another_rule_of_words_is_refused(made: LatentStore) -> None:
    build_lexical_index(made)
    path = folder_of(made) / lexical.BELONGS
    path.write_text(json.dumps(json.loads(path.read_text()) | {"words": "stems"}))

    assert "(words is another): build it with clara store index" in refusal(made)


@pytest.mark.parametrize("name", ["data.csc.index.npy", "vocab.index.json", "belongs.json"])
@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_an_index_that_is_not_whole_is_refused(made: LatentStore, name: str, harm: str) -> None:
    build_lexical_index(made)
    path = folder_of(made) / name
    whole = path.read_bytes()
    path.unlink()
    if harm == "cut":
        path.write_bytes(whole[: len(whole) // 2])

    assert refusal(made).endswith(f"build it with clara store index {made.path}")


def test_the_best_rows_are_those_of_a_whole_sort() -> None:
    scores = np.random.default_rng(0).integers(0, 5, 50).astype(np.float32)
    everything = sorted(range(50), key=lambda row: (-scores[row], row))

    assert [best_rows(scores, top_k=k).tolist() for k in range(1, 60)] == [everything[:k] for k in range(1, 60)]
