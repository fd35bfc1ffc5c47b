"""Where the rows of the study start: the adapters of the package, or these with their retriever spoilt."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from clara_lightning.backbone.adapters import QUERY_REASONER
from clara_lightning.backbone.folder import MEMORY_FILE, AdapterFolder, replace_folder
from clara_lightning.backbone.query import QueryConfig

PRETRAINED = "package://clara_lightning/pretrained/smollm2-135m"
QUERY = QueryConfig(projection=64, importance=True)  # as study.yaml has it


def spoil(target: Path, *, amount: float = 10.0, seed: int = 0) -> Path:
    """The adapters of the package, whose query vectors point elsewhere; the memory, and with it a store, stays.

    The learned map of the query vectors is a random one instead of none.

    Args:
        target: folder to write; one that is there stays.
        amount: length of what is added to a vector, relative to it.
        seed: of the map.
    """
    if target.is_dir():
        return target
    folder = AdapterFolder.open(PRETRAINED)
    working = target.with_name(f".{target.name}-making")
    shutil.rmtree(working, ignore_errors=True)
    shutil.copytree(folder.path, working)
    tensors = load_file(working / MEMORY_FILE)
    dim, rank = folder.architecture["hidden_size"], QUERY.projection
    draw = torch.Generator().manual_seed(seed)
    own = {  # of a vector the first map keeps sqrt(rank / dim) of the length, the second adds sqrt(dim / rank) * amount
        "projection.0.weight": torch.randn(rank, dim, generator=draw) * dim**-0.5,
        "projection.1.weight": torch.randn(dim, rank, generator=draw) * amount * rank**-0.5,
        "importance.weight": torch.zeros(2, dim),
        "importance.bias": torch.zeros(2),
    }
    save_file(tensors | {f"{QUERY_REASONER}.{name}": value for name, value in own.items()}, working / MEMORY_FILE)
    replace(folder, path=working, query=QUERY).write()
    target.parent.mkdir(parents=True, exist_ok=True)
    replace_folder(working, target)
    return target
