"""Everything that an evaluation needs, read and checked: backbone, corpus, questions, retrievers."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from clara_lightning.backbone.adapters import COMPRESSOR, QUERY_REASONER
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import AdapterFolder, build_from_folder
from clara_lightning.backbone.loading import PACKAGE_SCHEME
from clara_lightning.corpus.lexical import LexicalIndex, has_lexical_index
from clara_lightning.corpus.search import open_index
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.readers import read_questions, read_scp
from clara_lightning.data.records import Question, SCPExample
from clara_lightning.errors import ClaraError
from clara_lightning.evaluation.conditions import CLARA, HYBRID
from clara_lightning.evaluation.corpus import (
    Asked,
    Corpus,
    PassageCorpus,
    StoreCorpus,
    ask_passages,
    ask_store,
    draw_questions,
)
from clara_lightning.evaluation.hybrid import HybridRetriever
from clara_lightning.evaluation.retrievers import BM25, DEFAULT_DENSE, DenseRetriever, LatentRetriever, Retriever
from clara_lightning.evaluation.settings import (
    BM25_NAME,
    DENSE_NAME,
    OFF,
    EvaluationSettings,
    open_reasoners,
)

DENSE_LIMIT = 50_000
"""Documents up to which the dense retriever runs without being asked for: it embeds them anew in each evaluation."""


@dataclass(frozen=True)
class Inputs:
    """What is read from files, before any weights.

    Attributes:
        folder: the adapters.
        reasoners: other query reasoners by name.
        store: the store, where there is one.
        all_questions: of the file.
        questions: those that are asked.
        paraphrases: documents to say in other words.
    """

    folder: AdapterFolder
    reasoners: Mapping[str, AdapterFolder]
    store: LatentStore | None
    all_questions: Sequence[Question]
    questions: Sequence[Question]
    paraphrases: Sequence[SCPExample]

    @classmethod
    def read(cls, settings: EvaluationSettings) -> Inputs:
        """Read and check.

        Raises:
            ClaraError: a folder or a file is missing or wrong, or they do not belong together.
        """
        store = LatentStore.open(settings.store) if settings.store else None
        length = settings.memory_tokens or (store.memory_shape[0] if store else None)
        folder = AdapterFolder.open(settings.adapters).of_length(length)
        if settings.memory_tokens not in (None, folder.memory.tokens):
            raise ClaraError(f"--memory-tokens: {folder.path} makes {folder.memory.lengths}, not {length}")
        reasoners = open_reasoners(settings, folder)
        if store is not None:
            store.require(fingerprint=folder.fingerprint, memory_tokens=folder.memory.tokens)
        questions = list(read_questions(settings.data, skip_bad_rows=settings.skip_bad_rows))
        if not questions:
            raise ClaraError(f"{settings.data}: holds no questions")
        _refuse_twice(questions, settings.data)
        drawn = draw_questions(questions, limit=settings.limit, seed=settings.seed)
        return cls(folder, reasoners, store, questions, drawn, _paraphrases(settings))


def _refuse_twice(questions: Sequence[Question], source: str) -> None:
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise ClaraError(f"{source}: id: {question.id!r} is the id of two questions, and figures are kept by id")
        seen.add(question.id)


def _paraphrases(settings: EvaluationSettings) -> list[SCPExample]:
    if settings.paraphrases is None:
        return []
    rows = [row for row in read_scp(settings.paraphrases, skip_bad_rows=settings.skip_bad_rows) if row.paraphrase]
    if len(rows) < 2:
        raise ClaraError(f"{settings.paraphrases}: {len(rows)} rows have a paraphrase, and at least two are needed")
    return rows[: settings.limit]


@dataclass(frozen=True)
class Prepared:
    """What the measuring works with.

    Attributes:
        backbone: with all adapters.
        corpus: the documents.
        asked: the questions, with their gold documents and candidates.
        retrievers: by name; none where there is nothing to choose from.
        notes: what was left out, and why.
    """

    backbone: ClaraBackbone
    corpus: Corpus
    asked: list[Asked]
    retrievers: dict[str, Retriever]
    notes: list[str]

    @property
    def gold_rows(self) -> list[int]:
        """Rows of all gold documents, each once."""
        return sorted({row for one in self.asked for row in one.gold})


def prepare(settings: EvaluationSettings, inputs: Inputs, *, device: str) -> Prepared:
    """Load the backbone, and find gold documents, candidates and retrievers.

    Raises:
        ClaraError: the questions do not suit the corpus, or a setting does not.
    """
    kept = {name: other for name, other in inputs.reasoners.items() if other.has(QUERY_REASONER)}
    backbone = build_from_folder(inputs.folder, backbone=settings.backbone, reasoners=kept).to(device)
    corpus: Corpus = StoreCorpus(inputs.store) if inputs.store else PassageCorpus(inputs.all_questions)
    if not len(corpus):
        raise ClaraError(f"{settings.data}: passages: no question has any (give --store and gold_ids)")
    bm25 = BM25(_words(corpus, inputs.store))
    asked = _ask(settings, inputs, corpus, bm25)
    if inputs.store is None and all(len(one.candidates) < 2 for one in asked):
        note = (
            "nothing was retrieved: each question has one passage alone (--candidates N mines others, or give --store)"
        )
        return Prepared(backbone, corpus, asked, {}, [note])
    searched = inputs.store if settings.searches_corpus else None
    _check_top_k(settings, asked, searched)
    latent = _latent_retrievers(backbone, corpus, inputs, searched)
    hybrid = _hybrid(settings, latent[CLARA], bm25, searched)
    dense, notes = _dense(settings, corpus, device=device)
    notes += _search_notes(inputs, searched)
    return Prepared(backbone, corpus, asked, {**latent, BM25_NAME: bm25, **hybrid, **dense}, notes)


def _words(corpus: Corpus, store: LatentStore | None) -> LexicalIndex:
    """The store's own index of words where it has one, else one in memory."""
    if store is not None and has_lexical_index(store):
        return LexicalIndex.open(store)
    return LexicalIndex.of_texts(corpus.contents)


