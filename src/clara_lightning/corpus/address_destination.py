"""``clara predict`` to an address.

A shard there is three objects: its memory, its text, and then a ledger, ``shards/NAME.json``, with what the manifest
will say of it. Where the ledger is, the shard is finished. Ledgers are removed once the manifest is there, so that a
store at an address has the very files of one in a folder; the plan goes last, so that a kill in between is seen and
tidied up.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from clara_lightning.backbone.loading import cache_folder
from clara_lightning.corpus.address import Address
from clara_lightning.corpus.destination import PLAN, SETTING, not_empty, plan_of
from clara_lightning.corpus.manifest import MANIFEST, Identity, Manifest, Shard, write_json
from clara_lightning.corpus.memory_dtypes import MemoryDtype
from clara_lightning.corpus.shards import MEMORY_SUFFIX, TEXT_SUFFIX, describe, shard_name, write_shard
from clara_lightning.data.records import Document
from clara_lightning.data.writers import writable
from clara_lightning.errors import ClaraError

LEDGER_SUFFIX = "json"

log = logging.getLogger(__name__)


class AddressDestination:
    """See :class:`Destination`: an address, to which each process brings the shards that it made.

    Args:
        url: the address.
        rank: of this process; it has a folder of its own for the shard in work.
    """

    def __init__(self, url: str, *, rank: int) -> None:
        self.address = Address.of(url, setting=SETTING)
        self.name = self.address.url
        key = hashlib.sha256(self.name.encode()).hexdigest()[:16]
        self._working = cache_folder() / "encoding" / key / f"{rank:05d}"

    def begun(self) -> Identity | None:
        """See :class:`Destination`."""
        if (manifest := self.address.read(MANIFEST)) is not None:
            return Manifest.parse(manifest, path=f"{self.name}/{MANIFEST}").identity
        if (plan := self.address.read(PLAN)) is not None:
            return plan_of(plan, f"{self.name}/{PLAN}")
        if self.address.names() - {f".{PLAN}.tmp"}:
            raise not_empty(self.name)
        return None

    def is_complete(self) -> bool:
        """See :class:`Destination`."""
        return self.address.read(MANIFEST) is not None

    def finished(self, num_shards: int) -> list[int]:
        """Numbers of the shards whose ledger is there, and the files that it is of: by one listing."""
        there = self.address.names("shards")
        suffixes = (MEMORY_SUFFIX, TEXT_SUFFIX, LEDGER_SUFFIX)
        return [n for n in range(num_shards) if all(f"{shard_name(n)}.{suffix}" in there for suffix in suffixes)]

    def begin(self, identity: Identity) -> None:
        """See :class:`Destination`."""
        log.warning("%s: an address has no locks: let no other clara predict write to it", self.name)
        write_json(self._work_folder() / PLAN, asdict(identity))
        self._bring(PLAN, PLAN)

    def write(
        self, name: str, documents: Sequence[Document], memory_NLD: Tensor, *, documents_cut: int, dtype: MemoryDtype
    ) -> None:
        """See :class:`Destination`. Of shards in work no more than this one is on the disk."""
        folder = self._work_folder()
        write_shard(folder, name, documents, memory_NLD, documents_cut=documents_cut, dtype=dtype)
        ledger = {"shard": asdict(describe(folder, name)), "documents_cut": documents_cut}
        write_json(folder / f"{name}.{LEDGER_SUFFIX}", ledger)
        for suffix in (MEMORY_SUFFIX, TEXT_SUFFIX, LEDGER_SUFFIX):  # the ledger last
            self._bring(f"{name}.{suffix}", f"shards/{name}.{suffix}")

    def described(self, num_shards: int) -> tuple[tuple[Shard, ...], int]:
        """See :class:`Destination`."""
        names = [_ledger(number) for number in range(num_shards)]
        shards, cut = [], 0
        for name, content in zip(names, self.address.read_all(names), strict=True):
            try:
                ledger = json.loads(content or b"")
                shards.append(Shard(**ledger["shard"]))
                cut += int(ledger["documents_cut"])
            except (KeyError, TypeError, ValueError) as error:
                raise ClaraError(
                    f"{self.name}/{name}: not a valid ledger: {error}: remove it and run clara predict again"
                ) from error
        return tuple(shards), cut

    def finish(self, manifest: Manifest) -> None:
        """See :class:`Destination`."""
        manifest.write(self._work_folder())
        self._bring(MANIFEST, MANIFEST)
        self.tidy()

    def tidy(self) -> None:
        """See :class:`Destination`."""
        if self.address.read(PLAN) is None:
            return
        ledgers = (name for name in self.address.names("shards") if name.endswith(f".{LEDGER_SUFFIX}"))
        self.address.remove(f"shards/{name}" for name in ledgers)
        self.address.remove([PLAN])

    def close(self) -> None:
        """See :class:`Destination`."""
        shutil.rmtree(self._working, ignore_errors=True)

    def _work_folder(self) -> Path:
        with writable(self._working):
            self._working.mkdir(parents=True, exist_ok=True)
        return self._working

    def _bring(self, working: str, name: str) -> None:
        self.address.upload(self._working / working, name)
        (self._working / working).unlink()


def _ledger(number: int) -> str:
    return f"shards/{shard_name(number)}.{LEDGER_SUFFIX}"
