"""Candidates from a store by several sources at once, and what of them is read ahead of the step.

Shapes: B questions, N candidates, X rows that were read, L memory tokens, D hidden size.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from clara_lightning.backbone.backbone import Compressed
from clara_lightning.corpus.candidates import Candidates, GoldDocuments
from clara_lightning.corpus.index import Index
from clara_lightning.corpus.lexical import LexicalIndex, best_rows
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.loading import Batch
from clara_lightning.data.records import Question
from clara_lightning.errors import ClaraError

SETTING = "model.init_args.candidates"


@dataclass(frozen=True, kw_only=True)
class CandidateMix:
    """Where the candidates of a question come from.

    The first four are shares of their number, of which only the ratios count. A document that two sources find is
    taken once; what a source cannot fill the others do.

    Args:
        search: the best of the whole store by the present query.
        bm25: the best by words; the store needs a BM25 index.
        given: the question's own passages, in their order; their ids must be in the store.
        random: drawn anew in each epoch.
        gold: in training, gold documents that are not among them take the last places, with this probability.
        final_gold: the same at the last step, which it nears in a straight line; by default it stays.

    Raises:
        ClaraError: a share is negative, none is above 0, or a probability is out of range.
    """

    search: float = 0.0
    bm25: float = 0.0
    given: float = 0.0
    random: float = 0.0
    gold: float = 0.0
    final_gold: float | None = None

    def __post_init__(self) -> None:
        for name, share in self.shares.items():
            if share < 0:
                raise ClaraError(f"{SETTING}.{name} must be >= 0, got {share}")
        if not any(self.shares.values()):
            raise ClaraError(f"{SETTING}: one of {', '.join(self.shares)} must be above 0")
        for name, value in (("gold", self.gold), ("final_gold", self.final_gold)):
            if value is not None and not 0 <= value <= 1:
                raise ClaraError(f"{SETTING}.{name} must be between 0 and 1, got {value}")

    @property
    def shares(self) -> dict[str, float]:
        """By source."""
        return {name: asdict(self)[name] for name in ("search", "bm25", "given", "random")}

    def gold_at(self, progress: float) -> float:
        """The probability of gold documents, from 0 at the first step to 1 at the last."""
        return self.gold + progress * ((self.gold if self.final_gold is None else self.final_gold) - self.gold)

    def places(self, num_candidates: int) -> dict[str, int]:
        """How many candidates each source has: whole numbers that sum up, as near to the shares as these can be.

        Example:
            >>> CandidateMix(search=0.5, bm25=0.25, random=0.25).places(10)
            {'search': 5, 'bm25': 3, 'given': 0, 'random': 2}
        """
        total = sum(self.shares.values())
        exact = {name: num_candidates * share / total for name, share in self.shares.items()}
        found = {name: int(value) for name, value in exact.items()}
        by_rest = sorted(exact, key=lambda name: found[name] - exact[name])  # stable: of equal rests the first
        for name in by_rest[: num_candidates - sum(found.values())]:
            found[name] += 1
        return found

    def __str__(self) -> str:
        return " + ".join(name for name, share in self.shares.items() if share)


class Draft(NamedTuple):
    """What is known of a batch's candidates before its query vectors are.

    Attributes:
        chosen: rows of each question's candidates by all sources but the search.
        spare: more rows of each, that fill what the sources could not.
        gold: of each question, of each gold document, its row, or those of its chunks.
        place: where a row's memory stands in ``memory_XLD``.
        memory_XLD: memory of the chosen and of gold documents.
    """

    chosen: list[list[int]]
    spare: list[list[int]]
    gold: list[list[tuple[int, ...]]]
    place: Mapping[int, int]
    memory_XLD: Tensor


class CandidateDrafts:
    """Makes drafts: what can be done ahead of a step, and in another process.

    Args:
        store: the corpus.
        mix: where candidates come from.
        num_candidates: N.
        lexical: BM25 over the store; needed where ``mix`` has a share of it, and where its scores are wanted.
        seed: of what is drawn.
    """

    def __init__(
        self, store: LatentStore, mix: CandidateMix, *, num_candidates: int, lexical: LexicalIndex | None, seed: int
    ) -> None:
        self.store = store
        self.mix = mix
        self.num_candidates = num_candidates
        self.lexical = lexical
        self.seed = seed
        self._places = mix.places(num_candidates)

    def __call__(self, questions: Sequence[Question], epoch: int = 0) -> Draft:
        """The draft of some questions.

        Raises:
            ClaraError: a given passage or a gold document is not in the store.
        """
        gold = [self.gold_rows(question) for question in questions]
        chosen, spare = zip(*(self._choose(question, epoch) for question in questions), strict=True)
        rows = list(dict.fromkeys(chain(*chosen, *chain.from_iterable(gold))))
        return Draft(
            chosen=list(chosen),
            spare=list(spare),
            gold=gold,
            place={row: number for number, row in enumerate(rows)},
            memory_XLD=self.store.memory(rows),
        )

    def gold_rows(self, question: Question) -> list[tuple[int, ...]]:
        """Of each gold document its row, or those of its chunks."""
        ids = tuple(dict.fromkeys(question.gold_document_ids))
        return self.store.rows_of_each(ids, source=f"question {question.id!r}: gold_ids")

    def given_rows(self, question: Question) -> list[int]:
        """Rows of the question's own passages; none where they have no part."""
        if not self._places["given"]:
            return []
        ids = [passage.document_id for passage in question.passages]
        return self.store.rows_of(ids, source=f"question {question.id!r}: passages")

    def _choose(self, question: Question, epoch: int) -> tuple[list[int], list[int]]:
        draw = random.Random(f"{self.seed}-{epoch}-{question.id}")
        # Twice as many as are wanted: so many are left when all others were taken already.
        drawn = draw.sample(range(len(self.store)), min(len(self.store), 2 * self.num_candidates))
        ranked = {"given": self.given_rows(question), "bm25": self._by_words(question), "random": drawn}
        line: list[int] = []
        for name, rows in ranked.items():
            fill(line, rows, len(line) + self._places[name])
        return line, list(dict.fromkeys(chain(*ranked.values())))

    def _by_words(self, question: Question) -> list[int]:
        if not self._places["bm25"]:
            return []
        assert self.lexical is not None
        rows: list[int] = best_rows(self.lexical.scores(question.question), top_k=self.num_candidates).tolist()
        return rows


