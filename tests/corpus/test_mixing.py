"""Candidates of a store from several sources: how many of each, what is drawn, what is read ahead, gold documents."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from clara_lightning.backbone.backbone import Compressed
from clara_lightning.corpus.candidates import other_candidates
from clara_lightning.corpus.contrast import pool_documents
from clara_lightning.corpus.index import ScanIndex
from clara_lightning.corpus.lexical import LexicalIndex, build_lexical_index
from clara_lightning.corpus.mixing import CandidateDrafts, CandidateMix, MixedCandidates, check_mix
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.loading import Batch
from clara_lightning.data.records import Passage, Question
from clara_lightning.errors import ClaraError
from clara_lightning.objectives.metrics import RetrievalScores
from clara_lightning.objectives.scores import score

DOCUMENTS = 40
QUESTIONS = (
    Question("q0", "What says text 17?", ("it",), (Passage("Text 30.", gold=False, id="d30"),), ("d39", "d38")),
    Question("q1", "Text 13, and 14?", ("it",), gold_ids=("d35",)),
    Question("q2", "Nothing?", ("no",)),
)
ALL = CandidateMix(search=1, bm25=1, given=1, random=1)


@pytest.fixture
def memory_NLD() -> torch.Tensor:
    return torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)


def searched(store: LatentStore, *, num_candidates: int) -> MixedCandidates:
    drafts = CandidateDrafts(store, CandidateMix(search=1.0), num_candidates=num_candidates, lexical=None, seed=0)
    return MixedCandidates(drafts, ScanIndex(store, score="maxsim"))


def mixed(store: LatentStore, mix: CandidateMix, *, num_candidates: int = 8, seed: int = 0) -> MixedCandidates:
    lexical = build_lexical_index(store) if mix.bm25 else None
    drafts = CandidateDrafts(store, mix, num_candidates=num_candidates, lexical=lexical, seed=seed)
    return MixedCandidates(drafts, ScanIndex(store, score="maxsim") if mix.search else None)


@pytest.fixture
def many(make_store: Any) -> LatentStore:
    """A store of more documents."""
    memory_NLD = torch.randn(DOCUMENTS, 2, 4, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    store: LatentStore = make_store(memory_NLD)
    return store


def asked(count: int = len(QUESTIONS)) -> Compressed:
    query_BLD = torch.randn(count, 2, 4, generator=torch.Generator().manual_seed(2))
    nothing = torch.zeros(count, 4)
    return Compressed(query_BLD, nothing, nothing, torch.ones(count, 2), 0)


def rows(source: MixedCandidates, questions: Sequence[Question] = QUESTIONS, **options: Any) -> list[list[int]]:
    found: list[list[int]] = source(questions, asked(len(questions)), **options).keys_BN.tolist()
    return found


@pytest.mark.parametrize("num_candidates", [1, 2, 3, 7, 20])
def test_places_sum_up_and_differ_from_the_shares_by_less_than_one(num_candidates: int) -> None:
    mix = CandidateMix(search=0.5, bm25=0.3, random=0.2)
    places = mix.places(num_candidates)
    assert sum(places.values()) == num_candidates
    assert all(abs(places[name] - num_candidates * share) < 1 for name, share in mix.shares.items())


def test_each_source_has_its_places(many: LatentStore) -> None:
    first, second, third = rows(mixed(many, ALL))

    by_words = LexicalIndex.open(many).search("What says text 17?", top_k=3).rows
    found = ScanIndex(many, score="maxsim").search(asked().memory_NLD, asked().weights_NL, top_k=8).rows_BK.tolist()
    assert first[0] == 30 and list(by_words[:2]) == first[1:3] and by_words[0] == 17
    assert set(found[0][:2]) <= set(first)
    assert {13, 14} <= set(second)
    assert [len(set(line)) for line in (first, second, third)] == [8, 8, 8]


def test_what_a_source_cannot_fill_others_do(many: LatentStore) -> None:
    for mix in (CandidateMix(given=1), CandidateMix(given=1, search=1), CandidateMix(random=1)):
        assert all(len(set(line)) == 8 for line in rows(mixed(many, mix)))
    whole = rows(mixed(many, CandidateMix(given=1, search=1), num_candidates=DOCUMENTS))
    assert all(sorted(line) == list(range(DOCUMENTS)) for line in whole)


def test_what_is_drawn_depends_on_seed_epoch_and_question_alone(many: LatentStore) -> None:
    source = mixed(many, CandidateMix(random=1))
    drafted = [source.drafts(QUESTIONS, epoch).chosen for epoch in (0, 0, 1)]
    assert drafted[0] == drafted[1] != drafted[2]
    assert source.drafts(QUESTIONS[1:], 1).chosen == drafted[2][1:]
    assert mixed(many, CandidateMix(random=1), seed=1).drafts(QUESTIONS, 0).chosen != drafted[0]


def test_gold_documents_join_with_their_probability(many: LatentStore) -> None:
    source = mixed(many, CandidateMix(bm25=1))
    assert rows(source, gold_share=0.0) == rows(source)
    first, second, third = rows(source, gold_share=1.0)
    assert first[:-2] == rows(source)[0][:-2] and set(first[-2:]) == {38, 39} and second[-1] == 35
    assert third == rows(source)[2]
    many_times = [QUESTIONS[1]] * 400
    torch.manual_seed(0)
    joined = sum(35 in line for line in rows(source, many_times, gold_share=0.3))
    assert 90 < joined < 150
    candidates = source(QUESTIONS, asked(), gold_share=1.0)
    assert candidates.gold_BN.sum(1).tolist() == candidates.num_gold_B.tolist() == [2, 1, 0]
    assert torch.equal(candidates.memory_BNLD[1, -1], many.memory([35])[0])


def test_gold_documents_never_put_each_other_out(many: LatentStore) -> None:
    (line,) = rows(mixed(many, CandidateMix(bm25=1), num_candidates=1), QUESTIONS[:1], gold_share=1.0)
    assert line == [39]


def test_the_probability_of_gold_documents_moves_in_a_straight_line() -> None:
    mix = CandidateMix(search=1, gold=1.0, final_gold=0.2)
    assert [mix.gold_at(progress) for progress in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.6, 0.2])
    assert CandidateMix(search=1, gold=0.5).gold_at(1.0) == 0.5


def test_a_draft_made_ahead_makes_the_same_candidates_bit_by_bit(many: LatentStore) -> None:
    source = mixed(many, ALL)
    drafts = pickle.loads(pickle.dumps(source.drafts))  # as a worker has it
    batch = Batch(QUESTIONS, prepared=drafts(QUESTIONS, 0))

    torch.manual_seed(0)
    in_the_step = source(QUESTIONS, asked(), gold_share=0.5)
    torch.manual_seed(0)
    ahead = source(batch, asked(), gold_share=0.5)

    assert all(torch.equal(*pair) for pair in zip(ahead[:5], in_the_step[:5], strict=True))
    assert torch.equal(ahead.memory_BNLD, many.memory(ahead.keys_BN.flatten().tolist()).view_as(ahead.memory_BNLD))
    own, other = source.gold(batch, ahead), source.gold(QUESTIONS, ahead)
    assert all(torch.equal(one.memory_NLD, two.memory_NLD) for one, two in zip(own, other, strict=True))


def test_what_does_not_need_the_query_is_not_read_in_the_step(many: LatentStore) -> None:
    source = mixed(many, CandidateMix(bm25=1, random=1))
    batch = Batch(QUESTIONS, prepared=source.drafts(QUESTIONS, 0))
    many.memory = None  # type: ignore[assignment, method-assign]
    assert source(batch, asked(), gold_share=1.0).memory_BNLD.shape == (3, 8, 2, 4)
    assert len(source.gold(batch, source(batch, asked()))) == 3


def test_scores_by_words_are_those_of_the_whole_index(many: LatentStore) -> None:
    drafts = CandidateDrafts(many, ALL, num_candidates=8, lexical=build_lexical_index(many), seed=0)
    candidates = MixedCandidates(drafts, ScanIndex(many, score="maxsim"), by_words=True)(QUESTIONS, asked())
    assert drafts.lexical is not None and candidates.lexical_BN is not None
    for question, line, scores in zip(QUESTIONS, candidates.keys_BN.tolist(), candidates.lexical_BN, strict=True):
        assert torch.equal(scores, torch.from_numpy(drafts.lexical.scores(question.question)[line]))
    assert candidates.lexical_BN[0].max() > 0 and not candidates.lexical_BN[2].any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "one of search, bm25, given, random must be above 0"),
        ({"search": -1.0}, "candidates.search must be >= 0, got -1.0"),
        ({"search": 1.0, "gold": 1.5}, "candidates.gold must be between 0 and 1, got 1.5"),
        ({"search": 1.0, "final_gold": -0.1}, "candidates.final_gold must be between 0 and 1, got -0.1"),
    ],
)
def test_a_mix_out_of_range_is_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ClaraError, match=message):
        CandidateMix(**settings)


def test_a_store_that_is_too_small_or_lacks_a_document_is_refused(many: LatentStore) -> None:
    with pytest.raises(ClaraError, match=f"num_candidates must be <= {DOCUMENTS}, the documents of the store, got 41"):
        check_mix(QUESTIONS, mixed(many, CandidateMix(random=1), num_candidates=41).drafts)
    stranger = Question("q9", "?", ("yes",), (Passage("Text.", gold=False, id="d99"),))
    check_mix([stranger], mixed(many, CandidateMix(random=1)).drafts)
    with pytest.raises(ClaraError, match="question 'q9': passages: document 'd99' is not in the store"):
        check_mix([stranger], mixed(many, CandidateMix(given=1)).drafts)


def test_gold_documents_of_a_search_are_read_from_the_store_found_or_not(
    make_store: Any, memory_NLD: torch.Tensor
) -> None:
    store = make_store(memory_NLD)
    source = searched(store, num_candidates=1)
    questions = [Question("q0", "?", ("yes",), gold_ids=("d4", "d1", "d4")), Question("q1", "?", ("yes",))]
    nothing = torch.zeros(2, 4)
    query = Compressed(memory_NLD[:2].float(), nothing, nothing, torch.ones(2, 2), 0)

    first, second = source.gold(questions, source(questions, query))

    assert first.keys == (4, 1)
    assert source.gold_texts(questions[0]) == ["Title 4\n Text 4.", "Title 1\n Text 1."]
    assert torch.equal(first.memory_NLD, memory_NLD[[4, 1]])
    assert (second.keys, len(second.memory_NLD)) == ((), 0)


def recall_by_document(scores: list[float], ids: list[str], gold: set[str], *, top_k: int) -> float:
    """Of the gold documents, those that have a chunk among the best, counted one by one."""
    ranked = sorted(range(len(ids)), key=lambda row: (-scores[row], row))
    return len({ids[row].partition("#")[0] for row in ranked[:top_k]} & gold) / len(gold)


def test_a_search_counts_a_document_in_chunks_once_where_its_best_chunk_stands(make_store: Any) -> None:
    ids = ["a#1", "b", "a#2", "c#1", "c#2", "a#3", "d", "c#3"]
    memory_NLD = torch.randn(8, 2, 4, generator=torch.Generator().manual_seed(3)).to(torch.bfloat16)
    store = make_store(memory_NLD, ids=ids, chunk_tokens=32)
    source = searched(store, num_candidates=5)
    gold = [{"a"}, {"c", "b"}, {"d", "a", "c"}]
    questions = [Question(f"q{n}", "?", ("yes",), gold_ids=tuple(sorted(each))) for n, each in enumerate(gold)]
    query = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(4))
    asked = Compressed(query, torch.zeros(3, 4), torch.zeros(3, 4), torch.ones(3, 2), 0)

    found = source(questions, asked)

    metric = RetrievalScores(top_k=(1, 2, 4))
    metric.update(
        score("maxsim", query, found.memory_BNLD, asked.weights_NL), found.gold_BN, num_gold_B=found.num_gold_B
    )
    scores = score("maxsim", query, memory_NLD.float(), asked.weights_NL).tolist()
    for k in (1, 2, 4):
        wanted = [recall_by_document(each, ids, own, top_k=k) for each, own in zip(scores, gold, strict=True)]
        assert metric.compute()[f"recall@{k}"].item() == pytest.approx(sum(wanted) / 3)
    assert found.num_gold_B.tolist() == [1, 2, 3]


def test_all_chunks_of_a_gold_document_are_gold_and_none_of_them_is_another(make_store: Any) -> None:
    ids = ["a#1", "b", "a#2", "c"]
    memory_NLD = torch.randn(4, 2, 4, generator=torch.Generator().manual_seed(3)).to(torch.bfloat16)
    store = make_store(memory_NLD, ids=ids, chunk_tokens=32)
    source = searched(store, num_candidates=4)
    questions = [Question("q0", "?", ("yes",), gold_ids=("a",))]
    query = Compressed(memory_NLD[:1].float(), torch.zeros(1, 4), torch.zeros(1, 4), torch.ones(1, 2), 0)
    candidates = source(questions, query)

    (gold,) = source.gold(questions, candidates)

    assert gold.keys == (0, 2) and torch.equal(gold.memory_NLD, memory_NLD[[0, 2]])
    assert len(source.gold_texts(questions[0])) == 2
    pool = pool_documents(candidates, [gold])  # what contrastive training tells apart
    assert pool.gold_BX.sum() == 2
    (others,) = other_candidates(candidates, [gold])
    assert not any(torch.equal(other, own) for other in others for own in gold.memory_NLD)
    check_mix(questions, source.drafts)
