"""Rankings of all questions by all retrievers, at the scale of the corpus and over each question's candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clara_lightning.evaluation.corpus import Asked, Corpus
from clara_lightning.evaluation.costs import Meter
from clara_lightning.evaluation.results import RankedQuestion
from clara_lightning.evaluation.retrievers import Ranking, Retriever
from clara_lightning.evaluation.work import Work

CORPUS, CANDIDATES = "corpus", "candidates"
DEPTH = 100
SHOWN = 20  # documents of a ranking that rankings.jsonl names


@dataclass(frozen=True)
class Rankings:
    """Rankings of the questions, in their order, by retriever.

    Attributes:
        corpus: the best documents of the whole corpus; empty where it was not searched.
        candidates: each question's candidates; empty where there is nothing to choose from.
    """

    corpus: dict[str, list[Ranking]]
    candidates: dict[str, list[Ranking]]

    @property
    def normal(self) -> dict[str, list[Ranking]]:
        """What a user would get: the corpus's best where it was searched, else the candidates'."""
        return self.corpus or self.candidates

    def scales(self) -> dict[str, dict[str, list[Ranking]]]:
        """Those that were ranked, by name."""
        return {name: found for name, found in ((CORPUS, self.corpus), (CANDIDATES, self.candidates)) if found}


def rank_all(
    retrievers: Mapping[str, Retriever],
    asked: Sequence[Asked],
    *,
    whole_corpus: bool,
    work: Work,
    meter: Meter,
    batch_size: int,
) -> Rankings:
    """Rank at every scale there is.

    Args:
        retrievers: by name.
        asked: the questions.
        whole_corpus: whether the corpus is searched.
        work: runs the batches.
        meter: of the time that searching takes.
        batch_size: questions at a time.
    """
    chosen = any(len(one.candidates) > 1 for one in asked)
    batches = [range(start, min(start + batch_size, len(asked))) for start in range(0, len(asked), batch_size)]

    def ranked(scale: str, name: str, retriever: Retriever) -> list[Ranking]:
        def do(batch: range) -> list[Any]:
            part = [asked[number] for number in batch]
            if scale == CANDIDATES:
                return [[one.rows, one.scores] for one in retriever.rank(part)]
            with meter.measure(f"search:{name}", items=len(part)):
                found = retriever.search(part, depth=DEPTH)
            return [[one.rows, one.scores] for one in found]

        rows = work.run(f"rank {scale} by {name}", batches, do)
        return [Ranking(tuple(documents), tuple(scores)) for documents, scores in rows]

    def by_retriever(scale: str, wanted: bool) -> dict[str, list[Ranking]]:
        return {name: ranked(scale, name, each) for name, each in retrievers.items()} if wanted else {}

    return Rankings(by_retriever(CORPUS, whole_corpus), by_retriever(CANDIDATES, chosen))


def describe(
    scale: str, name: str, rankings: Sequence[Ranking], asked: Sequence[Asked], corpus: Corpus
) -> list[RankedQuestion]:
    """Rankings as lines of ``rankings.jsonl``."""
    described = []
    for ranking, one in zip(rankings, asked, strict=True):
        place = {row: rank for rank, row in enumerate(ranking.rows, start=1)}
        best = ranking.top(SHOWN)
        ids = [document.id for document in corpus.documents(best.rows)]
        gold = one.gold_documents(corpus)
        described.append(
            RankedQuestion(
                id=one.question.id,
                scale=scale,
                retriever=name,
                documents=tuple(zip(ids, best.scores, strict=True)),
                gold=tuple(document for document, _ in gold),
                gold_ranks=tuple(min((place[row] for row in rows if row in place), default=None) for _, rows in gold),
                ranked=len(ranking.rows),
            )
        )
    return described
