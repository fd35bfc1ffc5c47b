"""What an answer came from: the soft choice by its formula, the log-probabilities by whole forward passes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara_lightning.backbone.lens import logit_lens
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.data.prompts import IGNORED, MEMORY
from clara_lightning.errors import ClaraError
from clara_lightning.inference.explain import explain, rows_not_taken
from clara_lightning.inference.pipeline import ClaraPipeline

FLOAT32 = BackboneConfig(dtype="float32")
QUESTION = "What does Alba number 0 sell ?"


@pytest.fixture(scope="module")
def pipeline(joint: Path, store: Path) -> ClaraPipeline:
    return ClaraPipeline.open(adapters=joint, store=store, backbone=FLOAT32, device="cpu")


def test_a_hybrid_search_is_not_explained(pipeline: ClaraPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "hybrid", object())

    with pytest.raises(ClaraError, match="open the pipeline without hybrid"):
        explain(pipeline, QUESTION)


def test_it_explains_the_answer_that_is_given_without_it(pipeline: ClaraPipeline) -> None:
    explanation = explain(pipeline, QUESTION, top_k=3, max_new_tokens=6)

    assert [explanation.answer] == pipeline.answer([QUESTION], top_k=3, max_new_tokens=6)
    assert [c.document for c in explanation.candidates[:3]] == [hit.document for hit in explanation.answer.hits]
    assert [c.slot for c in explanation.candidates] == [1, 2, 3, *[None] * 17]
    (found,) = pipeline.search([QUESTION], top_k=20)
    assert [(c.document, c.score) for c in explanation.candidates] == [(hit.document, hit.score) for hit in found]


def test_the_question_is_shown_as_search_reads_it(pipeline: ClaraPipeline, compressor: Path, store: Path) -> None:
    trained = explain(pipeline, QUESTION, max_new_tokens=1)
    before = explain(
        ClaraPipeline.open(adapters=compressor, store=store, backbone=FLOAT32, device="cpu"), QUESTION, max_new_tokens=1
    )

    assert (trained.reasoner, before.reasoner) == (QUERY_REASONER, COMPRESSOR)
    assert [trained.lens] == logit_lens(pipeline.backbone, [QUESTION], adapter=QUERY_REASONER, top=3)


@pytest.mark.parametrize(("temperature", "standardised"), [(0.02, False), (0.5, False), (0.5, True)])
def test_soft_weights_follow_the_formula_of_the_training(
    pipeline: ClaraPipeline, temperature: float, standardised: bool
) -> None:
    warm = ClaraPipeline(
        pipeline.backbone,
        pipeline.store,
        retrieval=replace(pipeline.retrieval, temperature=temperature, standardise=standardised),
        reasoner=pipeline.reasoner,
    )

    explanation = explain(warm, QUESTION, top_k=3, max_new_tokens=1)

    left = np.array([c.score for c in explanation.candidates], dtype=np.float64)
    left = (left - left.mean()) / left.std() if standardised else left
    expected = []
    for slot in range(3):  # a slot shares out among those that no earlier slot took
        exps = np.exp((left - left.max()) / temperature)
        expected.append(exps / exps.sum())
        left[slot] = -np.inf
    np.testing.assert_allclose([c.weights for c in explanation.candidates], np.array(expected).T, atol=1e-5)
    assert sum(c.mass for c in explanation.candidates) == pytest.approx(3)
    assert explanation.temperature == temperature


@torch.no_grad()
def test_log_probabilities_are_those_of_the_whole_model_under_each_background(pipeline: ClaraPipeline) -> None:
    explanation = explain(pipeline, QUESTION, top_k=2, max_new_tokens=4)
    backbone, store = pipeline.backbone, pipeline.store
    taken = store.rows_of([hit.document.id for hit in explanation.answer.hits])
    others = store.rows_of([document.id for document in explanation.another])
    texts = tuple(store.documents([row])[0].content for row in taken)
    given = {
        "none": ((), []),
        "another": ((MEMORY,) * 2, others),
        "memory": ((MEMORY,) * 2, taken),
        "text": (texts, []),
    }

    assert list(explanation.log_probabilities) == list(given)
    for name, (background, rows) in given.items():
        prompt = backbone.prompts.ask(QUESTION, background, answer=explanation.answer.text)
        batch = backbone.prompts.encode([prompt])
        with backbone.use_adapter(GENERATOR):
            logits_TV = backbone.causal_lm(
                inputs_embeds=backbone.splice(batch, store.memory(rows) if rows else None)
            ).logits[0]
        places = [place for place, label in enumerate(batch.labels[0].tolist()) if label != IGNORED]
        labels = batch.labels[0, places].tolist()
        scores = [logits_TV[place - 1].double().numpy() for place in places]
        expected = [row[label] - math.log(np.exp(row).sum()) for row, label in zip(scores, labels, strict=True)]
        assert explanation.log_probabilities[name] == pytest.approx(expected, abs=1e-4)
        assert [backbone.tokenizer.decode([label]) for label in labels] == list(explanation.tokens)


def test_another_memory_is_of_as_many_documents_that_were_not_taken(pipeline: ClaraPipeline) -> None:
    first, again = (explain(pipeline, QUESTION, top_k=3, max_new_tokens=1) for _ in range(2))

    names = {document.id for document in first.another}
    assert first == again
    assert len(first.another) == len(names) == 3
    assert not names & {hit.document.id for hit in first.answer.hits}


def test_without_a_document_left_there_is_no_other_memory(pipeline: ClaraPipeline) -> None:
    explanation = explain(pipeline, QUESTION, top_k=40, max_new_tokens=1)

    assert explanation.another == ()
    assert list(explanation.log_probabilities) == ["none", "memory", "text"]
    assert len(explanation.candidates) == 40


def test_the_rows_lent_are_those_left_and_no_more() -> None:
    assert len(rows_not_taken([3, 5], num_documents=9, key="a")) == 2
    assert set(rows_not_taken([0, 1, 2], num_documents=5, key="a")) == {3, 4}
    assert len({tuple(rows_not_taken([0], num_documents=100, key=f"q{n}")) for n in range(20)}) > 10


def test_all_of_it_goes_into_json(pipeline: ClaraPipeline) -> None:
    explanation = explain(pipeline, QUESTION, top_k=2, max_new_tokens=4)

    values = json.loads(json.dumps(explanation.to_json()))

    assert [row["text"] for row in values["documents"]] == [hit.document.text for hit in explanation.answer.hits]
    assert [row["slot"] for row in values["candidates"]] == [1, 2, *[None] * 18]
    assert [len(row["weights"]) for row in values["candidates"]] == [2] * 20
    assert len(values["lens"]["places"]) == 4 and len(values["lens"]["places"][0]["words"]) == 3
    assert values["log_probabilities"]["memory"]["sum"] == pytest.approx(sum(explanation.log_probabilities["memory"]))
    assert len(values["answer_tokens"]) == len(values["log_probabilities"]["text"]["tokens"])
    assert [row["id"] for row in values["another"]] == [document.id for document in explanation.another]


def test_more_documents_than_the_store_has_are_refused(pipeline: ClaraPipeline) -> None:
    with pytest.raises(ClaraError, match=r"--top-k must be between 1 and the store's 40 documents, got 41"):
        explain(pipeline, QUESTION, top_k=41)
