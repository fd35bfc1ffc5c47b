"""A store at an address, read: its files are brought to this machine when they are first needed, and kept there.

    CACHE/stores/KEY/address.txt          the address that KEY is of
    CACHE/stores/KEY/files/SHA256         files of the store, each compared with its checksum before it has its name
    CACHE/stores/KEY/GENERATION/          the store as one manifest says, with links to files

A file that another generation has too is not brought again. The folder of a key may be removed at any time that nobody
reads it.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from clara_lightning.backbone.loading import cache_folder
from clara_lightning.corpus.address import Address, is_address
from clara_lightning.corpus.lock import in_turn
from clara_lightning.corpus.manifest import MANIFEST, Manifest
from clara_lightning.corpus.shards import MEMORY_SUFFIX, TEXT_SUFFIX
from clara_lightning.corpus.store_folder import StoreFolder
from clara_lightning.data.writers import replacing, writable
from clara_lightning.errors import ClaraError

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Mirror:
    """Files of a store at an address; see :class:`~clara_lightning.corpus.files.Files`.

    Attributes:
        address: of the store.
        kept: folder of the files that are here, by their checksums.
        view: folder in which they have their names.
    """

    address: Address
    kept: Path
    view: Path

    def __call__(self, name: str, sha256: str) -> Path:
        """A file of the store, brought here if it is not yet.

        Raises:
            ClaraError: it is missing there, is not what the manifest says, or has no room here.
        """
        path = self.view / name
        if path.exists():
            return path
        if _SHA256.fullmatch(sha256) is None:
            raise ClaraError(f"{self.address.url}/{MANIFEST}: {sha256!r} is no checksum")
        file = self.kept / sha256
        with writable(file):
            self.kept.mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            fetch(self.address, name, sha256, file)
            _link(path, file)
        return path

    @classmethod
    def of(cls, address: Address, manifest: bytes) -> Mirror:
        """The mirror of a store as the content of a manifest says."""
        folder = cache_folder() / "stores" / hashlib.sha256(address.url.encode()).hexdigest()[:16]
        view = folder / hashlib.sha256(manifest).hexdigest()[:16]
        for file, content in ((folder / "address.txt", f"{address.url}\n".encode()), (view / MANIFEST, manifest)):
            if not file.exists():
                with replacing(file) as new, writable(file):
                    new.write(content)
        return cls(address, folder / "files", view)


def fetch(address: Address, name: str, sha256: str, target: Path) -> None:
    """Bring a file of a store to ``target``, unless it is there. One process brings it, others wait for that.

    Raises:
        ClaraError: it is missing at the address, or is not what the manifest says.
    """
    with in_turn(target.with_name(f".{target.name}.tmp")) as working:
        if target.exists():
            working.unlink(missing_ok=True)
            return
        try:
            found = address.download(name, working)
        except FileNotFoundError as error:
            working.unlink(missing_ok=True)
            raise ClaraError(f"{address.setting}: {address.url}/{name} is missing") from error
        if found != sha256:
            working.unlink()
            raise ClaraError(
                f"{address.setting}: {address.url}/{name}: its checksum is not the one in the manifest: "
                "the file was changed"
            )
        working.replace(target)


def open_part(path: str | Path, *, setting: str = "--store") -> StoreFolder:
    """Open a store's folder, or a store at an address: of that the manifest alone is read, and one folder listed.

    Raises:
        ClaraError: no finished store is there, or a shard's file is missing.
    """
    if not is_address(path):
        return StoreFolder.open(path, setting=setting)
    address = Address.of(path, setting=setting)
    content = manifest_bytes(address)
    manifest = Manifest.parse(content, path=f"{address.url}/{MANIFEST}")
    _require_shards(address, manifest)
    mirror = Mirror.of(address, content)
    return StoreFolder(mirror.view, manifest, files=mirror, source=address.url)


def manifest_at(path: str | Path, *, setting: str) -> Manifest:
    """The manifest of a store in a folder or at an address.

    Raises:
        ClaraError: no finished store is there.
    """
    if not is_address(path):
        return Manifest.read(Path(path), setting=setting)
    address = Address.of(path, setting=setting)
    return Manifest.parse(manifest_bytes(address), path=f"{address.url}/{MANIFEST}")


def bytes_at(path: str | Path, *, setting: str) -> int:
    """Bytes of all files of a store in a folder or at an address."""
    if not is_address(path):
        return sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
    return Address.of(path, setting=setting).num_bytes()


def manifest_bytes(address: Address) -> bytes:
    """The manifest as it is at this moment.

    Raises:
        ClaraError: there is none.
    """
    content = address.read(MANIFEST)
    if content is None:
        unfinished = "its encoding is not finished: run clara predict again" if address.names() else "nothing is there"
        raise ClaraError(f"{address.setting}: {address.url} is no store ({unfinished})")
    return content


def _require_shards(address: Address, manifest: Manifest) -> None:
    there = address.names("shards")
    for shard in manifest.shards:
        for suffix in (MEMORY_SUFFIX, TEXT_SUFFIX):
            if f"{shard.name}.{suffix}" not in there:
                raise ClaraError(f"{address.setting}: {address.url}/shards/{shard.name}.{suffix} is missing")


def _link(path: Path, file: Path) -> None:
    """Give a file its name in a view; another process may do the same."""
    with suppress(FileExistsError):
        path.symlink_to(os.path.relpath(file, path.parent))