class MixedCandidates:
    """Candidates of the whole store, from several sources; see
    :class:`~clara_lightning.corpus.candidates.CandidateSource`.

    A search by the present query is exact, since the compressor is frozen.

    Args:
        drafts: what was read ahead, of batches that it did not prepare too.
        index: searches; needed where the mix has a share of it.
        by_words: whether the candidates' BM25 scores are wanted, for which ``drafts`` needs BM25.
    """

    def __init__(self, drafts: CandidateDrafts, index: Index | None, *, by_words: bool = False) -> None:
        self.drafts = drafts
        self.store = drafts.store
        self.index = index
        self.by_words = by_words

    @torch.no_grad()
    def __call__(self, questions: Sequence[Question], query: Compressed, *, gold_share: float = 0.0) -> Candidates:
        """See :class:`~clara_lightning.corpus.candidates.CandidateSource`."""
        draft = self._draft(questions)
        lines = self._lines(draft, query)
        if gold_share:
            for line, gold, drawn in zip(lines, draft.gold, torch.rand(len(lines)).tolist(), strict=True):
                if drawn < gold_share:
                    put_in(line, gold)
        memory_XLD = self._memory([row for line in lines for row in line], draft)
        gold_BN = torch.tensor([best_of_each(gold, line) for line, gold in zip(lines, draft.gold, strict=True)])
        found = Candidates(
            memory_XLD.unflatten(0, gold_BN.shape),
            torch.ones_like(gold_BN),
            gold_BN,
            torch.tensor([len(gold) for gold in draft.gold]),
            torch.tensor(lines),
            is_full=True,
            lexical_BN=self._by_words(questions, lines) if self.by_words else None,
        )
        moved: Candidates = move_data_to_device(found, query.memory_NLD.device)
        return moved

    def gold(self, questions: Sequence[Question], candidates: Candidates) -> list[GoldDocuments]:
        """See :class:`~clara_lightning.corpus.candidates.CandidateSource`: from the store, found or not."""
        draft = self._draft(questions)
        rows = [list(dict.fromkeys(chain.from_iterable(gold))) for gold in draft.gold]
        memory_XLD = self._memory([row for line in rows for row in line], draft).to(candidates.memory_BNLD)
        parts = memory_XLD.split([len(line) for line in rows])
        return [GoldDocuments(memory_NLD, tuple(line)) for memory_NLD, line in zip(parts, rows, strict=True)]

    def gold_texts(self, question: Question) -> list[str]:
        """See :class:`~clara_lightning.corpus.candidates.CandidateSource`."""
        rows = list(dict.fromkeys(chain.from_iterable(self.drafts.gold_rows(question))))
        return [document.content for document in self.store.documents(rows)]

    def _by_words(self, questions: Sequence[Question], lines: Sequence[Sequence[int]]) -> Tensor:
        assert self.drafts.lexical is not None
        scores_of = self.drafts.lexical.scores_of
        found = [scores_of(question.question, line) for question, line in zip(questions, lines, strict=True)]
        return torch.from_numpy(np.stack(found))

    def _draft(self, questions: Sequence[Question]) -> Draft:
        prepared: Draft | None = questions.prepared if isinstance(questions, Batch) else None
        return self.drafts(questions) if prepared is None else prepared

    def _lines(self, draft: Draft, query: Compressed) -> list[list[int]]:
        """Rows of each question's candidates."""
        num = self.drafts.num_candidates
        found: list[list[int]] = [[] for _ in draft.chosen]
        if self.index is not None:
            found = self.index.search(query.memory_NLD, query.weights_NL, top_k=num).rows_BK.tolist()
        lines = []
        for chosen, hits, spare in zip(draft.chosen, found, draft.spare, strict=True):
            line = list(chosen)
            fill(line, chain(hits, spare), num)
            lines.append(line)
        return lines

    def _memory(self, rows: Sequence[int], draft: Draft) -> Tensor:
        """Memory of ``rows``; what the draft does not hold is read."""
        missing = list(dict.fromkeys(row for row in rows if row not in draft.place))
        place = {**draft.place, **{row: number for number, row in enumerate(missing, len(draft.place))}}
        memory_XLD = torch.cat([draft.memory_XLD, self.store.memory(missing)]) if missing else draft.memory_XLD
        return memory_XLD[torch.tensor([place[row] for row in rows], dtype=torch.long)]


