"""What a manifest says of a store's search index: its files, what it covers, and how it is searched.

An index's files lie in a folder of their own below ``index/``, which is whole before a manifest names it. So a reader
sees the index before or the index after, and never a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from clara_lightning.corpus.checksums import edges_sha256, file_sha256
from clara_lightning.corpus.files import Files
from clara_lightning.errors import ClaraError

if TYPE_CHECKING:
    from clara_lightning.objectives.scores import ScoreName

IndexKind = Literal["flat", "hnsw", "ivf-sq", "ivf-pq"]

FOLDER = "index"


@dataclass(frozen=True)
class File:
    """A file of the index: its size, the checksum of its first and last MiB, and of all of it."""

    bytes: int
    edges_sha256: str
    sha256: str

    @classmethod
    def of(cls, path: Path) -> File:
        """Describe a file."""
        return cls(path.stat().st_size, edges_sha256(path), file_sha256(path))


@dataclass(frozen=True)
class SearchSettings:
    """How an index is searched.

    Attributes:
        effort: how much of the index is looked at: ``nprobe`` where it has lists, ``efSearch`` of ``hnsw``; 0 for
            ``flat``.
        fetch: documents of each query whose exact score is computed, for up to ``top_k`` results; for more results as
            many times more.
        top_k: see ``fetch``.
        recall: share of the exact best ``top_k`` documents that are found so; ``None`` where it was not measured.
        queries: how many queries it was measured with.
        wished: the recall that was wished for.
    """

    effort: int
    fetch: int
    top_k: int = 5
    recall: float | None = None
    queries: int = 0
    wished: float | None = None

    def fetch_for(self, top_k: int) -> int:
        """Documents to score exactly for so many results."""
        return -(-self.fetch * max(top_k, self.top_k) // self.top_k)


@dataclass(frozen=True)
class IndexEntry:
    """The index of a store.

    Attributes:
        folder: name of the folder with its files.
        kind: how FAISS holds the keys.
        score: what the keys are for.
        key_dim: numbers of a key.
        factory: the index in the words of FAISS.
        rows: how many rows of the shards it covers, which are the first.
        files: by name.
        search: how it is searched.
    """

    folder: str
    kind: IndexKind
    score: ScoreName
    key_dim: int
    factory: str
    rows: int
    files: Mapping[str, File]
    search: SearchSettings

    @property
    def bytes(self) -> int:
        """Of all its files."""
        return sum(file.bytes for file in self.files.values())

    def searched(self, settings: SearchSettings) -> IndexEntry:
        """The same index, searched otherwise."""
        return replace(self, search=settings)

    def __str__(self) -> str:
        """How the store is searched, in words."""
        found = self.search
        recall = f"recall@{found.top_k} {found.recall}" if found.recall is not None else "recall not measured"
        return f"{self.kind} for {self.score} over {self.rows:,} rows, {found.fetch} scored, {recall}"

    @classmethod
    def from_json(cls, values: Any) -> IndexEntry | None:
        """What a manifest says; ``None`` where it names no index, or one of a former version.

        Raises:
            KeyError, TypeError, ValueError: it is not valid.
        """
        if not isinstance(values, dict):
            return None
        files = {name: File(**described) for name, described in values["files"].items()}
        entry = cls(**values | {"files": files, "search": SearchSettings(**values["search"])})
        if not files:
            raise ValueError("index: files: there is none")
        for name in (entry.folder, *entry.files):
            if Path(name).name != name or name in ("", ".", ".."):
                raise ValueError(f"index: {name!r} is not a plain file name")
        if entry.kind not in get_args(IndexKind):
            raise ValueError(f"index: kind: {entry.kind!r} is none of {', '.join(get_args(IndexKind))}")
        return entry

    def places(self) -> list[tuple[str, File]]:
        """Each file's path within the store, and what it was when it was written."""
        return [(f"{FOLDER}/{self.folder}/{name}", file) for name, file in self.files.items()]

    def open(self, files: Files, *, store: str) -> Path:
        """The folder with the files, whose sizes and edges are compared, which is quick at any size.

        Args:
            files: where they are on this machine.
            store: what to build the index of again, where one is missing or was changed.

        Raises:
            ClaraError: one is.
        """
        for name, wanted in self.places():
            path = files(name, wanted.sha256)
            if not path.is_file():
                raise ClaraError(f"{path} is missing: {rebuild_hint(store)}")
            if path.stat().st_size != wanted.bytes or edges_sha256(path) != wanted.edges_sha256:
                raise ClaraError(f"{path}: not what was written: the file was changed: {rebuild_hint(store)}")
        return path.parent


def rebuild_hint(store: str) -> str:
    """How a user gets an index again."""
    return f"build it again with clara store index {store} --rebuild"
