"""Gold documents of both sources of candidates: known without anything being compressed for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara_lightning.backbone.backbone import Compressed
from clara_lightning.corpus.candidates import GivenCandidates, SearchedCandidates
from clara_lightning.corpus.index import ScanIndex
from clara_lightning.data.records import Passage, Question

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


@pytest.fixture
def memory_NLD() -> torch.Tensor:
    return torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)


def test_gold_documents_of_a_search_are_read_from_the_store_found_or_not(
    make_store: Any, memory_NLD: torch.Tensor
) -> None:
    store = make_store(memory_NLD)
    source = SearchedCandidates(store, ScanIndex(store, score="maxsim"), num_candidates=1)
    questions = [Question("q0", "?", ("yes",), gold_ids=("d4", "d1", "d4")), Question("q1", "?", ("yes",))]
    nothing = torch.zeros(2, 4)
    query = Compressed(memory_NLD[:2].float(), nothing, nothing, torch.ones(2, 2), 0)

    first, second = source.gold(questions, source(questions, query))

    assert first.keys == (4, 1)
    assert source.gold_texts(questions[0]) == ["Title 4\n Text 4.", "Title 1\n Text 1."]
    assert torch.equal(first.memory_NLD, memory_NLD[[4, 1]])
    assert (second.keys, len(second.memory_NLD)) == ((), 0)