def fill(line: list[int], rows: Iterable[int], length: int) -> None:
    """Add those of ``rows`` that are not there yet, until there are ``length``."""
    known = set(line)
    for row in rows:
        if len(line) >= length:
            return
        if row not in known:
            known.add(row)
            line.append(row)


def put_in(line: list[int], gold: Sequence[tuple[int, ...]]) -> None:
    """Put gold documents that are not there into the last places that hold none; of chunks the first.

    Example:
        >>> line = [4, 7, 9]
        >>> put_in(line, [(9,), (2, 3)])
        >>> line
        [4, 2, 9]
    """
    wanted = set(chain.from_iterable(gold))
    free = [place for place, row in enumerate(line) if row not in wanted]
    for own in gold:
        if free and not set(own) & set(line):
            line[free.pop()] = own[0]


def best_of_each(gold: Sequence[tuple[int, ...]], ranked: Sequence[int]) -> list[bool]:
    """Which of the ranked rows are the first of a gold document: others of its chunks find nothing that is new."""
    place = {row: number for number, row in enumerate(ranked)}
    best = {min((place[row] for row in own if row in place), default=-1) for own in gold}
    return [number in best for number in range(len(ranked))]


def check_mix(questions: Sequence[Question], drafts: CandidateDrafts) -> None:
    """Find, before training, that the store is too small or that a document is not in it.

    Raises:
        ClaraError: naming the setting, or the question.
    """
    store, num = drafts.store, drafts.num_candidates
    if num > len(store):
        raise ClaraError(
            f"model.init_args.num_candidates must be <= {len(store)}, the documents of the store, got {num}"
        )
    for question in questions:
        drafts.gold_rows(question)
        drafts.given_rows(question)
