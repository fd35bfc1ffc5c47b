"""What is done to a store that is finished: documents are appended, deleted, and what is left is written anew.

A change writes new files beside the old ones, and then the manifest. So it happens as a whole or not at all, and who
reads the store meanwhile sees the old state until it opens the store again.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from clara_lightning.corpus.checksums import file_sha256
from clara_lightning.corpus.index_builder import IndexOptions, build_index
from clara_lightning.corpus.index_entry import FOLDER, IndexEntry, SearchSettings
from clara_lightning.corpus.key_index import has_enough
from clara_lightning.corpus.keys import KEYS_FILE, keys_a_document
from clara_lightning.corpus.lock import nobody_reads, writing
from clara_lightning.corpus.manifest import MANIFEST, Deletions, Manifest, Shard
from clara_lightning.corpus.shards import (
    MEMORY_SUFFIX,
    TEXT_SUFFIX,
    Stored,
    describe,
    shard_name,
    write_stored,
)
from clara_lightning.corpus.store import LatentStore
from clara_lightning.corpus.store_folder import StoreFolder
from clara_lightning.data.readers import read_documents
from clara_lightning.data.records import document_of
from clara_lightning.data.writers import replacing, writable
from clara_lightning.errors import ClaraError

SUFFIXES = (MEMORY_SUFFIX, TEXT_SUFFIX)
STAGING = "appending"
"""In a store's folder: where documents are encoded that are to be added."""


def delete(path: str | Path, ids: Sequence[str]) -> int:
    """Delete documents by id, and all chunks of a document that was cut. Rows stay in the shards until :func:`compact`.

    Returns:
        How many documents are left.

    Raises:
        ClaraError: an id is not in the store, all would be deleted, or another process writes to the store.
    """
    folder = Path(path)
    with writing(folder):
        store = StoreFolder.open(folder)
        found = LatentStore(store).rows_of_each(ids, source="--id")
        rows = _stored_rows(store, list(dict.fromkeys(chain.from_iterable(found))))
        if len(rows) == len(store):
            raise ClaraError(f"--id: no document would be left in {folder}: remove the folder instead")
        manifest = _without(folder, store.manifest, rows)
        manifest.write(folder)
        return manifest.rows


def adopt(path: str | Path, other: str | Path, *, replace_existing: bool = False) -> int:
    """Take over the documents of another store by the same compressor; its folder is gone afterwards.

    Args:
        path: the store that grows.
        other: a finished store.
        replace_existing: documents whose id is in the store already take the place of those there; otherwise they are
            refused.

    Returns:
        How many documents the store holds.

    Raises:
        ClaraError: the stores were not made alike, an id is there already, or another process writes to the store.
    """
    folder, source = Path(path), Path(other)
    with writing(folder):
        store, new = StoreFolder.open(folder), StoreFolder.open(source)
        if new.manifest.deletions is not None:
            raise ClaraError(f"{source}: has deleted documents: compact it first (clara store compact)")
        if was_adopted(folder, source):  # a kill after the manifest was written
            new.close()
            shutil.rmtree(source)
            return len(store)
        ours, theirs = store.manifest.identity, new.manifest.identity
        if difference := ours.difference(theirs) or ours.cut_otherwise(theirs):
            raise ClaraError(f"--store: {folder} cannot take over {source}: {difference}")
        there, arriving = _documents(store, store.manifest), set(_documents(new, store.manifest))
        taken = [row for row, name in enumerate(there) if name in arriving]  # a document goes with all its chunks
        if taken and not replace_existing:
            raise _taken(folder, there[taken[0]])
        manifest = _grown(folder, store.manifest, source, new.manifest)
        if taken:
            manifest = _without(folder, manifest, _stored_rows(store, taken))
        manifest.write(folder)
        new.close()
        shutil.rmtree(source)
        return manifest.rows


def was_adopted(path: str | Path, other: str | Path) -> bool:
    """Whether the documents of a finished store are in another one already."""
    if not (Path(other) / MANIFEST).is_file():
        return False
    known = {shard.memory_sha256 for shard in Manifest.read(Path(path), setting="--store").shards}
    new = Manifest.read(Path(other), setting="--store").shards
    return all(shard.memory_sha256 in known for shard in new)


