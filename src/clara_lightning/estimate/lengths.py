"""How long documents, prompts and answers are: measured on the training file, or assumed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase

from clara_lightning.data.examples import ReadingExample
from clara_lightning.data.modules import InstructDataModule, SCPDataModule
from clara_lightning.data.prompts import IGNORED, Prompt, PromptEncoder, document_ids
from clara_lightning.data.readers import read_questions, read_scp
from clara_lightning.data.records import Question
from clara_lightning.data.requests import answering_request, reading_request
from clara_lightning.estimate.plan import Plan

SAMPLE = 1000  # rows of the training file that are looked at
CHARACTERS_PER_TOKEN = 4  # English, where the tokenizer is not at hand


@dataclass(frozen=True)
class Assumptions:
    """Lengths in tokens where there is no training file, and its number of rows.

    Attributes:
        question_tokens: of a question.
        answer_tokens: of what the generator learns to write.
        template_tokens: of the words around them, the chat template's included.
        rows: of the training file.
    """

    question_tokens: int = 24
    answer_tokens: int = 64
    template_tokens: int = 64
    rows: int | None = None


class BatchLengths(NamedTuple):
    """Sizes of one micro-batch.

    Attributes:
        document_tokens: of a document, at most the limit: their mean, or the longest where batches are padded.
        prompt_tokens: the same of a prompt, with memory and answer.
        shared_tokens: that all prompts begin with, where these are read once.
        answer_tokens: answer tokens of all prompts.
        question_tokens: of a question, as of a document.
        documents: documents of all prompts.
        candidates: candidates of a question.
    """

    document_tokens: float
    prompt_tokens: float
    shared_tokens: float
    answer_tokens: float
    question_tokens: float
    documents: float
    candidates: float


class Lengths(NamedTuple):
    """Micro-batches of a run: the longest decides memory, the mean time.

    Attributes:
        longest: the greatest of every size.
        mean: their means.
        rows: rows of the training file; None where unknown.
        note: where the figures are from.
    """

    longest: BatchLengths
    mean: BatchLengths
    rows: int | None
    note: str


def lengths_of(plan: Plan, tokenizer: PreTrainedTokenizerBase | None, assumed: Assumptions, *, padded: bool) -> Lengths:
    """Measure a sample of the training file where it exists, else assume.

    Args:
        plan: the run.
        tokenizer: of the backbone, where it is at hand.
        assumed: where there is no file.
        padded: whether every sequence of a batch takes as much as its longest.
    """
    path = plan.data.get("train")
    if plan.task == "encoding":
        width = plan.memory.document_tokens
        batch = BatchLengths(width, 0, 0, 0, 0, plan.batch_size, 0)
        return Lengths(batch, batch, None, f"every document is taken to have {width} tokens or more")
    if not path or not _exists(str(path)):
        return _assumed(plan, assumed, str(path))
    rows, count = _sample(plan, str(path))
    examples = [_example(plan, row, random.Random(number)) for number, row in enumerate(rows)]
    random.Random(0).shuffle(examples)
    groups = [examples[n : n + plan.batch_size] for n in range(0, len(examples), plan.batch_size)]
    whole = [group for group in groups if len(group) == plan.batch_size] or groups
    ruler = _Ruler(plan, tokenizer, padded=padded)
    batches = [ruler.batch(group) for group in whole]
    words = (
        "its own tokenizer" if tokenizer else f"{CHARACTERS_PER_TOKEN} characters a token: the tokenizer is not here"
    )
    note = f"lengths of {len(examples)} of the {count} rows of {path}, {words}"
    return Lengths(
        BatchLengths(*map(max, zip(*batches, strict=True))),
        BatchLengths(*(sum(values) / len(values) for values in zip(*batches, strict=True))),
        count,
        note,
    )


def _exists(path: str) -> bool:
    return not path.startswith("hf://") and Path(path).exists()


def _assumed(plan: Plan, assumed: Assumptions, path: str) -> Lengths:
    memory = plan.documents * (plan.memory.tokens + 1)  # one token between memories
    prompt = assumed.template_tokens + assumed.question_tokens + memory + assumed.answer_tokens
    batch = BatchLengths(
        document_tokens=plan.memory.document_tokens,
        prompt_tokens=prompt,
        shared_tokens=0,
        answer_tokens=assumed.answer_tokens * plan.batch_size,
        question_tokens=assumed.question_tokens,
        documents=plan.batch_size * plan.documents,
        candidates=plan.candidates,
    )
    note = (
        f"no training file {path}: assumed are documents of {plan.memory.document_tokens} tokens or more, questions of "
        f"{assumed.question_tokens}, answers of {assumed.answer_tokens}, {assumed.template_tokens} around them "
        "(--question-tokens, --answer-tokens, --template-tokens)"
    )
    return Lengths(batch, batch, assumed.rows, note)


def _sample(plan: Plan, path: str) -> tuple[list[Any], int]:
    """The first rows of a file, and the number of all."""
    skip = int(plan.data.get("skip_bad_rows") or 0)
    stream: Iterator[Any] = (
        read_scp(path, skip_bad_rows=skip)
        if plan.task == "pretraining"
        else read_questions(path, skip_bad_rows=skip, require_answers=True)
    )
    rows = list(islice(stream, SAMPLE))
    return rows, len(rows) + sum(1 for _ in stream)


def _example(plan: Plan, row: Any, draw: random.Random) -> ReadingExample | Question:
    """What the DataModule makes of a row."""
    if plan.task == "pretraining":
        shares = {key: value for key, value in plan.data.items() if key.endswith("_share")}
        return SCPDataModule(**shares).train_example(row, draw)
    if plan.task == "instruction":
        return InstructDataModule(documents_per_question=plan.documents).train_example(row, draw)
    question: Question = row
    return question


class _Ruler:
    """Measures batches of examples in tokens."""

    def __init__(self, plan: Plan, tokenizer: PreTrainedTokenizerBase | None, *, padded: bool) -> None:
        self.plan = plan
        self.padded = padded
        self.tokenizer = tokenizer
        self.encoder = tokenizer and PromptEncoder(
            tokenizer,
            template=plan.prompt,
            memory_tokens=plan.memory.tokens,
            text_tokens=plan.memory.document_tokens,
        )

    def batch(self, examples: Sequence[ReadingExample | Question]) -> BatchLengths:
        """Sizes of one batch."""
        prompts = [_prompt(self.plan, example) for example in examples]
        widths, answers = zip(*map(self._prompt_length, prompts), strict=True)
        questions = [example.question for example in examples]
        texts = [text for example in examples for text in _documents(example)]
        joint = self.plan.task == "joint"
        given = max((len(_documents(example)) for example in examples), default=0)
        return BatchLengths(
            document_tokens=self._each([self._tokens(text) for text in texts]),
            prompt_tokens=self._each(widths),
            shared_tokens=0 if self.padded or self.encoder is None else len(self.encoder.prefix(prompts)),
            answer_tokens=sum(answers),
            question_tokens=self._each([self._tokens(text) for text in questions]),
            documents=len(examples) if joint else len(texts),
            candidates=(given if self.plan.candidates_compressed or not self.plan.candidates else 0)
            or self.plan.candidates,
        )

    def _each(self, lengths: Sequence[int]) -> float:
        if not lengths:
            return 1
        return max(lengths) if self.padded else sum(lengths) / len(lengths)

    def _tokens(self, text: str) -> int:
        """Of a text that is read, with what is cut off left out."""
        limit = self.plan.memory.document_tokens
        if self.tokenizer is None:
            return min(limit, -(-len(text) // CHARACTERS_PER_TOKEN))
        return min(limit, len(document_ids(self.tokenizer, [text])[0]))

    def _prompt_length(self, prompt: Prompt) -> tuple[int, int]:
        """Tokens of a prompt with its answer, and of the answer."""
        if self.encoder is not None:
            encoded = self.encoder.encode([prompt])
            return encoded.ids.shape[1], int((encoded.labels != IGNORED).sum())
        answer = -(-len(prompt.answer or "") // CHARACTERS_PER_TOKEN) + 1
        words = len(self.plan.prompt.system) + len(prompt.text) + len(prompt.question or "")
        frame = 16  # a chat template's marks
        memory = len(prompt.background) * (self.plan.memory.tokens + 1)
        return frame + words // CHARACTERS_PER_TOKEN + memory + answer, answer


def _documents(example: ReadingExample | Question) -> Sequence[str]:
    if isinstance(example, ReadingExample):
        return example.documents
    return [passage.content for passage in example.passages]


def _prompt(plan: Plan, example: ReadingExample | Question) -> Prompt:
    """The prompt that the generator reads in training."""
    if isinstance(example, Question):
        return answering_request(example, template=plan.prompt, documents=plan.documents)
    if example.is_unsaid:  # which words it will be the compressor says; about so many
        words = example.documents[0].split()[: plan.memory.tokens * max(1, plan.memory.words_per_token)]
        example = replace(example, answer=" ".join(words))
    return reading_request(example, template=plan.prompt)