def _ask(settings: EvaluationSettings, inputs: Inputs, corpus: Corpus, bm25: BM25) -> list[Asked]:
    options = {"num_candidates": settings.num_candidates, "source": settings.data}
    if inputs.store is not None:
        return ask_store(inputs.questions, inputs.store, mine=bm25.mine, **options)  # type: ignore[arg-type]
    assert isinstance(corpus, PassageCorpus)
    return ask_passages(inputs.questions, corpus, mine=bm25.mine, **options)  # type: ignore[arg-type]


def _check_top_k(settings: EvaluationSettings, asked: Sequence[Asked], store: LatentStore | None) -> None:
    most = len(store) if store is not None else min(len(one.candidates) for one in asked)
    if settings.top_k is not None and settings.top_k > most:
        what = "documents of the store" if store is not None else "candidates of a question"
        raise ClaraError(f"--top-k must be <= {most}, the {what}, got {settings.top_k}")


def _latent_retrievers(
    backbone: ClaraBackbone, corpus: Corpus, inputs: Inputs, searched: LatentStore | None
) -> dict[str, LatentRetriever]:
    """By the trained score: of the adapters themselves, and of the other query reasoners."""
    found: dict[str, LatentRetriever] = {}
    for name, folder in {CLARA: inputs.folder, **inputs.reasoners}.items():
        own = QUERY_REASONER if name == CLARA else name  # what the query reasoner is called in the backbone
        score = folder.retrieval.score
        found[name] = LatentRetriever(
            backbone,
            corpus,
            None if searched is None else open_index(searched, score=score),
            reasoner=own if folder.has(QUERY_REASONER) else COMPRESSOR,
            score=score,
            label="CLaRa" if name == CLARA else name,
        )
    return found


def _hybrid(
    settings: EvaluationSettings, latent: LatentRetriever, bm25: BM25, store: LatentStore | None
) -> dict[str, Retriever]:
    """The trained score and BM25 together, where that is wanted."""
    if settings.hybrid is None:
        return {}
    return {HYBRID: HybridRetriever(latent, bm25, store, settings=settings.hybrid)}


def _search_notes(inputs: Inputs, searched: LatentStore | None) -> list[str]:
    """Where a search of the whole store is not exact."""
    parts = searched.parts if searched else ()
    entries = [(part, part.manifest.index) for part in parts]
    return [
        f"{part.source} was searched in two stages, which may miss documents: {entry}"
        for part, entry in entries
        if entry is not None and entry.score == inputs.folder.retrieval.score
    ]


def _dense(settings: EvaluationSettings, corpus: Corpus, *, device: str) -> tuple[dict[str, Retriever], list[str]]:
    """The dense retriever, or why there is none."""
    if settings.dense == OFF:
        return {}, []
    if settings.dense is None:
        package = DEFAULT_DENSE.removeprefix(PACKAGE_SCHEME).partition("/")[0]
        needed = [name for name in (package, "sentence_transformers") if importlib.util.find_spec(name) is None]
        if needed:
            return {}, [
                f"no dense retriever: {', '.join(needed)} is not installed (pip install clara-lightning[dense])"
            ]
        if len(corpus) > DENSE_LIMIT:
            return {}, [f"no dense retriever: it would embed {len(corpus)} documents (--dense NAME does)"]
    texts = list(chain.from_iterable(corpus.contents()))
    return {DENSE_NAME: DenseRetriever(settings.dense or DEFAULT_DENSE, texts, device=device)}, []