def require_new(path: str | Path, documents: str) -> None:
    """Refuse documents whose id is in a store, before anything is encoded.

    Raises:
        ClaraError: one of them is.
    """
    store = StoreFolder.open(path)
    known = {*store.ids, *_documents(store, store.manifest)}
    for document in read_documents(documents):
        if document.id in known:
            raise _taken(path, document.id)


def _documents(store: StoreFolder, manifest: Manifest) -> list[str]:
    """The id of each row's document, where documents were cut as the manifest says."""
    return [document_of(name) for name in store.ids] if manifest.identity.chunk_tokens else store.ids


def _taken(path: str | Path, name: str) -> ClaraError:
    return ClaraError(f"--documents: {name!r} is in {path} already: --replace puts a new one in its place")


def compact(path: str | Path, *, tell: Callable[[str], None] = lambda line: None) -> Manifest:
    """Write the documents that are there into new shards, and remove what no longer belongs to the store.

    Files that another process may still read are left, and removed by the next call.

    Returns:
        The new manifest.

    Raises:
        ClaraError: a file cannot be read or written, or another process writes to the store.
    """
    folder = Path(path)
    with writing(folder):
        store = StoreFolder.open(folder)
        manifest = store.manifest
        full = manifest.identity.rows_per_shard
        if manifest.deletions or any(shard.rows != full for shard in manifest.shards[:-1]):
            shards = tuple(_rewritten(store, tell))
            manifest = replace(manifest, shards=shards, deletions=None, generation=manifest.generation + 1)
            if manifest.index is not None:
                rewritten = StoreFolder(folder, manifest)
                manifest = replace(manifest, index=_rebuilt(rewritten, manifest.index))
                rewritten.close()
            manifest.write(folder)
        store.close()
        if nobody_reads(folder):
            remove_unknown(folder, manifest)
        else:
            tell("another process reads the store: its old files are left until the next clara store compact")
        return manifest


def index(path: str | Path, options: IndexOptions | None = None) -> IndexEntry:
    """Build the index of a two-stage search, in place of the one that a store has.

    Args:
        path: the store folder.
        options: what to build; by default what the store has, anew.

    Raises:
        ClaraError: there is none to be built anew, the kind does not suit the size of the store, the disk is full, or
            another process writes to the store.
    """
    folder = Path(path)
    with writing(folder):
        store = StoreFolder.open(folder)
        known = store.manifest.index
        if options is not None:
            entry = build_index(store, options)
        elif known is not None:
            entry = _rebuilt(store, known)
        else:
            raise ClaraError(f"--rebuild: {folder} has no search index: --kind builds one")
        _name_index(store, entry)
        return entry


def search_by(path: str | Path, entry: IndexEntry, settings: SearchSettings) -> None:
    """Write into a store's manifest how its index is to be searched.

    Args:
        path: the store folder.
        entry: the index that was measured.
        settings: how to search it.

    Raises:
        ClaraError: the store has another index by now, or another process writes to it.
    """
    folder = Path(path)
    with writing(folder):
        store = StoreFolder.open(folder)
        if store.manifest.index is None or store.manifest.index.folder != entry.folder:
            raise ClaraError(f"--store: the index of {folder} was built anew meanwhile: measure again")
        _name_index(store, entry.searched(settings))


def _name_index(store: StoreFolder, entry: IndexEntry) -> None:
    manifest = replace(store.manifest, index=entry, generation=store.manifest.generation + 1)
    manifest.write(store.path)
    store.close()
    if nobody_reads(store.path):
        remove_unknown(store.path, manifest)


