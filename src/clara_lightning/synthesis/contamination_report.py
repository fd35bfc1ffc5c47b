"""What was found of evaluation files in training data, as figures, examples and words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from clara_lightning.synthesis.contamination import Against, EvaluationFile, Hit

MOST_EXAMPLES = 20


@dataclass
class FileFigures:
    """Of one evaluation file.

    Attributes:
        questions: that it has.
        passages: different gold passages of five words or more that it has.
        documents: passages of the training documents that were left out because of it.
        generated: generated questions that were dropped because of it.
        document_examples: the first of these documents: id, the file's question, words in common.
        question_examples: the first of these questions: the question, the file's question, words in common.
    """

    questions: int
    passages: int
    documents: int = 0
    generated: int = 0
    document_examples: list[dict[str, str]] = field(default_factory=list)
    question_examples: list[dict[str, str]] = field(default_factory=list)


@dataclass
class ContaminationReport:
    """Figures by evaluation file, counted while documents are chosen and questions made.

    Attributes:
        against: what is compared.
        ngram: so many words in common are a hit.
        files: by name.
    """

    against: Against
    ngram: int
    files: dict[str, FileFigures]

    @classmethod
    def of(cls, files: Sequence[EvaluationFile], *, against: Against, ngram: int) -> ContaminationReport:
        """A report in which nothing is counted yet."""
        return cls(against, ngram, {file.name: FileFigures(file.questions, file.passages) for file in files})

    def add_document(self, id: str, hit: Hit) -> None:
        """Count a document that is left out, by its id."""
        figures = self.files[hit.file]
        figures.documents += 1
        if len(figures.document_examples) < MOST_EXAMPLES:
            figures.document_examples.append({"document": id, "id": hit.id, "words": hit.words})

    def add_question(self, question: str, hit: Hit) -> None:
        """Count a generated question that is dropped."""
        figures = self.files[hit.file]
        figures.generated += 1
        if len(figures.question_examples) < MOST_EXAMPLES:
            figures.question_examples.append({"question": question, "id": hit.id, "words": hit.words})

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> ContaminationReport:
        """The way back from :meth:`to_json`."""
        return cls(row["against"], row["ngram"], {name: FileFigures(**file) for name, file in row["files"].items()})

    def sentences(self) -> list[str]:
        """What was compared and found, in a line for documents and one for questions, as far as they are compared.

        Example:
            >>> report = ContaminationReport.of([EvaluationFile("dev.jsonl", 90, 80)], against="both", ngram=13)
            >>> report.add_document("d1", Hit("dev.jsonl", "q7", "..."))
            >>> print("\\n".join(report.sentences()))
            1 document left out for 13 words in common with one of 80 gold passages: dev.jsonl 1
            no generated question is one of 90 in dev.jsonl, or has 13 words in common with it
        """
        lines = []
        if self.against != "questions":
            lines.append(self._of_documents())
        if self.against != "passages":
            lines.append(self._of_questions())
        return lines

    def _of_documents(self) -> str:
        passages = sum(file.passages for file in self.files.values())
        if not passages:
            return f"documents were not compared: no gold passage of five words or more in {', '.join(self.files)}"
        found = {name: file.documents for name, file in self.files.items() if file.documents}
        common = f"{self.ngram} words in common with one of {passages:,} gold passages"
        if not found:
            return f"no document has {common} of {', '.join(self.files)}"
        return f"{_several(found, 'document')} left out for {common}: {_listed(found)}"

    def _of_questions(self) -> str:
        questions = sum(file.questions for file in self.files.values())
        found = {name: file.generated for name, file in self.files.items() if file.generated}
        if not found:
            one = f"one of {questions:,} in {', '.join(self.files)}"
            return f"no generated question is {one}, or has {self.ngram} words in common with it"
        return f"{_several(found, 'generated question')} dropped for {questions:,} of evaluation: {_listed(found)}"


def _several(found: Mapping[str, int], what: str) -> str:
    count = Counter(found).total()
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _listed(found: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in found.items())
