"""From a question to an answer: what is searched, what is read, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.corpus.fusion import FusionMethod
from clara_lightning.corpus.hybrid import HybridSettings
from clara_lightning.corpus.lexical import LexicalIndex, build_lexical_index
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.prompts import MEMORY
from clara_lightning.errors import ClaraError
from clara_lightning.evaluation.run import EvaluationSettings, evaluate_folder
from clara_lightning.inference.pipeline import ClaraPipeline

FLOAT32 = BackboneConfig(dtype="float32")
QUESTIONS = ["What does Alba number 0 sell ?", "What does Dorn number 3 sell ?"]


@pytest.fixture(scope="module")
def pipeline(joint: Path, store: Path) -> ClaraPipeline:
    return ClaraPipeline.open(adapters=joint, store=store, backbone=FLOAT32, device="cpu")


def test_an_answer_reads_the_memory_of_the_documents_that_search_finds(pipeline: ClaraPipeline) -> None:
    answers = pipeline.answer(QUESTIONS, max_new_tokens=4)

    assert [answer.question for answer in answers] == QUESTIONS
    assert [answer.hits for answer in answers] == pipeline.search(QUESTIONS)
    for answer in answers:
        rows = pipeline.store.rows_of([hit.document.id for hit in answer.hits])
        prompt = pipeline.backbone.prompts.ask(answer.question, (MEMORY, MEMORY))
        assert [answer.text] == pipeline.backbone.generate([prompt], pipeline.store.memory(rows), max_new_tokens=4)


def test_hits_are_the_best_of_all_documents(pipeline: ClaraPipeline) -> None:
    (everything,) = pipeline.search(QUESTIONS[:1], top_k=40)
    (best,) = pipeline.search(QUESTIONS[:1], top_k=3)

    assert len({hit.document.id for hit in everything}) == 40
    assert [hit.score for hit in everything] == sorted((hit.score for hit in everything), reverse=True)
    assert best == everything[:3]


def test_top_k_is_the_trained_one_unless_another_is_given(pipeline: ClaraPipeline) -> None:
    assert pipeline.retrieval.top_k == 2
    assert [len(hits) for hits in pipeline.search(QUESTIONS)] == [2, 2]
    assert [len(hits) for hits in pipeline.search(QUESTIONS, top_k=5)] == [5, 5]


def test_an_answer_does_not_depend_on_the_other_questions(pipeline: ClaraPipeline) -> None:
    together = pipeline.answer(QUESTIONS, max_new_tokens=4)
    alone = [pipeline.answer([question], max_new_tokens=4)[0] for question in QUESTIONS]

    assert [answer.text for answer in together] == [answer.text for answer in alone]


@pytest.mark.parametrize("top_k", [0, 41])
def test_more_documents_than_the_store_has_or_none_are_refused(top_k: int, pipeline: ClaraPipeline) -> None:
    with pytest.raises(ClaraError, match=rf"--top-k must be between 1 and the store's 40 documents, got {top_k}"):
        pipeline.answer(QUESTIONS, top_k=top_k)


def test_memory_from_the_store_gives_the_answers_and_the_loss_of_memory_made_on_the_spot(
    pipeline: ClaraPipeline,
) -> None:
    backbone, rows = pipeline.backbone, [0, 3]
    documents = pipeline.store.documents(rows)
    with torch.no_grad():
        # One by one: the store's batches were others, and float32 differs in its last bits from batch to batch.
        exact = torch.stack([backbone.compress([document.content])[0] for document in documents])
    stored = pipeline.store.memory(rows)
    asked = [backbone.prompts.ask(question, (MEMORY,)) for question in QUESTIONS]
    answered = [backbone.prompts.ask(question, (MEMORY,), answer="apples") for question in QUESTIONS]

    # What is lost is the rounding to bfloat16 alone.
    torch.testing.assert_close(stored.float(), exact.to(torch.bfloat16).float(), rtol=2**-7, atol=1e-6)
    assert backbone.generate(asked, stored, max_new_tokens=6) == backbone.generate(asked, exact, max_new_tokens=6)
    torch.testing.assert_close(
        backbone.answer_loss(answered, stored).sum_B, backbone.answer_loss(answered, exact).sum_B, rtol=5e-3, atol=1e-3
    )


def test_answers_are_those_that_an_evaluation_measures(
    commands: Any, pipeline: ClaraPipeline, joint: Path, store: Path, tmp_path: Path
) -> None:
    evaluate_folder(
        EvaluationSettings(
            adapters=str(joint),
            data=str(commands.files.questions),
            store=str(store),
            out=str(tmp_path),
            max_new_tokens=4,
            backbone=FLOAT32,
            device="cpu",
        )
    )
    lines = (tmp_path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    measured = [row for row in map(json.loads, lines) if row["condition"] == "retrieved_memory"]

    answers = pipeline.answer([row["question"] for row in measured], max_new_tokens=4)

    assert len(measured) == 8
    assert [answer.text for answer in answers] == [row["prediction"] for row in measured]


@pytest.fixture(scope="module")
def indexed(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store with an index of its words."""
    folder = tmp_path_factory.mktemp("indexed") / "store"
    shutil.copytree(store, folder)
    build_lexical_index(LatentStore.open(folder))
    return folder


