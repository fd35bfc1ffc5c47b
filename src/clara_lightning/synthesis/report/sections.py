"""The figures as sections of tables with bars, and a word on how to read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from clara_lightning.synthesis.report.counting import Spread
from clara_lightning.synthesis.report.coverage import Levels
from clara_lightning.synthesis.report.figures import Figures
from clara_lightning.synthesis.report.questions import DroppedFigures, QuestionFigures
from clara_lightning.synthesis.report.text import number, percent
from clara_lightning.synthesis.report.words import REASON_WORDS


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        cells: texts; the first is the row's name.
        bar: lengths of the parts of its bar, in percent of the widest.
        tick: where a line crosses the bar, likewise.
    """

    cells: Sequence[str]
    bar: Sequence[float] = ()
    tick: float | None = None


class Table(NamedTuple):
    """A table.

    Attributes:
        caption: what it shows; may be empty.
        head: names of the columns.
        rows: the rows.
        bars: what the parts of the bars are; empty where rows have none.
        text: whether cells are texts, and not figures.
        folded: whether it is unfolded by hand.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Row]
    bars: Sequence[str] = ()
    text: bool = False
    folded: bool = False


class Section(NamedTuple):
    """Tables about one thing, and how to read them."""

    title: str
    text: str
    tables: Sequence[Table]


def sections(figures: Figures) -> list[Section]:
    """All sections that have something to show.

    Args:
        figures: of the synthesis.
    """
    made = [_documents(figures), _coverage(figures), _questions(figures), _wording(figures), _paraphrases(figures)]
    kept = [section._replace(tables=[table for table in section.tables if table.rows]) for section in made]
    return [section for section in kept if section.tables]


def widths(values: Iterable[float], *, widest: float) -> tuple[float, ...]:
    """Values as percent of the widest, to a hundredth.

    Args:
        values: none of them negative.
        widest: what is 100.

    Example:
        >>> widths([1, 2.5], widest=4)
        (25.0, 62.5)
    """
    return tuple(round(100 * value / widest, 2) if widest else 0.0 for value in values)


def _documents(figures: Figures) -> Section:
    shares = {"accepted": figures.accepted} | {
        f"rejected: {REASON_WORDS[name]}": each for name, each in figures.rejected.items()
    }
    rows = [
        Row([name, number(each.count), percent(each.share)], widths([each.count], widest=figures.documents))
        for name, each in shares.items()
        if each.count
    ]
    text = "A document is accepted where enough of it is asked about, and questions are left after every check."
    return Section("Documents", text, [Table("", ["what became of them", "documents", "share"], rows, ["share"])])


def _coverage(figures: Figures) -> Section:
    coverage = figures.coverage
    rows = [
        Row(
            [str(one.round), number(one.documents), number(one.asked), number(one.kept), percent(one.coverage.mean)],
            widths([one.coverage.mean or 0.0], widest=1),
        )
        for one in coverage.rounds
    ]
    head = ["round", "documents", "asked", "kept", "covered"]
    text = (
        "The teacher lists a document's facts and says which of them the kept questions ask about. Only documents that "
        "were not covered enough had another round, so later rows are of harder documents. Content words are counted "
        "without the teacher."
    )
    tables = [
        Table("Round by round", head, rows, ["covered"]),
        _levels("Facts asked about in the end", coverage.accepted, coverage.rejected),
        _levels("Content words in a question or an answer", coverage.accepted_words, coverage.rejected_words),
    ]
    return Section("Coverage", text, tables)


def _levels(caption: str, accepted: Levels, rejected: Levels) -> Table:
    both = list(zip(accepted.tenths, rejected.tenths, strict=True))
    widest = max(map(sum, both))
    found = [tenth for tenth, numbers in enumerate(both) if any(numbers)]
    rows = []
    for tenth in range(found[-1], found[0] - 1, -1) if found else []:
        cells = [f"{10 * tenth} to {10 * tenth + 10} %", *map(number, both[tenth])]
        rows.append(Row(cells, widths(both[tenth], widest=widest)))
    means = ", ".join(
        f"{name} {percent(levels.mean.mean)}"
        for name, levels in (("accepted", accepted), ("rejected", rejected))
        if levels.mean.count
    )
    return Table(f"{caption} (mean: {means})", ["share", "accepted", "rejected"], rows, ["accepted", "rejected"])


def _questions(figures: Figures) -> Section:
    questions = figures.questions
    text = (
        "Types are counted over accepted documents: in all, and for each of them beside the published data (CLaRa "
        "paper, section 3.1). Where answers were found, and what was dropped, is counted over every document."
    )
    dropped = [_dropped(reason, each) for reason, each in questions.reasons.items()]
    return Section("Questions", text, [_types(questions), *_checks(questions), *dropped])


def _types(questions: QuestionFigures) -> Table:
    """Simple and complex questions, and the types of the complex ones below these."""
    total = sum(each.count for each in questions.types.values())
    kinds = [(name, each.count, each.each.mean) for name, each in questions.types.items()]
    kinds.insert(1, ("complex", total - kinds[0][1], questions.complex.mean))
    widest = max([each or 0.0 for _, _, each in kinds] + list(questions.published.values()))
    rows = []
    for name, count, each in kinds if total else []:
        published = questions.published.get(name)
        label = name if published else f"\N{NO-BREAK SPACE}\N{NO-BREAK SPACE}{name}"
        cells = [label, number(count), number(each), number(published), percent(count / total)]
        tick = widths([published], widest=widest)[0] if published else None
        rows.append(Row(cells, widths([each or 0.0], widest=widest), tick))
    return Table("Types", ["type", "pairs", "each", "published", "share"], rows, ["each", "published"])


def _checks(questions: QuestionFigures) -> list[Table]:
    parts = ("exact", "teacher", "dropped")
    counts = {name: [each.found[part] for part in parts] for name, each in questions.types.items()}
    found = [
        Row([name, *map(number, each)], widths(each, widest=sum(each))) for name, each in counts.items() if any(each)
    ]
    why = [
        Row([reason, number(each.count), percent(each.share)], widths([each.count], widest=questions.dropped.count))
        for reason, each in questions.reasons.items()
    ]
    names = ["word for word", "teacher's verdict", "dropped"]
    return [
        Table("Where the answers were found", ["type", *names], found, names),
        Table("Why questions were dropped", ["why", "questions", "share"], why, ["share"]),
    ]


def _dropped(reason: str, dropped: DroppedFigures) -> Table:
    rows = [
        Row([one.question, one.answer or "-", one.type, one.detail or "-", one.document]) for one in dropped.examples
    ]
    head = ["question", "answer", "type", "about it", "document"]
    return Table(f"Examples: {reason}", head, rows, text=True, folded=True)


def _wording(figures: Figures) -> Section:
    text = "Of accepted documents, unless a row says otherwise. Words are what spaces part."
    return Section("Wording", text, [_lengths(figures.lengths), *_phrasing(figures.questions)])


def _lengths(lengths: Mapping[str, Spread]) -> Table:
    widest = max(spread.p90 or 0 for spread in lengths.values())
    rows = []
    for name, each in lengths.items():
        if each.median is not None and each.p90 is not None:
            cells = [name, *map(number, (each.count, each.mean, each.median, each.p90, each.max))]
            rows.append(Row(cells, widths([each.median, each.p90 - each.median], widest=widest)))
    return Table("Lengths in words", ["text", "texts", "mean", "median", "p90", "longest"], rows, ["median", "p90"])


def _phrasing(questions: QuestionFigures) -> list[Table]:
    openings, repeated = questions.openings, questions.repeated
    begin = [
        Row([each.phrase, "".join(each.examples), percent(each.share)], widths([each.share or 0.0], widest=1))
        for each in openings.top
    ]
    sampled = openings.looked_at < openings.total
    looked_at = f" ({openings.looked_at:,} of {openings.total:,} looked at)" if sampled else ""
    same = [Row([question, number(documents)]) for question, documents in repeated.top]
    share, of = repeated.questions, "" if repeated.looked_at == 1 else f" of a sample of {percent(repeated.looked_at)}"
    told = f"{share.count:,} of {share.of:,} questions{of}, {percent(share.share)}"
    return [
        Table(f"How questions begin{looked_at}", ["words", "for example", "share"], begin, ["share"], text=True),
        Table(f"Questions that several documents have in the same words: {told}", ["question", "documents"], same),
    ]


def _paraphrases(figures: Figures) -> Section:
    paraphrases = figures.paraphrases
    kept, length = paraphrases.kept, paraphrases.length
    became = [("passed", kept.count), ("failed", kept.of - kept.count)]
    rows = [
        Row([name, number(count), percent(count / kept.of)], widths([count], widest=kept.of))
        for name, count in became
        if kept.of
    ]
    spread = [f"{value} %" for value in (length.median, length.p90, length.max)]
    lengths = [Row(["words beside the document's", f"{length.mean:.0f} %", *spread])] if length.mean is not None else []
    faults = [
        Row([each.phrase, " | ".join(each.examples[:2]), number(each.count), percent(each.share)])
        for each in paraphrases.faults.top
    ]
    tables = [
        Table("", ["what became of them", "paraphrases", "share"], rows, ["share"]),
        Table("Length", ["length", "mean", "median", "p90", "longest"], lengths),
        Table("What was wrong with the last one", ["fault", "for example", "times", "share"], faults, text=True),
    ]
    text = "Of all documents that one was written for. A paraphrase passes where nothing is missing and nothing added."
    return Section("Paraphrases", text, tables)
