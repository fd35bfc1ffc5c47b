"""Whether a store is what it was when it was written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from clara_lightning.corpus.checksums import file_sha256
from clara_lightning.corpus.manifest import Manifest
from clara_lightning.corpus.shards import MEMORY_SUFFIX, TEXT_SUFFIX
from clara_lightning.corpus.store_folder import StoreFolder
from clara_lightning.errors import ClaraError


def faults(path: str | Path, *, tell: Callable[[str], None] = lambda line: None) -> Iterator[str]:
    """Everything that is wrong with a store, each in a line that names the file: checksums, numbers of rows, ids.

    Args:
        path: the store folder.
        tell: told how far it is.

    Raises:
        ClaraError: the manifest cannot be read: then nothing else can be said.
    """
    folder = Path(path)
    manifest = Manifest.read(folder, setting="STORE")
    for number, shard in enumerate(manifest.shards, start=1):
        for suffix, wanted in ((MEMORY_SUFFIX, shard.memory_sha256), (TEXT_SUFFIX, shard.text_sha256)):
            yield from _file_faults(folder / "shards" / f"{shard.name}.{suffix}", wanted)
        tell(f"{number:,} of {len(manifest.shards):,} shards compared")
    if manifest.deletions is not None:
        yield from _file_faults(folder / "deletions" / f"{manifest.deletions.name}.npy", manifest.deletions.sha256)
    if manifest.index is not None:
        for path, wanted in manifest.index.checksums(folder).items():
            yield from _file_faults(path, wanted)
    yield from _row_faults(folder)


def _file_faults(path: Path, wanted: str) -> Iterator[str]:
    if not path.is_file():
        yield f"{path}: missing"
    elif file_sha256(path) != wanted:
        yield f"{path}: its checksum is not the one in the manifest: the file was changed"


def _row_faults(folder: Path) -> Iterator[str]:
    """What reading finds: shapes, numbers of rows, ids that repeat."""
    try:
        store = StoreFolder.open(folder, setting="STORE")
        rows = sum(len(block_NLD) for _, block_NLD in store.blocks())
        ids = Counter(store.ids)
    except ClaraError as error:  # named by a checksum too, where a file was changed
        yield str(error)
        return
    if not rows == len(store) == ids.total():
        yield f"{folder}: {len(store)} documents by the manifest, {rows} memories, {ids.total()} ids"
    for name, count in ids.items():
        if count > 1:
            yield f"{folder}: the id {name!r} stands {count} times"
