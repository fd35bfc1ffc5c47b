"""Both paths over one tiny random model; ``benchmarks`` lies beside the package and is found by its folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import AdapterFolder, RetrievalConfig, save_adapters
from clara_lightning.backbone.loading import BackboneConfig

sys.path.insert(0, str(Path(__file__).parents[2]))


class Pair(NamedTuple):
    """``benchmarks.ours.Ours`` and ``benchmarks.plain.Plain`` with the same weights."""

    ours: Any
    plain: Any


@pytest.fixture
def pair(
    tiny_backbone: Callable[..., ClaraBackbone],
    tiny_model: Callable[..., PreTrainedModel],
    tiny_tokenizer: Callable[..., PreTrainedTokenizerBase],
    tmp_path: Path,
) -> Callable[..., Pair]:
    """Builds a pair over a family; the plain path reads what the other wrote."""
    from benchmarks.ours import Ours
    from benchmarks.plain import Plain

    def build(family: str, *, dtype: torch.dtype = torch.float32) -> Pair:
        backbone = tiny_backbone(family, adapters=(COMPRESSOR, GENERATOR, QUERY_REASONER), dtype=dtype)
        backbone.start_query_reasoner()
        folder = tmp_path / "adapters"
        settings = {"config": BackboneConfig(name="tiny"), "stage": "test", "parent": None}
        save_adapters(backbone, folder, retrieval=RetrievalConfig(), **settings)
        tokenizer = tiny_tokenizer()
        model = tiny_model(family, vocab_size=len(tokenizer), dtype=dtype)
        return Pair(Ours(backbone), Plain(model, tokenizer, AdapterFolder.open(folder)))

    return build
