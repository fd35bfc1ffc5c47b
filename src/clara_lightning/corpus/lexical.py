"""BM25 over a store's documents: an index in ``index/bm25/`` of the store, or one in memory.

The folder holds what bm25s saves (mapped into memory when it is opened, but for the words) and ``belongs.json``: which
documents and which rule of words it was made of. A store whose documents are others is never searched with it.

Shapes: N documents of the store.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
from numpy.typing import DTypeLike, NDArray

from clara_lightning.corpus.fusion import Found
from clara_lightning.corpus.manifest import write_json
from clara_lightning.corpus.postings import K1, B, Batches, Postings, collect
from clara_lightning.corpus.store import LatentStore
from clara_lightning.corpus.words import TOKENIZATION, words_of
from clara_lightning.errors import ClaraError

FOLDER = "bm25"
BELONGS = "belongs.json"
VERSION = 1
BATCH = 1024  # documents that are read at a time: a row group of a shard
Scores = NDArray[np.float32]

log = logging.getLogger(__name__)


class LexicalIndex:
    """BM25 scores of all documents, those of bm25s with its default settings over :func:`words_of`.

    Args:
        model: a model of bm25s.
        num_documents: N.
        store: whose folder holds it, if one does: it goes to another process as that.
    """

    def __init__(self, model: Any, num_documents: int, *, store: LatentStore | None = None) -> None:
        self._model = model
        self._num_documents = num_documents
        self._store = store

    def __reduce__(self) -> Any:
        return (LexicalIndex.open, (self._store,)) if self._store else super().__reduce__()

    @classmethod
    def of_texts(cls, batches: Batches) -> LexicalIndex:
        """An index in memory: about eight bytes for each different word of a document."""
        postings = collect(batches, allocate=lambda name, length, dtype: np.empty(length, dtype=dtype))
        return cls(_model_of(postings), postings.num_documents)

    @classmethod
    def open(cls, store: LatentStore, *, setting: str = "--store") -> LexicalIndex:
        """The index in a store's folder.

        Raises:
            ClaraError: there is none, it belongs to other documents, or its files are not whole.
        """
        require_lexical_index(store, setting=setting)
        folder = folder_of(store)
        try:
            model = bm25s.BM25.load(folder, mmap=True)
            starts, scores, rows = (model.scores[name] for name in ("indptr", "data", "indices"))
            whole = len(starts) == len(model.vocab_dict) + 1 and starts[-1] == len(scores) == len(rows)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ClaraError(f"{setting}: {folder} cannot be read ({error}): {_build(store)}") from error
        if not whole:
            raise ClaraError(f"{setting}: {folder} is not whole: {_build(store)}")
        return cls(model, len(store), store=store)

    def __len__(self) -> int:
        return self._num_documents

    @property
    def num_words(self) -> int:
        """How many different words there are."""
        return len(self._model.vocab_dict)

    def scores(self, question: str) -> Scores:
        """The score of every document ``(N,)``; 0 where it has no word of the question."""
        known = [word for word in words_of(question) if word in self._model.vocab_dict]
        if not known:
            return np.zeros(len(self), dtype=np.float32)
        found: Scores = self._model.get_scores(known)
        return found

    def scores_of(self, question: str, rows: Sequence[int]) -> Scores:
        """The scores of some documents ``(n,)``, as :meth:`scores` has them; nothing else is looked at."""
        starts, values, documents = (self._model.scores[name] for name in ("indptr", "data", "indices"))
        wanted, found = np.asarray(rows), np.zeros(len(rows), dtype=np.float32)
        for word in words_of(question):
            number = self._model.vocab_dict.get(word)
            if number is None:
                continue
            first, last = int(starts[number]), int(starts[number + 1])
            places = np.minimum(first + np.searchsorted(documents[first:last], wanted), last - 1)
            found += np.where(documents[places] == wanted, values[places], 0)
        return found

    def search(self, question: str, *, top_k: int) -> Found:
        """The best documents that have a word of the question, at most ``top_k``; equal scores by row."""
        return found_in(self.scores(question), top_k=top_k)


def found_in(scores_N: Scores, *, top_k: int) -> Found:
    """The best documents with a score above 0."""
    rows = best_rows(scores_N, top_k=top_k)
    rows = rows[scores_N[rows] > 0]
    return Found(tuple(rows.tolist()), tuple(scores_N[rows].tolist()))


def best_rows(scores_N: Scores, *, top_k: int) -> NDArray[np.intp]:
    """Rows of the ``top_k`` highest scores (or of all), best first; equal scores by row. All are not sorted for it.

    Example:
        >>> best_rows(np.array([1, 3, 2, 3, 2], dtype=np.float32), top_k=3).tolist()
        [1, 3, 2]
    """
    if top_k < len(scores_N):
        last = np.partition(scores_N, len(scores_N) - top_k)[len(scores_N) - top_k]
        above = np.flatnonzero(scores_N > last)
        rows = np.concatenate([above, np.flatnonzero(scores_N == last)[: top_k - len(above)]])
    else:
        rows = np.arange(len(scores_N))
    return rows[np.argsort(-scores_N[rows], kind="stable")]


def folder_of(store: LatentStore) -> Path:
    """Where a store's index is, or would be."""
    return store.path / "index" / FOLDER


