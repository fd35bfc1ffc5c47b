"""Whether a store is what it was when it was written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from clara_lightning.backbone.loading import cache_folder
from clara_lightning.corpus.address import Address, is_address
from clara_lightning.corpus.checksums import file_sha256
from clara_lightning.corpus.manifest import Manifest
from clara_lightning.corpus.mirror import Mirror, manifest_at
from clara_lightning.corpus.store_folder import StoreFolder, files_of
from clara_lightning.data.writers import writable
from clara_lightning.errors import ClaraError


def faults(path: str | Path, *, tell: Callable[[str], None] = lambda line: None) -> Iterator[str]:
    """Everything that is wrong with a store, each in a line that names the file: checksums, numbers of rows, ids.

    Args:
        path: the store's folder or address. What is at an address is brought here shard by shard, and not kept.
        tell: told how far it is.

    Raises:
        ClaraError: the manifest cannot be read: then nothing else can be said.
    """
    if is_address(path):
        yield from _faults_at(Address.of(path, setting="STORE"), tell)
        return
    folder = Path(path)
    manifest = Manifest.read(folder, setting="STORE")
    files = list(files_of(manifest))
    for number, (name, wanted) in enumerate(files, start=1):
        yield from _file_faults(folder / name, wanted)
        tell(f"{number:,} of {len(files):,} files compared")
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
    yield from _number_faults(str(folder), len(store), rows, ids)


def _number_faults(store: str, documents: int, rows: int, ids: Counter[str]) -> Iterator[str]:
    if not rows == documents == ids.total():
        yield f"{store}: {documents} documents by the manifest, {rows} memories, {ids.total()} ids"
    for name, count in ids.items():
        if count > 1:
            yield f"{store}: the id {name!r} stands {count} times"


def _faults_at(address: Address, tell: Callable[[str], None]) -> Iterator[str]:
    """:func:`faults` of an address: one shard at a time is on this machine."""
    manifest = manifest_at(address.url, setting=address.setting)
    ids: list[str] = []
    is_whole = True
    for number, shard in enumerate(manifest.shards, start=1):
        found = _part_faults(address, replace(manifest, shards=(shard,), deletions=None, index=None), ids)
        is_whole = is_whole and not found
        yield from found
        tell(f"{number:,} of {len(manifest.shards):,} shards compared")
    with _mirror(address) as mirror:
        try:
            for name, sha256 in files_of(replace(manifest, shards=())):
                mirror(name, sha256)
            live_rows = StoreFolder(mirror.view, manifest, files=mirror, source=address.url).live_rows
        except ClaraError as error:
            yield str(error)
            return
    if is_whole:  # else ids are missing
        live = ids if live_rows is None else [ids[row] for row in live_rows]
        yield from _number_faults(address.url, manifest.rows, len(live), Counter(live))


def _part_faults(address: Address, manifest: Manifest, ids: list[str]) -> list[str]:
    """Bring some shards here, and read every row; their ids are put behind ``ids``."""
    with _mirror(address) as mirror:
        found = []
        for name, sha256 in files_of(manifest):
            try:
                mirror(name, sha256)
            except ClaraError as error:
                found.append(str(error))
        if found:
            return found
        part = StoreFolder(mirror.view, manifest, files=mirror, source=address.url)
        try:
            for _ in part.blocks():
                pass
            ids += part.ids
        except ClaraError as error:
            return [str(error)]
        return []


@contextmanager
def _mirror(address: Address) -> Iterator[Mirror]:
    """A mirror whose files are gone afterwards."""
    root = cache_folder()
    with writable(root):
        root.mkdir(parents=True, exist_ok=True)
        scratch = TemporaryDirectory(prefix="verify-", dir=root)
    with scratch as folder:
        yield Mirror(address, Path(folder) / "files", Path(folder) / "store")
