"""What every measurement starts from: adapters, a store and documents in a folder, so that each process can open them.

Adapters are untrained, but not at their start, where they would change nothing and half of their gradients would be
zero: the second matrix of each is random, and small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from benchmarks.ours import Ours
from benchmarks.plain import Plain
from benchmarks.settings import DOCUMENT_TOKENS, MEMORY_TOKENS, PLAIN
from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER, LoraSettings
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import (
    AdapterFolder,
    RetrievalConfig,
    build_from_folder,
    fingerprint,
    save_adapters,
)
from clara_lightning.backbone.loading import BackboneConfig, load_pretrained
from clara_lightning.backbone.memory import MemoryConfig
from clara_lightning.corpus.destination import FolderDestination
from clara_lightning.corpus.encoder import finish_store
from clara_lightning.corpus.manifest import Identity
from clara_lightning.corpus.shards import shard_name, write_shard
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.prompts import PromptTemplate
from clara_lightning.data.records import Document
from clara_lightning.data.writers import write_jsonl

LORA = LoraSettings(rank=16, alpha=32, dropout=0.0)
ADAPTERS = (COMPRESSOR, GENERATOR, QUERY_REASONER)
CALIBRATION_SAMPLE = 16
SPREAD = 0.01  # of the adapters' second matrices
BLOCK = 16  # documents compressed at a time


@dataclass(frozen=True)
class Prepared:
    """A folder with adapters, a store that its compressor made, and documents to encode."""

    path: Path

    @property
    def adapters(self) -> AdapterFolder:
        """The adapters' header."""
        return AdapterFolder.open(self.path / "adapters")

    @property
    def documents(self) -> Path:
        """File of the documents to encode."""
        return self.path / "documents.jsonl"

    def open_store(self) -> LatentStore:
        """The store of the candidates."""
        return LatentStore.open(self.path / "store")

    def open_ours(self, device: torch.device, *, dropout: float = 0.0) -> Ours:
        """Our path, as a training stage has it; it reads candidates from the store."""
        folder = self.adapters
        backbone = build_from_folder(replace(folder, lora=replace(folder.lora, dropout=dropout)))
        return Ours(backbone.to(device).train(), self.open_store())

    def open_plain(self, device: torch.device, *, float32_adapters: bool = False) -> Plain:
        """The plain path, over the same backbone loaded once more; for the dtype of adapters see :class:`Plain`."""
        folder = self.adapters
        model, tokenizer = load_pretrained(BackboneConfig(name=folder.backbone["name"]))
        model = cast(Any, model).to(device).train()
        return Plain(model, tokenizer, folder, float32_adapters=float32_adapters)

    def open_way(self, name: str, device: torch.device) -> Ours | Plain:
        """One of both by its name."""
        return self.open_plain(device) if name == PLAIN else self.open_ours(device)


def new_backbone(
    name: str,
    texts: Sequence[str],
    questions: Sequence[str],
    *,
    device: torch.device,
    memory_tokens: int = MEMORY_TOKENS,
    document_tokens: int = DOCUMENT_TOKENS,
) -> ClaraBackbone:
    """A backbone with calibrated memory and adapters that change what it does."""
    model, tokenizer = load_pretrained(BackboneConfig(name=name))
    torch.manual_seed(0)
    backbone = ClaraBackbone(
        model,
        tokenizer,
        memory=MemoryConfig(tokens=memory_tokens, document_tokens=document_tokens),
        lora=LORA,
        prompt=PromptTemplate(),
        adapters=ADAPTERS,
    ).to(device)
    with torch.no_grad():
        for key, value in backbone.lm.named_parameters():
            if "lora_B" in key:
                value.normal_(std=SPREAD)
    backbone.eval().requires_grad_(False)
    backbone.calibrate(texts, questions, sample=CALIBRATION_SAMPLE)
    backbone.start_query_reasoner()
    return backbone


def prepare(
    folder: Path,
    name: str,
    *,
    documents: Sequence[Document],
    candidates: Sequence[Document],
    questions: Sequence[str],
    device: torch.device,
) -> Prepared:
    """Make adapters, and a store of the candidates.

    Args:
        folder: where.
        name: of the backbone, as ``backbone.name``.
        documents: what is to be encoded; the compressor is calibrated on it.
        candidates: documents of the store.
        questions: whose words count as frequent.
        device: where to compute.
    """
    texts = [document.content for document in documents]
    backbone = new_backbone(name, texts, questions, device=device)
    save_adapters(
        backbone,
        folder / "adapters",
        config=BackboneConfig(name=name),
        stage="benchmark",
        parent=None,
        retrieval=RetrievalConfig(),
    )
    write_jsonl(folder / "documents.jsonl", documents)
    write_store(folder / "store", backbone, candidates, name=name)
    return Prepared(folder)


def write_store(path: Path, backbone: ClaraBackbone, documents: Sequence[Document], *, name: str) -> LatentStore:
    """Encode documents into a store of one shard."""
    (path / "shards").mkdir(parents=True)
    blocks = [documents[start : start + BLOCK] for start in range(0, len(documents), BLOCK)]
    with torch.inference_mode():
        memory = [backbone.compress([document.content for document in block]) for block in blocks]
    write_shard(path / "shards", shard_name(0), documents, torch.cat(memory).to("cpu", torch.bfloat16), documents_cut=0)
    identity = Identity(
        backbone=name,
        compressor=fingerprint(backbone),
        memory_tokens=backbone.memory_config.tokens,
        hidden_size=backbone.hidden_size,
        dtype="bfloat16",
        compute_dtype=str(backbone.causal_lm.dtype).removeprefix("torch."),
        rows_per_shard=len(documents),
        documents_sha256="",
    )
    finish_store(FolderDestination(path), identity, num_shards=1)
    return LatentStore.open(path)