def has_lexical_index(store: LatentStore) -> bool:
    """Whether a store has an index, be it one that belongs to other documents.

    That of several folders lies in the first of them, which may have one of its own documents: that is none of theirs.
    """
    path = folder_of(store)
    if len(store.parts) == 1 or not (path / BELONGS).is_file():
        return path.is_dir()
    shards_of_first: str = _belongs(LatentStore(store.parts[0]))["shards_sha256"]
    return shards_of_first.encode() not in (path / BELONGS).read_bytes()


def require_lexical_index(store: LatentStore, *, setting: str = "--store") -> None:
    """Make sure that a store has the index of its documents, without opening it.

    Raises:
        ClaraError: it has none, or one of other documents or of another rule of words.
    """
    path = folder_of(store) / BELONGS
    if not path.is_file():
        raise ClaraError(f"{setting}: {store.source} has no BM25 index: {_build(store)}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ClaraError(f"{setting}: {path}: not valid: {error}: {_build(store)}") from error
    wanted = _belongs(store)
    for name, value in wanted.items():
        if not isinstance(found, dict) or found.get(name) != value:
            raise ClaraError(
                f"{setting}: {path.parent} is not the index of this store's documents ({name} is another): "
                f"{_build(store)}"
            )


def build_lexical_index(store: LatentStore, *, setting: str = "--store") -> LexicalIndex:
    """Write ``index/bm25/`` of a store, whole or not at all; one that is there is replaced.

    The documents are read twice, a batch at a time. In memory are held the different words and, as the system likes, a
    part of the files that are being written: eight bytes for each different word of a document.

    Raises:
        ClaraError: a document cannot be read, the folder not written to, or the disk has no room.
    """
    folder = folder_of(store)
    working, old = folder.with_name(f".{FOLDER}.tmp"), folder.with_name(f".{FOLDER}.old")
    for left in (working, old):
        shutil.rmtree(left, ignore_errors=True)
    log.info("%s: reading %d documents twice, for BM25", store.path, len(store))
    try:
        _write(store, working)
        if folder.exists():
            folder.rename(old)
        working.rename(folder)
    except OSError as error:
        raise ClaraError(f"{setting}: {folder} cannot be built: {error}") from error
    finally:
        for left in (working, old):
            shutil.rmtree(left, ignore_errors=True)
    return LexicalIndex.open(store, setting=setting)


def _write(store: LatentStore, folder: Path) -> None:
    scratch = folder / "scratch"
    scratch.mkdir(parents=True)

    def on_disk(name: str, length: int, dtype: DTypeLike) -> NDArray[Any]:
        # A mapped file takes its room when it is written to, and ends the process where there is none left. There are
        # two such files of the same size, and bm25s saves a copy of each.
        needed, free = 4 * length * np.dtype(dtype).itemsize, shutil.disk_usage(scratch).free
        if free < needed:
            raise OSError(f"it takes {needed:,} bytes, and {free:,} are free")
        return np.lib.format.open_memmap(scratch / f"{name}.npy", mode="w+", dtype=dtype, shape=(length,))

    _model_of(collect(lambda: contents(store), allocate=on_disk)).save(folder, show_progress=False)
    shutil.rmtree(scratch)
    write_json(folder / BELONGS, _belongs(store))
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def contents(store: LatentStore) -> Iterator[Sequence[str]]:
    """What is read of a store's documents, batch by batch."""
    for first in range(0, len(store), BATCH):
        rows = range(first, min(first + BATCH, len(store)))
        yield [document.content for document in store.documents(rows)]


def _model_of(postings: Postings) -> Any:
    """A model of bm25s, as its ``index`` would leave it."""
    model = bm25s.BM25(k1=K1, b=B)
    model.scores = {
        "data": postings.scores,
        "indices": postings.rows,
        "indptr": postings.starts,
        "num_docs": postings.num_documents,
    }
    model.vocab_dict = postings.words
    model.unique_token_ids_set = set(postings.words.values())
    model.nonoccurrence_array = None  # of the methods that need one alone
    return model


def _belongs(store: LatentStore) -> dict[str, Any]:
    """What an index must say to be the one of this store."""
    manifests = [asdict(part.manifest) for part in store.parts]
    of_rows = [[said["shards"], said["deletions"]] for said in manifests]  # whatever decides rows and texts
    return {
        "version": VERSION,
        "rows": len(store),
        "shards_sha256": hashlib.sha256(json.dumps(of_rows, sort_keys=True).encode()).hexdigest(),
        "words": TOKENIZATION,
    }


def _build(store: LatentStore) -> str:
    return f"build it with clara store index {store.source}"
