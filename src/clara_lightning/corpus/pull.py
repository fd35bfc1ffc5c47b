"""``clara store pull``: a store at an address becomes a folder, which may then be changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from clara_lightning.corpus.address import Address
from clara_lightning.corpus.checksums import file_sha256
from clara_lightning.corpus.manifest import MANIFEST, PULLING, Manifest, write_json
from clara_lightning.corpus.mirror import fetch, manifest_bytes
from clara_lightning.corpus.store_folder import files_of
from clara_lightning.data.writers import replacing, writable
from clara_lightning.errors import ClaraError

AT_ONCE = 8
"""So many files come at the same time."""


def pull(url: str, folder: str | Path, *, tell: Callable[[str], None] = lambda line: None) -> Manifest:
    """Copy a store at an address into a folder; each file is compared with its checksum. BM25's index is left out.

    After an interruption it goes on: files that are there and right are not brought again.

    Args:
        url: the address.
        folder: where the store will be.
        tell: told how far it is.

    Returns:
        The manifest, which is written last.

    Raises:
        ClaraError: no finished store is at the address, a file is missing or changed, or the folder holds something.
    """
    address, target = Address.of(url, setting="STORE"), Path(folder)
    content = manifest_bytes(address)
    manifest = Manifest.parse(content, path=f"{address.url}/{MANIFEST}")
    is_begun = _is_begun(target, address.url)
    with writable(target):
        target.mkdir(parents=True, exist_ok=True)
        write_json(target / PULLING, {"address": address.url})

    def bring(named: tuple[str, str]) -> None:
        name, sha256 = named
        file = target / name
        with writable(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            if is_begun and file.exists() and file_sha256(file) != sha256:  # of another generation
                file.unlink()
            fetch(address, name, sha256, file)

    files = list(files_of(manifest))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number, _ in enumerate(pool.map(bring, files), start=1):
            tell(f"{number:,} of {len(files):,} files are here")
    with replacing(target / MANIFEST) as file, writable(target / MANIFEST):
        file.write(content)
    (target / PULLING).unlink()
    return manifest


def _is_begun(folder: Path, url: str) -> bool:
    """Whether a folder is one that was being pulled from there; else it must be empty, or not there."""
    mark = folder / PULLING
    if mark.is_file() and json.loads(mark.read_bytes())["address"] == url:
        return True
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ClaraError(f"FOLDER: {folder} is there already: choose another folder")
    return False
