"""``clara predict``: documents become a store.

A shard is written whole, so a kill costs at most the shard in work; the manifest is written last, so a folder with a
manifest is a finished store. What a shard holds depends on the documents and the compressor alone: run again after a
kill, the folder ends in the same bytes as after an undisturbed run.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor

from clara_lightning.backbone.backbone import ClaraBackbone, Compressed
from clara_lightning.backbone.folder import AdapterFolder, fingerprint
from clara_lightning.backbone.loading import BackboneConfig, load_tokenizer, resolve_dtype
from clara_lightning.corpus.address import Address, is_address
from clara_lightning.corpus.address_destination import AddressDestination
from clara_lightning.corpus.destination import Destination, FolderDestination
from clara_lightning.corpus.index_builder import IndexOptions
from clara_lightning.corpus.index_entry import IndexKind
from clara_lightning.corpus.maintenance import index as build_index
from clara_lightning.corpus.manifest import Identity, Manifest
from clara_lightning.corpus.memory_dtypes import MemoryDtype, bytes_per_row
from clara_lightning.corpus.shards import shard_name
from clara_lightning.data.corpus import CorpusBatch, CorpusDataModule
from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError
from clara_lightning.objectives.scores import ScoreName

SECONDS_BETWEEN_LINES = 30.0
"""So often an encoding says how far it is."""

log = logging.getLogger(__name__)


class CorpusEncoder(Callback):
    """Writes the store that ``clara predict`` makes; does nothing in other verbs.

    Args:
        store: folder of the store, or an address of fsspec (``s3://bucket/store``); required for ``clara predict``.
        index: of a search in two stages, for millions of documents: ``ivf-sq``, ``ivf-pq``, ``hnsw`` or ``flat``, as
            ``clara store index`` builds it in a folder. Without it every document is scored, which is exact.
        dtype: how memory is kept: in two bytes a value, or in one (``int8``, ``float8``) with a scale for each memory
            token.

    Raises:
        ClaraError: an address that nothing installed can speak to, or one together with an index.
    """

    def __init__(
        self, store: str | None = None, *, index: IndexKind | None = None, dtype: MemoryDtype = "bfloat16"
    ) -> None:
        if is_address(store):
            Address.of(store, setting="encoder.store")  # a missing package is found before a document is read
            if index is not None:
                raise ClaraError(f"encoder.index: {store} is an address, and an index needs a folder: leave it out")
        self.store = store or None
        self.index: IndexKind | None = index
        self.dtype: MemoryDtype = dtype
        self._destination: Destination | None = None
        self._identity: Identity | None = None
        self._documents: dict[int, Document] = {}
        self._memory: dict[int, Tensor] = {}
        self._cut = 0
        self._encoded = 0
        self._tokens = self._padding = 0
        self._started = self._told = time.monotonic()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Compare with what is in the store folder, and tell the DataModule which shards are done."""
        if stage != "predict":
            return
        corpus, folder = self._parts(trainer, pl_module)
        trainer.predict_loop.return_predictions = False  # or all memory would be kept, for nobody
        assert self.store is not None
        if corpus.chunking is not None:
            tokenizer = load_tokenizer(pl_module.backbone_config)  # type: ignore[arg-type]
            corpus.take_tokenizer(tokenizer, document_tokens=pl_module.memory_config.document_tokens)  # type: ignore
        self._identity = identity_of(folder, pl_module.backbone_config, corpus, dtype=self.dtype)  # type: ignore[arg-type]
        store = self._destination = _destination(self.store, rank=trainer.global_rank)
        found = store.begun()
        if found is not None:
            _refuse_other(store.name, found, self._identity)
        complete = store.is_complete()
        done = range(corpus.num_shards) if complete else store.finished(corpus.num_shards)
        # What the first process sees counts for all: they must not share the work out differently.
        corpus.finished_shards = trainer.strategy.broadcast(frozenset(done))
        trainer.strategy.barrier("store folder compared")  # before the first process writes into it
        if not trainer.is_global_zero:
            return
        if corpus.chunking is not None:
            log.info("%s", corpus.summary.cut_in_words(corpus.chunking.tokens))
        done_shards = len(corpus.finished_shards)
        log.info("%d documents in %d shards, %d done", corpus.summary.documents, corpus.num_shards, done_shards)
        if complete:
            store.tidy()
            return
        store.begin(self._identity)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make sure that the loaded weights are those of the fingerprint, and that little is padded."""
        assert self._identity is not None
        actual = fingerprint(pl_module.backbone)  # type: ignore[arg-type]
        if actual != self._identity.compressor:
            raise ClaraError(
                f"model.init_args.init_from: the compressor's weights have fingerprint {actual[:16]}, its clara.yaml "
                f"says {self._identity.compressor[:16]}: the folder was changed, or a --ckpt_path was given"
            )
        backbone: ClaraBackbone = pl_module.backbone  # type: ignore[assignment]
        if backbone.pads:
            trainer.datamodule.sort_by_tokens(backbone.tokenizer)  # type: ignore[attr-defined]
        self._started = self._told = time.monotonic()

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Compressed,
        batch: CorpusBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collect the shard in work, and write it when it is complete."""
        memory_NLD = outputs.memory_NLD  # float32: of bfloat16, float16 would keep no more
        if self.dtype == "bfloat16":  # on the device, so that half as much is fetched and held
            memory_NLD = memory_NLD.to(torch.bfloat16)
        self._documents.update(zip(batch.places, batch.documents, strict=True))
        self._memory.update(zip(batch.places, memory_NLD.cpu(), strict=True))
        self._cut += outputs.num_cut
        self._tokens += outputs.num_tokens
        self._padding += outputs.num_padding
        if len(self._memory) < batch.shard_rows:
            return
        assert self._destination is not None
        places = range(batch.shard_rows)
        self._destination.write(
            shard_name(batch.shard),
            [self._documents[place] for place in places],
            torch.stack([self._memory[place] for place in places]),
            documents_cut=self._cut,
            dtype=self.dtype,
        )
        self._documents, self._memory, self._cut = {}, {}, 0
        self._encoded += batch.shard_rows
        self._tell(trainer)

    def _tell(self, trainer: Trainer) -> None:
        """Say now and then how far the encoding is, how fast it goes, and how much it takes."""
        now = time.monotonic()
        if not trainer.is_global_zero or now - self._told < SECONDS_BETWEEN_LINES:
            return
        assert self._identity is not None
        self._told = now
        corpus: CorpusDataModule = trainer.datamodule  # type: ignore[attr-defined]
        total = corpus.summary.documents
        before = min(len(corpus.finished_shards) * corpus.rows_per_shard, total)
        done = min(self._encoded * trainer.world_size, total - before)  # the other processes go as fast
        rate = done / (now - self._started)
        identity = self._identity
        size = bytes_per_row(self.dtype, identity.memory_tokens, identity.hidden_size) * (before + done)
        left = timedelta(seconds=round((total - before - done) / rate))
        log.info(
            "%s of %s documents, %.1f a second, %s, %.2f GB of memory written, time left %s",
            f"{before + done:,}",
            f"{total:,}",
            rate,
            _padding_in_words(self._tokens, self._padding),
            size / 1e9,
            left,
        )

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the manifest, once every process has written its shards.

        Not ``on_predict_end``, which a process that has nothing left to encode does not reach.
        """
        if stage != "predict" or self._identity is None or self._destination is None:
            return
        trainer.strategy.barrier("shards written")
        self._tell_padding(trainer)
        if trainer.is_global_zero and not self._destination.is_complete():
            corpus = trainer.datamodule  # type: ignore[attr-defined]
            finish_store(self._destination, self._identity, num_shards=corpus.num_shards)
        self._destination.close()
        if trainer.is_global_zero and self.index is not None:
            folder: AdapterFolder = pl_module.parent  # type: ignore[assignment]
            self._build_index(self.index, folder.retrieval.score)
        trainer.strategy.barrier("store finished")

    def _build_index(self, kind: IndexKind, score: ScoreName) -> None:
        """The store is finished before, so that a build that fails costs no encoding."""
        assert self.store is not None
        found = Manifest.read(Path(self.store), setting="encoder.store").index
        if found is None or (found.kind, found.score) != (kind, score):
            build_index(self.store, IndexOptions(score, kind))

    def _tell_padding(self, trainer: Trainer) -> None:
        """Say what all processes ran over, as the backbone counted it."""
        both = torch.tensor([self._tokens, self._padding], device=trainer.strategy.root_device)
        tokens, padding = trainer.strategy.reduce(both, reduce_op="sum").tolist()
        if tokens and trainer.is_global_zero:
            log.info("the backbone ran over %s tokens; %s", f"{tokens + padding:,}", _padding_in_words(tokens, padding))

    def _parts(self, trainer: Trainer, pl_module: LightningModule) -> tuple[CorpusDataModule, AdapterFolder]:
        if self.store is None:
            raise ClaraError("encoder.store is required for clara predict: the folder to write")
        if isinstance(trainer.strategy, ModelParallelStrategy):
            raise ClaraError(
                "trainer.strategy: clara predict gives each process documents of its own, so each needs the whole "
                "backbone: use ddp or one device"
            )
        corpus = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(corpus, CorpusDataModule):
            raise ClaraError("data.class_path must be clara_lightning.CorpusDataModule for clara predict")
        folder = getattr(pl_module, "parent", None)
        if folder is None:
            raise ClaraError(
                "model.init_args.init_from is required for clara predict: the trained compressor's adapters"
            )
        return corpus, folder.of_length(pl_module.memory_config.tokens)  # type: ignore[union-attr]


def identity_of(
    folder: AdapterFolder, backbone: BackboneConfig, corpus: CorpusDataModule, *, dtype: MemoryDtype
) -> Identity:
    """What a store of this corpus by this compressor on this backbone is."""
    return Identity(
        backbone=str(backbone.name),
        compressor=folder.fingerprint,
        memory_tokens=folder.memory.tokens,
        hidden_size=int(folder.architecture["hidden_size"]),
        dtype=dtype,
        compute_dtype=str(resolve_dtype(backbone.dtype)).removeprefix("torch."),
        rows_per_shard=corpus.rows_per_shard,
        documents_sha256=corpus.summary.sha256,
        chunk_tokens=corpus.chunking.tokens if corpus.chunking else 0,
        chunk_overlap=corpus.chunking.overlap if corpus.chunking else 0,
    )


def finish_store(store: Destination, identity: Identity, *, num_shards: int) -> None:
    """Check that all shards are there, and write the manifest.

    Raises:
        ClaraError: a shard is missing (the run was limited to some batches).
    """
    done = store.finished(num_shards)
    if len(done) < num_shards:
        raise ClaraError(
            f"encoder.store: {store.name}: {num_shards - len(done)} shards are missing: run clara predict again"
        )
    shards, cut = store.described(num_shards)
    manifest = Manifest(identity, shards, documents_cut=cut)
    store.finish(manifest)
    log.info("store %s: %d documents, %d of them longer than the limit and cut", store.name, manifest.rows, cut)


def _padding_in_words(tokens: int, padding: int) -> str:
    return f"padding {100 * padding / (tokens + padding):.1f} % of tokens"


def _destination(store: str, *, rank: int) -> Destination:
    return AddressDestination(store, rank=rank) if is_address(store) else FolderDestination(Path(store))


def _refuse_other(store: str, found: Identity, wanted: Identity) -> None:
    # Documents come last: cut otherwise they are others, and what was set otherwise is to be named.
    for key in sorted(asdict(found), key=lambda key: key == "documents_sha256"):
        value, other = getattr(found, key), getattr(wanted, key)
        if value != other and value is not None:  # an older store does not say how documents were cut
            raise ClaraError(
                f"encoder.store: {store} was begun with {key} {value}, this run has {other}: "
                "choose another folder or delete it"
            )
