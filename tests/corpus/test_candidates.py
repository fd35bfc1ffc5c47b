"""Where candidates and gold documents come from, what is compressed for them, and what is read ahead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara_lightning.backbone.backbone import ClaraBackbone, Compressed
from clara_lightning.corpus.candidates import GivenCandidates, StoredPassages
from clara_lightning.data.loading import Batch
from clara_lightning.data.records import Passage, Question
from clara_lightning.errors import ClaraError

PASSAGES = (
    Passage("Paris lies on the Seine.", gold=True),
    Passage("Rome lies on the Tiber.", gold=False),
    Passage("Paris lies on the Seine.", gold=True),  # the same text again
    Passage("Oslo is in Norway.", gold=True, title="Oslo"),
)
QUESTIONS = (
    Question("q0", "Where?", ("there",), PASSAGES),
    Question("q1", "Where?", ("there",), PASSAGES[1:2]),  # no gold document
)


def test_gold_passages_are_taken_from_the_candidates_each_once(tiny_backbone: Any) -> None:
    backbone = tiny_backbone(adapters=(COMPRESSOR, GENERATOR, QUERY_REASONER))
    source = GivenCandidates(backbone, None)
    with torch.no_grad():
        candidates = source(QUESTIONS, backbone.read(["Where?"] * 2, adapter=QUERY_REASONER))

    first, second = source.gold(QUESTIONS, candidates)

    texts = source.gold_texts(QUESTIONS[0])
    assert texts == ["Paris lies on the Seine.", "Oslo\n Oslo is in Norway."]
    torch.testing.assert_close(first.memory_NLD, backbone.compress(texts), rtol=1e-4, atol=1e-4)
    assert first.keys == tuple(candidates.keys_BN[0, [0, 3]].tolist())
    assert (source.gold_texts(QUESTIONS[1]), second.keys, len(second.memory_NLD)) == ([], (), 0)


def test_passages_of_a_batch_are_compressed_together_each_once(
    tiny_backbone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny_backbone(adapters=(COMPRESSOR, GENERATOR, QUERY_REASONER))
    alone = [backbone.compress([passage.content]) for passage in PASSAGES]
    compressed: list[list[str]] = []
    original = ClaraBackbone.compress

    def compress(self: ClaraBackbone, documents: Sequence[str]) -> torch.Tensor:
        compressed.append(list(documents))
        return original(self, documents)

    monkeypatch.setattr(ClaraBackbone, "compress", compress)

    candidates = GivenCandidates(backbone, None)(QUESTIONS, nothing_asked(2))

    assert compressed == [[PASSAGES[0].content, PASSAGES[1].content, PASSAGES[3].content]]
    memory_BNLD = candidates.memory_BNLD
    torch.testing.assert_close(memory_BNLD[0], torch.cat(alone), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(memory_BNLD[1, :1], alone[1], rtol=1e-4, atol=1e-4)
    assert not memory_BNLD[1, 1:].any()
    assert candidates.mask_BN.tolist() == [[True] * 4, [True, False, False, False]]
    assert candidates.gold_BN.tolist() == [[True, False, True, True], [False] * 4]
    assert candidates.num_gold_B.tolist() == [3, 0]
    assert candidates.keys_BN[1, 1:].tolist() == [-1] * 3
    assert not candidates.is_full


def nothing_asked(count: int) -> Compressed:
    """Query vectors, where no candidate depends on them."""
    nothing = torch.zeros(count, 1)
    return Compressed(nothing, nothing, nothing, nothing, 0)


@pytest.fixture
def memory_NLD() -> torch.Tensor:
    return torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)


@pytest.fixture
def stored_questions() -> list[Question]:
    """Questions about documents of a store of six in two shards, some of which they share."""
    passages = {n: Passage(f"Text {n}.", gold=n == 4, id=f"d{n}") for n in range(6)}
    rows = ((5, 0, 3), (4, 0), (3,))
    return [Question(f"q{n}", "?", ("yes",), tuple(map(passages.get, line))) for n, line in enumerate(rows)]


def test_memory_that_was_read_ahead_makes_the_same_candidates_bit_by_bit(
    make_store: Any, tiny_backbone: Any, memory_NLD: torch.Tensor, stored_questions: list[Question]
) -> None:
    stored = StoredPassages(make_store(memory_NLD))
    source = GivenCandidates(tiny_backbone(), stored)
    in_the_step = source(stored_questions, nothing_asked(3))

    ahead = source(Batch(stored_questions, prepared=stored(stored_questions)), nothing_asked(3))

    assert ahead.memory_BNLD.dtype == torch.bfloat16
    assert all(torch.equal(*pair) for pair in zip(ahead[:5], in_the_step[:5], strict=True))
    assert torch.equal(ahead.memory_BNLD[0], memory_NLD[[5, 0, 3]])
    assert torch.equal(ahead.memory_BNLD[1, :2], memory_NLD[[4, 0]]) and not ahead.memory_BNLD[1, 2].any()


def test_memory_that_was_read_ahead_is_not_read_again(
    make_store: Any, tiny_backbone: Any, memory_NLD: torch.Tensor, stored_questions: list[Question]
) -> None:
    store = make_store(memory_NLD)
    batch = Batch(stored_questions, prepared=StoredPassages(store)(stored_questions))
    source = GivenCandidates(tiny_backbone(), StoredPassages(store))
    store.memory = None

    assert source(batch, nothing_asked(3)).mask_BN.sum() == 6


def test_a_passage_that_is_not_in_the_store_is_named(make_store: Any, memory_NLD: torch.Tensor) -> None:
    stranger = Question("q9", "?", ("yes",), (Passage("Text.", gold=True, id="d99"),))

    with pytest.raises(ClaraError, match="question 'q9': passages: document 'd99' is not in the store"):
        StoredPassages(make_store(memory_NLD))([stranger])
