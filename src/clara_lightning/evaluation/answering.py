"""Answers under the conditions: what is generated, and how likely the right answer is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch

from clara_lightning.backbone import adapters
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.data.prompts import MEMORY, Background, Prompt
from clara_lightning.data.records import SCPExample
from clara_lightning.evaluation.conditions import BACKBONE, Given
from clara_lightning.evaluation.corpus import Asked, Corpus
from clara_lightning.evaluation.costs import Meter
from clara_lightning.evaluation.results import ConditionInfo, Paraphrased, Prediction
from clara_lightning.evaluation.work import Work, in_batches
from clara_lightning.objectives.answers import (
    cover_exact_match,
    exact_match,
    normalize_answer,
    rouge_l,
    token_f1,
)


class Answerer:
    """Asks questions under one condition after the other.

    Args:
        backbone: reads and answers.
        corpus: where the documents are.
        asked: the questions.
        work: runs the batches.
        meter: of the time that generation takes.
        batch_size: questions per forward pass.
        max_new_tokens: length of an answer at most.
    """

    def __init__(
        self,
        backbone: ClaraBackbone,
        corpus: Corpus,
        asked: Sequence[Asked],
        *,
        work: Work,
        meter: Meter,
        batch_size: int,
        max_new_tokens: int,
    ) -> None:
        self.backbone, self.corpus, self.asked = backbone, corpus, asked
        self.work, self.meter = work, meter
        self.batch_size, self.max_new_tokens = batch_size, max_new_tokens

    def answer(self, name: str, info: ConditionInfo, given: Sequence[Given]) -> list[Prediction]:
        """One prediction for each question, in their order."""
        lengths = [self._length(one, info, rows) for one, rows in zip(self.asked, given, strict=True)]
        batches = in_batches(lengths, self.batch_size)
        rows = self.work.run(f"answer {name}", batches, lambda batch: self._batch(name, info, given, batch))
        found = [prediction_of(row) for row in rows]
        order = [number for batch in batches for number in batch]
        return [prediction for _, prediction in sorted(zip(order, found, strict=True), key=lambda pair: pair[0])]

    def _length(self, one: Asked, info: ConditionInfo, given: Given) -> int:
        """Letters of the prompt, roughly: what batches are sorted by."""
        if info.form != "text":
            return len(one.question.question)
        return sum(len(document.content) for document in self.corpus.documents(given.rows))

    @torch.no_grad()
    def _batch(
        self, name: str, info: ConditionInfo, given: Sequence[Given], batch: Sequence[int]
    ) -> list[dict[str, Any]]:
        asked, documents = [self.asked[number] for number in batch], [given[number] for number in batch]
        reader = None if info.reader == BACKBONE else adapters.GENERATOR
        backgrounds = [background(self.backbone, self.corpus, info.form, one.rows) for one in documents]
        rows = [row for one in documents for row in one.rows] if info.form == "memory" else []
        memory = self.corpus.memory(rows).to(self.backbone.device) if rows else None
        ask = self.backbone.prompts.ask
        prompts = [
            ask(one.question.question, each, answer=one.question.answers[0])
            for one, each in zip(asked, backgrounds, strict=True)
        ]
        with self.meter.measure(f"answer:{name}", items=len(batch)):
            reading = self.backbone.reading(prompts, memory, max_new_tokens=self.max_new_tokens, adapter=reader)
            texts = reading.answers()
        loss = reading.answer_loss()  # goes on from what was just read, behind the clock
        return [
            asdict(self._judge(name, *parts, nll=nll, answer_tokens=count))
            for *parts, nll, count in zip(
                asked, documents, prompts, texts, loss.sum_B.tolist(), loss.tokens_B.tolist(), strict=True
            )
        ]

    def _judge(
        self, name: str, one: Asked, given: Given, prompt: Prompt, text: str, *, nll: float, answer_tokens: int
    ) -> Prediction:
        documents, question = self.corpus.documents(given.rows), one.question
        scores = given.scores or (None,) * len(documents)
        return Prediction(
            id=question.id,
            condition=name,
            question=question.question,
            answers=question.answers,
            prediction=text,
            documents=tuple((document.id, score) for document, score in zip(documents, scores, strict=True)),
            gold=tuple(document for document, _ in one.gold_documents(self.corpus)),
            em=exact_match(text, references=question.answers),
            f1=token_f1(text, references=question.answers),
            cover_em=cover_exact_match(text, references=question.answers),
            words=len(normalize_answer(text).split()),
            nll=nll,
            answer_tokens=answer_tokens,
            input_positions=int(self.backbone.prompts.encode([replace(prompt, answer=None)]).attention.sum()),
            background_positions=self.backbone.prompts.background_positions(prompt.background),
            document_tokens=self.backbone.prompts.background_positions([document.content for document in documents]),
        )


class Paraphraser:
    """Says documents in other words from their memory, another's, or their text; scored by ROUGE-L.

    Args:
        backbone: compresses and writes.
        examples: documents with a paraphrase each.
        work: runs the batches.
        batch_size: documents per forward pass.
        max_new_tokens: length of a paraphrase at most.
    """

    CONDITIONS = ("none", "another", "gold_memory", "gold_text")

    def __init__(
        self,
        backbone: ClaraBackbone,
        examples: Sequence[SCPExample],
        *,
        work: Work,
        batch_size: int,
        max_new_tokens: int,
    ) -> None:
        self.backbone, self.examples, self.work = backbone, examples, work
        self.batch_size, self.max_new_tokens = batch_size, max_new_tokens

    def paraphrase(self) -> list[Paraphrased]:
        """Every document under every condition."""
        batches = in_batches([len(example.document) for example in self.examples], self.batch_size)
        order = [number for batch in batches for number in batch]
        found = []
        for name in self.CONDITIONS:
            rows = self.work.run(f"paraphrase {name}", batches, lambda batch, name=name: self._batch(name, batch))  # type: ignore[misc]
            ordered = sorted(zip(order, rows, strict=True), key=lambda pair: pair[0])
            found += [Paraphrased(**row) for _, row in ordered]
        return found

    @torch.no_grad()
    def _batch(self, name: str, batch: Sequence[int]) -> list[dict[str, Any]]:
        examples = [self.examples[number] for number in batch]
        shift = 1 if name == "another" else 0
        read = [self.examples[(number + shift) % len(self.examples)].document for number in batch]
        forms: dict[str, Callable[[str], tuple[Background, ...]]] = {
            "none": lambda text: (),
            "gold_text": lambda text: (text,),
        }
        template = self.backbone.prompts.template.paraphrase
        prompts = [Prompt(template, forms.get(name, _in_memory)(text)) for text in read]
        memory = self.backbone.compress(read) if name not in forms else None
        texts = self.backbone.generate(prompts, memory, max_new_tokens=self.max_new_tokens)
        return [
            asdict(
                Paraphrased(
                    id=example.id,
                    condition=name,
                    reference=str(example.paraphrase),
                    prediction=text,
                    rouge_l=rouge_l(text, reference=str(example.paraphrase)),
                    words=len(text.split()),
                )
            )
            for example, text in zip(examples, texts, strict=True)
        ]


def background(backbone: ClaraBackbone, corpus: Corpus, form: str, rows: Sequence[int]) -> tuple[Background, ...]:
    """Documents in one of the forms of a condition."""
    if form == "memory":
        return (MEMORY,) * len(rows)
    texts = [document.content for document in corpus.documents(rows)]
    if form == "tokens":
        return tuple(backbone.standing_tokens(texts)) if texts else ()
    return tuple(texts)


def _in_memory(text: str) -> tuple[Background, ...]:
    return (MEMORY,)


def prediction_of(row: dict[str, Any]) -> Prediction:
    """A prediction from plain values of JSON: of a journal, or of ``predictions.jsonl``."""
    pairs = [(each["id"], each["score"]) if isinstance(each, dict) else tuple(each) for each in row["documents"]]
    lists = {"documents": tuple(pairs), "answers": tuple(row["answers"]), "gold": tuple(row["gold"])}
    return Prediction(**row | lists)
