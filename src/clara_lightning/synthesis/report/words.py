"""What the figures say in plain words: a headline, and what a reader should look at before training on the data.

The limits are rules of thumb of this project, not results of a study.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from clara_lightning.synthesis.report.counting import Share
from clara_lightning.synthesis.report.figures import Figures
from clara_lightning.synthesis.report.text import counted, number, percent, shown

Mark = Literal["yes", "no", "unsure"]
MARKS: Mapping[Mark, str] = {"yes": "✓", "no": "✗", "unsure": "!"}
REASON_WORDS: Mapping[str, str] = {
    "coverage": "too few of its facts are asked about",
    "no pairs": "no question passed the checks",
    "bad reply": "the teacher gave no usable answer",
    "refused": "the teacher's model refused it (too long, or a filter)",
}
LINES = 6  # of the terminal

FEW_DOCUMENTS = 30
LOW_EXACT = 0.5
HIGH_DROPPED = 0.5
LOW_WORDS = 0.3
HIGH_REPEATED = 0.1
SHORT_PARAPHRASE = 60  # percent of the document's words
LONG_PARAPHRASE = 160


class Finding(NamedTuple):
    """One thing that the figures say.

    Attributes:
        mark: ``no`` is bad, ``unsure`` is to be looked at, ``yes`` is good.
        text: in one sentence.
        evidence: the figures that it rests on, and what may help.
    """

    mark: Mark
    text: str
    evidence: str


def headline(figures: Figures) -> list[str]:
    """What came out, in up to two sentences.

    Args:
        figures: of the synthesis.
    """
    if not figures.documents:
        return ["No documents: there was nothing to ask about."]
    questions = figures.questions
    if not figures.accepted.count:
        return [f"None of {counted(figures.documents, 'document')} gave supervision."]
    simple, complex_ = number(questions.simple.mean), number(questions.complex.mean)
    gave = (
        f"{figures.accepted.count:,} of {counted(figures.documents, 'document')} gave supervision: "
        f"on average {simple} simple and {complex_} complex questions."
    )
    coverage = figures.coverage.accepted
    if not coverage.mean.count:
        return [gave]
    rounds, words = number(figures.coverage.rounds_each.mean), percent(figures.coverage.accepted_words.mean.mean)
    return [
        gave,
        f"{percent(coverage.mean.mean)} of their facts are asked about by the teacher's count after {rounds} rounds; "
        f"{words} of their content words stand in a question or an answer.",
    ]


def findings(figures: Figures) -> list[Finding]:
    """What to look at, the bad first; one good word where there is nothing."""
    if not figures.documents:
        return []
    found = [*_rejected(figures), *_few_questions(figures), *_answers(figures), *_paraphrases(figures)]
    found += [*_repeated(figures), *_words(figures), *_few_documents(figures)]
    order: list[Mark] = ["no", "unsure"]
    return sorted(found, key=lambda one: order.index(one.mark)) or [
        Finding("yes", "Nothing stands out.", "No figure is beyond the limits that this report warns at. Read samples.")
    ]


def summary_lines(figures: Figures) -> list[str]:
    """The same for a terminal: three to six lines of plain text; one where there was no document."""
    lines = headline(figures)
    if not figures.documents:
        return lines
    lines.append(_answers_line(figures))
    if figures.paraphrases.kept.of:
        kept = figures.paraphrases.kept
        lines.append(f"{kept.count:,} of {counted(kept.of, 'paraphrase')} passed ({percent(kept.share)}).")
    told = [f"{MARKS[one.mark]} {one.text}" for one in findings(figures)]
    room = LINES - len(lines)
    if len(told) > room:
        rest = len(told) - room + 1
        told = [*told[: room - 1], f"{told[room - 1]} {counted(rest - 1, 'more warning')} in the report."]
    return [shown(line) for line in lines + told]


def _answers_line(figures: Figures) -> str:
    exact, teacher = (sum(each.found[how] for each in figures.questions.types.values()) for how in ("exact", "teacher"))
    dropped = figures.questions.dropped
    asked = f"{counted(dropped.of, 'question')} in all, {dropped.count:,} dropped ({percent(dropped.share)})"
    if not exact + teacher:
        return f"{asked}."
    share = percent(exact / (exact + teacher))
    return f"{asked}; {share} of the kept answers stand in their document word for word."


def _rejected(figures: Figures) -> Iterator[Finding]:
    rejected = Share(figures.documents - figures.accepted.count, figures.documents, None)
    share = rejected.count / rejected.of
    if share <= 0.2:
        return
    by_count = sorted(figures.rejected.items(), key=lambda item: -item[1].count)
    evidence = "; ".join(f"{REASON_WORDS[name]} ({each.count:,})" for name, each in by_count if each.count)
    said = f"({percent(share)})"
    if share <= 0.5:
        yield Finding("unsure", f"Many documents were rejected {said}.", f"Why: {evidence}.")
    elif by_count[0][0] == "refused":
        yield Finding("no", f"Most documents were rejected {said}: the model refuses them.", f"Why: {evidence}.")
    else:
        text = f"Most documents were rejected {said}: the teacher is not good enough for this."
        yield Finding("no", text, f"Why: {evidence}.")


def _few_questions(figures: Figures) -> Iterator[Finding]:
    """Less than half of what published data have."""
    for kind, each in (("simple", figures.questions.simple), ("complex", figures.questions.complex)):
        published = figures.questions.published[kind]
        if each.mean is not None and each.mean < published / 2:
            yield Finding(
                "unsure",
                f"Few {kind} questions: {number(each.mean)} a document." if each.mean else f"No {kind} questions.",
                f"The published data have {published}. Longer documents hold more facts to ask about.",
            )


def _answers(figures: Figures) -> Iterator[Finding]:
    found = figures.questions.types["simple"].found
    kept = found["exact"] + found["teacher"]
    if kept and found["exact"] / kept < LOW_EXACT:
        yield Finding(
            "unsure",
            f"Only {percent(found['exact'] / kept)} of the answers to simple questions stand in their document.",
            f"{found['teacher']:,} of {kept:,} rest on the teacher's verdict alone: read some of them.",
        )
    dropped = figures.questions.dropped
    if dropped.share is not None and dropped.share > HIGH_DROPPED:
        reason, most = next(iter(figures.questions.reasons.items()))
        yield Finding(
            "unsure",
            f"{percent(dropped.share)} of the questions were dropped.",
            f"{dropped.count:,} of {dropped.of:,}, most often: {reason} ({most.count:,}).",
        )


def _paraphrases(figures: Figures) -> Iterator[Finding]:
    kept, length = figures.paraphrases.kept, figures.paraphrases.length
    if kept.share is not None and kept.share < 0.5:
        faults = figures.paraphrases.faults.top
        why = f", most often: {faults[0].phrase}" if faults else ""
        yield Finding(
            "no",
            f"Paraphrases mostly failed: {percent(kept.share)} passed.",
            f"{kept.of - kept.count:,} of {kept.of:,} failed{why}.",
        )
    if length.mean is not None and not SHORT_PARAPHRASE <= length.mean <= LONG_PARAPHRASE:
        how = "short" if length.mean < SHORT_PARAPHRASE else "long"
        yield Finding(
            "unsure",
            f"Paraphrases are {how}: on average {length.mean:.0f} % of the document's words.",
            "A paraphrase says all that its document says, in about as many words.",
        )


def _repeated(figures: Figures) -> Iterator[Finding]:
    repeated = figures.questions.repeated
    if repeated.questions.share is not None and repeated.questions.share > HIGH_REPEATED:
        question, documents = repeated.top[0]
        yield Finding(
            "unsure",
            f"{percent(repeated.questions.share)} of the questions are asked of several documents in the same words.",
            f"They may not say what they are about; most often “{question}” ({documents:,} documents).",
        )


def _words(figures: Figures) -> Iterator[Finding]:
    words, facts = figures.coverage.accepted_words.mean.mean, figures.coverage.accepted.mean.mean
    if words is not None and facts is not None and words < LOW_WORDS:
        yield Finding(
            "unsure",
            f"Only {percent(words)} of the content words stand in a question or an answer.",
            f"The teacher counts {percent(facts)} of the facts as asked about: its count may be too kind.",
        )


def _few_documents(figures: Figures) -> Iterator[Finding]:
    if figures.documents < FEW_DOCUMENTS:
        yield Finding(
            "unsure",
            f"The figures rest on {counted(figures.documents, 'document')} only.",
            "Shares of so few documents may look quite different for others.",
        )