@pytest.mark.parametrize("method", ["weighted", "reciprocal_rank"])
def test_hybrid_search_finds_by_words_what_vectors_do_not(
    method: FusionMethod, joint: Path, indexed: Path, pipeline: ClaraPipeline
) -> None:
    hybrid = ClaraPipeline.open(
        adapters=joint, store=indexed, backbone=FLOAT32, device="cpu", hybrid=HybridSettings(method, 0.9)
    )

    found, alone = hybrid.search(QUESTIONS, top_k=3), pipeline.search(QUESTIONS, top_k=3)

    words = LexicalIndex.open(hybrid.store)
    best = [words.search(question, top_k=1).rows[0] for question in QUESTIONS]
    assert [hits[0].document for hits in found] == hybrid.store.documents(best)
    assert [hits[0].document for hits in alone] != [hits[0].document for hits in found]
    assert [answer.hits for answer in hybrid.answer(QUESTIONS, top_k=3, max_new_tokens=2)] == found


def test_hybrid_search_is_the_one_that_an_evaluation_measures(
    commands: Any, joint: Path, indexed: Path, tmp_path: Path
) -> None:
    settings = HybridSettings("weighted", 0.4)
    evaluate_folder(
        EvaluationSettings(
            adapters=str(joint),
            data=str(commands.files.questions),
            store=str(indexed),
            out=str(tmp_path),
            conditions=("hybrid_memory",),
            hybrid=settings,
            dense="none",
            max_new_tokens=4,
            backbone=FLOAT32,
            device="cpu",
        )
    )
    lines = (tmp_path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    measured = [row for row in map(json.loads, lines) if row["condition"] == "hybrid_memory"]

    hybrid = ClaraPipeline.open(adapters=joint, store=indexed, backbone=FLOAT32, device="cpu", hybrid=settings)
    answers = hybrid.answer([row["question"] for row in measured], max_new_tokens=4)

    assert len(measured) == 8
    assert [answer.text for answer in answers] == [row["prediction"] for row in measured]
    found = [[[hit.document.id, hit.score] for hit in answer.hits] for answer in answers]
    assert found == [[[each["id"], each["score"]] for each in row["documents"]] for row in measured]


def test_hybrid_search_needs_an_index_of_the_stores_words(joint: Path, store: Path) -> None:
    with pytest.raises(ClaraError, match=r"^--hybrid: .* has no BM25 index: build it with clara store index "):
        ClaraPipeline.open(adapters=joint, store=store, hybrid=HybridSettings())


def test_before_joint_training_the_compressor_reads_the_question(compressor: Path, store: Path) -> None:
    pipeline = ClaraPipeline.open(adapters=compressor, store=store, backbone=FLOAT32, device="cpu")

    assert pipeline.reasoner == "compressor"
    assert len(pipeline.answer(QUESTIONS, max_new_tokens=2)[0].hits) == 5


def test_a_store_of_another_compressor_is_refused(commands: Any, clara: Any, store: Path, tmp_path: Path) -> None:
    assert clara(*commands.fit_compressor(tmp_path / "other", "--trainer.max_steps", 1)).code == 0

    with pytest.raises(ClaraError, match=r"was made by compressor .* the adapters hold compressor"):
        ClaraPipeline.open(adapters=tmp_path / "other" / "adapters", store=store)


def test_a_store_is_compared_with_the_weights_and_not_with_what_a_header_says(
    compressor: Path, store: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(compressor, tmp_path / "adapters")
    path = tmp_path / "adapters" / "compressor" / "adapter_model.safetensors"
    save_file({name: value + 1 for name, value in load_file(path).items()}, path)

    with pytest.raises(ClaraError, match="was made by compressor"):
        ClaraPipeline.open(adapters=tmp_path / "adapters", store=store, backbone=FLOAT32)


def test_several_stores_are_searched_as_one(clara: Any, store: Path, joint: Path, tmp_path: Path) -> None:
    halves = []
    for name, gone in (("low", range(20, 40)), ("high", range(20))):
        halves.append(Path(shutil.copytree(store, tmp_path / name)))
        ids = [word for number in gone for word in ("--id", f"d{number}")]
        assert clara("store", "delete", halves[-1], *ids).code == 0
    common = ("--adapters", joint, "--json", "--dtype", "float32", "--device", "cpu", "What does Alba number 0 sell ?")

    whole = clara("search", "--store", store, *common)
    both = clara("search", "--store", halves[0], "--store", halves[1], *common)

    assert both.code == 0, both.err
    assert json.loads(both.out) == json.loads(whole.out)


def test_memory_that_was_read_stays_in_ram(pipeline: ClaraPipeline) -> None:
    first = pipeline.answer(["What does Alba number 0 sell ?"])
    misses = pipeline.hot.misses

    assert pipeline.answer(["What does Alba number 0 sell ?"]) == first
    assert pipeline.hot.misses == misses
