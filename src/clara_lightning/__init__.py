"""clara_lightning: retrieval-augmented generation over compressed documents.

The names below are imported when they are first used, so that ``import clara_lightning`` is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clara_lightning.backbone.backbone import ClaraBackbone
    from clara_lightning.backbone.lens import logit_lens
    from clara_lightning.corpus.encoder import CorpusEncoder
    from clara_lightning.corpus.store import LatentStore
    from clara_lightning.data.corpus import CorpusDataModule
    from clara_lightning.data.modules import InstructDataModule, QADataModule, SCPDataModule
    from clara_lightning.demo.dataset import write_demo_data
    from clara_lightning.errors import ClaraError
    from clara_lightning.inference.explain import explain
    from clara_lightning.inference.pipeline import ClaraPipeline
    from clara_lightning.modules.compressor import SalientCompressor
    from clara_lightning.modules.joint import JointRAGModule
    from clara_lightning.modules.sharding import ShardedStrategy
    from clara_lightning.objectives.estimators import (
        Contrastive,
        Distill,
        Gumbel,
        LeaveOneOut,
        Published,
        ReinMax,
        StraightThrough,
    )
    from clara_lightning.objectives.topk import StraightThroughTopK

_HOMES = {
    "ClaraBackbone": "backbone.backbone",
    "ClaraError": "errors",
    "ClaraPipeline": "inference.pipeline",
    "Contrastive": "objectives.estimators",
    "CorpusDataModule": "data.corpus",
    "CorpusEncoder": "corpus.encoder",
    "Distill": "objectives.estimators",
    "Gumbel": "objectives.estimators",
    "InstructDataModule": "data.modules",
    "JointRAGModule": "modules.joint",
    "LatentStore": "corpus.store",
    "LeaveOneOut": "objectives.estimators",
    "Published": "objectives.estimators",
    "QADataModule": "data.modules",
    "ReinMax": "objectives.estimators",
    "SCPDataModule": "data.modules",
    "SalientCompressor": "modules.compressor",
    "ShardedStrategy": "modules.sharding",
    "StraightThrough": "objectives.estimators",
    "StraightThroughTopK": "objectives.topk",
    "explain": "inference.explain",
    "logit_lens": "backbone.lens",
    "write_demo_data": "demo.dataset",
}

__all__ = [
    "ClaraBackbone",
    "ClaraError",
    "ClaraPipeline",
    "Contrastive",
    "CorpusDataModule",
    "CorpusEncoder",
    "Distill",
    "Gumbel",
    "InstructDataModule",
    "JointRAGModule",
    "LatentStore",
    "LeaveOneOut",
    "Published",
    "QADataModule",
    "ReinMax",
    "SCPDataModule",
    "SalientCompressor",
    "ShardedStrategy",
    "StraightThrough",
    "StraightThroughTopK",
    "explain",
    "logit_lens",
    "write_demo_data",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
