"""What an example of training asks of the generator: every stage's way from an example to its prompt."""

from __future__ import annotations

from dataclasses import replace

from clara_lightning.data.examples import ReadingExample
from clara_lightning.data.prompts import MEMORY, Prompt, PromptTemplate
from clara_lightning.data.records import Question


def reading_request(example: ReadingExample, *, template: PromptTemplate) -> Prompt:
    """Stages 1 and 2: what the example asks, from the memory of its documents.

    Args:
        example: what a DataModule made of a row.
        template: the words around background and question.
    """
    background = (MEMORY,) * len(example.documents)
    return Prompt(getattr(template, example.task), background, example.answer, example.question or None)


def in_words(request: Prompt, example: ReadingExample) -> Prompt:
    """The same request with the documents themselves in the place of their memory."""
    return replace(request, background=example.documents)


def answering_request(question: Question, *, template: PromptTemplate, documents: int) -> Prompt:
    """Stage 3: the question, from the memory of the documents that are taken for it; the first answer is the target.

    Args:
        question: with at least one answer.
        template: the words around background and question.
        documents: how many are taken.
    """
    return Prompt(template.question, (MEMORY,) * documents, question.answers[0], question.question)
