"""Stores made by hand: memory of chosen values, without a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clara_lightning.corpus.index import IndexKind, build_index
from clara_lightning.corpus.manifest import Identity, Manifest, Shard, file_sha256
from clara_lightning.corpus.shards import shard_name, write_shard
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.records import Document

MakeStore = Callable[..., LatentStore]


def named(number: int) -> Document:
    return Document(f"d{number}", f"Text {number}.", f"Title {number}", {"number": number})


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """``make_store(memory_NLD, rows_per_shard=4)``: a finished store of documents ``d0``, ``d1``, ..."""

    def make(
        memory_NLD: Tensor, *, rows_per_shard: int = 4, index: IndexKind = "maxsim", name: str = "store"
    ) -> LatentStore:
        folder = tmp_path / name
        (folder / "shards").mkdir(parents=True)
        shards = []
        for number, start in enumerate(range(0, len(memory_NLD), rows_per_shard)):
            part = memory_NLD[start : start + rows_per_shard].to(torch.bfloat16)
            documents = [named(start + row) for row in range(len(part))]
            write_shard(folder / "shards", shard_name(number), documents, part, documents_cut=0)
            sums = [file_sha256(folder / "shards" / f"{shard_name(number)}.{s}") for s in ("safetensors", "parquet")]
            shards.append(Shard(shard_name(number), len(part), *sums))
        identity = Identity(
            backbone="tiny",
            compressor="ab" * 32,
            memory_tokens=memory_NLD.shape[1],
            hidden_size=memory_NLD.shape[2],
            dtype="bfloat16",
            compute_dtype="float32",
            rows_per_shard=rows_per_shard,
            documents_sha256="cd" * 32,
        )
        manifest = Manifest(identity, tuple(shards), documents_cut=0, index=index)
        build_index(LatentStore(folder, manifest), index)
        manifest.write(folder)
        return LatentStore.open(folder)

    return make