def remove_unknown(folder: Path, manifest: Manifest) -> None:
    """Remove files of shards, deletions and search indexes that the manifest does not name."""
    known = {f"{shard.name}.{suffix}" for shard in manifest.shards for suffix in SUFFIXES}
    deletions = {f"{manifest.deletions.name}.npy"} if manifest.deletions else set()
    for place, names in (("shards", known), ("deletions", deletions)):
        for file in (folder / place).glob("*"):
            if file.name not in names:
                file.unlink()
    for keys in (folder / FOLDER).glob(f"*/{KEYS_FILE}"):
        if manifest.index is None or keys.parent.name != manifest.index.folder:
            shutil.rmtree(keys.parent)


def _stored_rows(store: StoreFolder, rows: Sequence[int]) -> NDArray[np.int64]:
    """Rows of the shards that rows of the store are."""
    chosen = np.array(rows, dtype=np.int64)
    return chosen if store.live_rows is None else store.live_rows[chosen]


def _without(folder: Path, manifest: Manifest, rows: NDArray[np.int64]) -> Manifest:
    """A manifest with more rows deleted, whose file is written."""
    if manifest.deletions is not None:
        rows = np.concatenate([rows, np.load(folder / "deletions" / f"{manifest.deletions.name}.npy")])
    name = f"{manifest.generation + 1:08d}"
    target = folder / "deletions" / f"{name}.npy"
    content = io.BytesIO()
    np.save(content, np.unique(rows), allow_pickle=False)
    with replacing(target) as file, writable(target):
        file.write(content.getvalue())
    deletions = Deletions(name, len(np.unique(rows)), file_sha256(target))
    return replace(manifest, deletions=deletions, generation=manifest.generation + 1)


def _grown(folder: Path, manifest: Manifest, source: Path, other: Manifest) -> Manifest:
    """A manifest with the shards of another store behind its own; the files stand under their new names."""
    number = _next_number(manifest)
    shards = []
    for offset, shard in enumerate(other.shards):
        name = shard_name(number + offset)
        for suffix in SUFFIXES:
            _link(source / "shards" / f"{shard.name}.{suffix}", folder / "shards" / f"{name}.{suffix}")
        shards.append(replace(shard, name=name))
    cut = manifest.documents_cut + other.documents_cut
    shards_now = (*manifest.shards, *shards)
    return replace(manifest, shards=shards_now, documents_cut=cut, generation=manifest.generation + 1)


def _link(source: Path, target: Path) -> None:
    """The same file under a second name; a copy where the file system has no links."""
    target.unlink(missing_ok=True)  # of a change that was killed before it was in the manifest
    with writable(target):
        try:
            os.link(source, target)
        except OSError:
            with replacing(target) as file, source.open("rb") as original:
                shutil.copyfileobj(original, file)


def _next_number(manifest: Manifest) -> int:
    return 1 + max(int(shard.name) for shard in manifest.shards)


def _rewritten(store: StoreFolder, tell: Callable[[str], None]) -> Iterator[Shard]:
    """New shards of the documents that are there, each described for the manifest."""
    folder, number = store.path / "shards", _next_number(store.manifest)
    size = store.manifest.identity.rows_per_shard
    for offset, start in enumerate(range(0, len(store), size)):
        name = shard_name(number + offset)
        parts = store.stored(range(start, min(start + size, len(store))))
        write_stored(folder, name, _joined(parts), documents_cut=0)
        yield describe(folder, name)
        tell(f"{min(start + size, len(store)):,} of {len(store):,} documents written")


def _joined(parts: Sequence[Stored]) -> Stored:
    tensors = {name: torch.cat([part.tensors[name] for part in parts]) for name in parts[0].tensors}
    return Stored(tensors, pa.concat_tables([part.table for part in parts]).combine_chunks())


def _rebuilt(store: StoreFolder, entry: IndexEntry) -> IndexEntry:
    """An index as a store had it, of the rows that it has now; searched as before, which is no longer measured."""
    num_keys = len(store.whole) * keys_a_document(entry.score, store.memory_shape)
    if not has_enough(entry.kind, num_keys=num_keys):
        return build_index(store, IndexOptions(entry.score, "flat"))
    options = IndexOptions(entry.score, entry.kind, entry.key_dim)
    return build_index(store, options, search=replace(entry.search, recall=None, queries=0))
