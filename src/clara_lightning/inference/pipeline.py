"""Question -> retrieved memory -> answer.

Shapes: B questions, K documents a question, L memory tokens, D hidden size.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import AdapterFolder, RetrievalConfig, build_from_folder, fingerprint, reasoner_of
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.corpus.hot import HotMemory
from clara_lightning.corpus.hybrid import HybridIndex, HybridSettings
from clara_lightning.corpus.index import Hits
from clara_lightning.corpus.lexical import LexicalIndex, require_lexical_index
from clara_lightning.corpus.search import open_index
from clara_lightning.corpus.store import LatentStore, Paths
from clara_lightning.data.prompts import MEMORY
from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError

HYBRID = "--hybrid"

log = logging.getLogger(__name__)

HOT_BYTES = 256 << 20
"""Of memory that stays in RAM: the documents that are asked for again and again."""


@dataclass(frozen=True)
class Hit:
    """A retrieved document and its score."""

    document: Document
    score: float


@dataclass(frozen=True)
class Answer:
    """An answer and the documents whose memory it was read from, best first."""

    question: str
    text: str
    hits: tuple[Hit, ...]


class ClaraPipeline:
    """Searches a store and answers from the memory it finds.

    Args:
        backbone: with compressor, generator and, after stage 3, a query reasoner.
        store: documents encoded by that compressor.
        retrieval: score and number of documents.
        reasoner: the adapter that turns questions into queries.
        hybrid: search by words beside the trained score, which the store must have an index for; ``None`` for the
            trained score alone.

    Raises:
        ClaraError: store and backbone do not belong together, or the store has no index of words.
    """

    def __init__(
        self,
        backbone: ClaraBackbone,
        store: LatentStore,
        *,
        retrieval: RetrievalConfig,
        reasoner: str,
        hybrid: HybridSettings | None = None,
        hot_bytes: int = HOT_BYTES,
    ) -> None:
        store.require(fingerprint=fingerprint(backbone), memory_tokens=backbone.memory_config.tokens)
        self.backbone = backbone
        self.store = store
        self.retrieval = retrieval
        self.reasoner = reasoner
        self.hot = HotMemory(store, max_bytes=hot_bytes)
        self.index = open_index(store, score=retrieval.score)
        self.hybrid: HybridIndex | None = None
        if hybrid is not None:
            words = LexicalIndex.open(store, setting=HYBRID)
            self.hybrid = HybridIndex(self.index, words, store, score=retrieval.score, settings=hybrid)

    @classmethod
    def open(
        cls,
        *,
        adapters: str | Path,
        store: Paths,
        backbone: BackboneConfig | None = None,
        device: str | None = None,
        hybrid: HybridSettings | None = None,
        hot_bytes: int = HOT_BYTES,
    ) -> ClaraPipeline:
        """Load everything from disk.

        Args:
            adapters: an adapter folder.
            store: a store that its compressor made; several folders, or a file that names them, are one store.
            backbone: settings of the backbone other than the folder's.
            device: where to run; by default CUDA, MPS or the CPU, whichever there is first.
            hybrid: search by words beside the trained score; off by default.
            hot_bytes: of memory that was read last and stays in RAM.

        Raises:
            ClaraError: a folder is missing, store and adapters do not belong together, or the store has no index of
                words.
        """
        opened = LatentStore.open(store)
        folder = AdapterFolder.open(adapters).of_length(opened.memory_shape[0])
        opened.require(fingerprint=folder.fingerprint, memory_tokens=folder.memory.tokens)
        if hybrid is not None:
            require_lexical_index(opened, setting=HYBRID)  # before weights are loaded
        if hybrid is None and (weight := folder.retrieval.hybrid_weight):
            text = (
                "the adapters were trained beside BM25: --hybrid weighted --hybrid-weight %g searches as they learned"
            )
            log.info(text, weight)
        model = build_from_folder(folder, backbone=backbone).to(usable_device(device))
        return cls(
            model, opened, retrieval=folder.retrieval, reasoner=reasoner_of(folder), hybrid=hybrid, hot_bytes=hot_bytes
        )

    @torch.no_grad()
    def hits(self, questions: Sequence[str], *, top_k: int | None = None) -> Hits:
        """Scores and rows of the best documents of each question ``(B, K)``; of a hybrid search the fused scores."""
        query = self.backbone.read(questions, adapter=self.reasoner)
        vectors, num_taken = (query.memory_NLD, query.weights_NL), self.num_taken(top_k)
        if self.hybrid is not None:
            return self.hybrid.search(questions, *vectors, top_k=num_taken)
        return self.index.search(*vectors, top_k=num_taken)

    def search(self, questions: Sequence[str], *, top_k: int | None = None) -> list[tuple[Hit, ...]]:
        """The best documents of each question, best first."""
        hits = self.hits(questions, top_k=top_k)
        return [
            tuple(Hit(document, score) for document, score in zip(self.store.documents(rows), scores, strict=True))
            for rows, scores in zip(hits.rows_BK.tolist(), hits.scores_BK.tolist(), strict=True)
        ]

    @torch.no_grad()
    def answer(self, questions: Sequence[str], *, top_k: int | None = None, max_new_tokens: int = 32) -> list[Answer]:
        """Answers from the memory of the best documents."""
        return self.answer_from(questions, self.hits(questions, top_k=top_k), max_new_tokens=max_new_tokens)

    @torch.no_grad()
    def answer_from(self, questions: Sequence[str], found: Hits, *, max_new_tokens: int = 32) -> list[Answer]:
        """Answers from the memory of documents that were found, each question's in their order."""
        if max_new_tokens < 1:
            raise ClaraError(f"--max-new-tokens must be >= 1, got {max_new_tokens}")
        rows = found.rows_BK.tolist()
        memory = self.hot.memory([row for line in rows for row in line]).to(self.backbone.device)
        prompts = [self.backbone.prompts.ask(q, (MEMORY,) * len(line)) for q, line in zip(questions, rows, strict=True)]
        with ThreadPoolExecutor(1) as ahead:  # the passages' text is read while the answer is written
            reading = ahead.submit(lambda: [self.store.documents(line) for line in rows])
            texts = self.backbone.generate(prompts, memory, max_new_tokens=max_new_tokens)
            documents = reading.result()
        return [
            Answer(question, text, tuple(Hit(d, s) for d, s in zip(line, scores, strict=True)))
            for question, text, line, scores in zip(questions, texts, documents, found.scores_BK.tolist(), strict=True)
        ]

    def num_taken(self, given: int | None) -> int:
        """How many documents a question takes: as many as given, or as trained where the store has so many.

        Raises:
            ClaraError: the store does not hold as many as given.
        """
        if given is None:
            return min(self.retrieval.top_k, len(self.store))
        if not 1 <= given <= len(self.store):
            raise ClaraError(f"--top-k must be between 1 and the store's {len(self.store)} documents, got {given}")
        return given


def usable_device(name: str | None) -> str:
    """``name``, which must be a device that is there; without a name the best one.

    Raises:
        ClaraError: there is no such device.
    """
    if name is None:
        return best_device()
    try:
        torch.empty(0, device=name)
    except (
        AssertionError,
        NotImplementedError,
        RuntimeError,
    ) as error:  # as torch's backends raise it
        raise ClaraError(f"--device: {name!r} cannot be used: {str(error).splitlines()[0]}") from error
    return name


def best_device() -> str:
    """``cuda``, ``mps`` or ``cpu``, whichever there is first."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
