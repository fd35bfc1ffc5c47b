"""A copy of an adapter folder that can be pushed to the Hub as it is."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors.torch import save_file
from torch import Tensor

from clara_lightning.backbone.adapters import COMPRESSOR
from clara_lightning.backbone.folder import (
    CONFIG_FILE,
    MEMORY_FILE,
    WEIGHTS_FILE,
    AdapterFolder,
    fingerprint_of,
    load_tensors,
)
from clara_lightning.errors import ClaraError
from clara_lightning.publishing.base_model import BaseModel, base_model, hub_id
from clara_lightning.publishing.card import FILE
from clara_lightning.publishing.exported_card import exported_card

WeightsDtype = Literal["as they are", "bfloat16", "float32"]
ATTRIBUTES = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: the header of the new folder.
        before: fingerprint of the adapters that it was made of.
        base: the backbone that it names.
    """

    folder: AdapterFolder
    before: str
    base: BaseModel


def export_hub_folder(
    adapters: str | Path, out: str | Path, *, base: str | None = None, dtype: WeightsDtype = "as they are"
) -> Exported:
    """Write the folder, whole or not at all: adapters, memory tokens, header, card and ``.gitattributes``.

    Nothing else of the adapters' folder goes out, and no path of this machine. The fingerprint is that of the weights
    as they are written: rounded to bfloat16, the compressor makes another memory.

    Args:
        adapters: adapter folder, or a run folder with one.
        out: the new folder; nothing may be in it.
        base: hub id that takes the backbone's place; required where that is a local one.
        dtype: of the adapters' weights. Memory tokens and calibration stay as they are.

    Raises:
        ClaraError: a folder or a file is not as it should be, or a hub id is missing or none.
    """
    folder, target = AdapterFolder.open(adapters), Path(out)
    before = base_model(folder.backbone["name"], folder.backbone["revision"])
    named = BaseModel("hub", hub_id(base), before.revision if base == before.shown else None) if base else before
    if named.kind == "local":
        raise ClaraError(
            f"--base-model is required: the backbone of {folder.path} is a local one, {before.shown!r}; "
            "name a hub id of the same shapes"
        )
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ClaraError(f"--out: {target} is there already, and is no empty folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        working = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
        try:
            written = _write(folder, working, before=before, base=named, dtype=dtype)
            _let_read(working)
            working.replace(target)
        finally:
            shutil.rmtree(working, ignore_errors=True)
    except OSError as error:
        raise ClaraError(f"--out: {target} cannot be written: {error.strerror or error}") from error
    return Exported(replace(written, path=target), folder.fingerprint, named)


def _write(
    folder: AdapterFolder, working: Path, *, before: BaseModel, base: BaseModel, dtype: WeightsDtype
) -> AdapterFolder:
    """All files of the new folder; its header is returned."""
    heads = load_tensors(folder.path / MEMORY_FILE)
    save_file(heads, str(working / MEMORY_FILE))
    weights = {name: load_tensors(folder.path / name / WEIGHTS_FILE) for name in folder.adapters}
    rounded = {name: _in_dtype(tensors, dtype) for name, tensors in weights.items()}
    for name, tensors in rounded.items():
        (working / name).mkdir()
        save_file(tensors, str(working / name / WEIGHTS_FILE), metadata={"format": "pt"})
        _write_json(working / name / CONFIG_FILE, _peft_config(folder.path / name / CONFIG_FILE, base))
    new = replace(
        folder,
        path=working,
        backbone={"name": base.shown, "revision": base.revision},
        fingerprint=_fingerprint(folder, weights, rounded, heads),
    )
    new.write()
    (working / ".gitattributes").write_text(ATTRIBUTES, encoding="utf-8")
    dtypes = sorted({str(value.dtype).removeprefix("torch.") for file in rounded.values() for value in file.values()})
    card = exported_card(folder, new, before=before, base=base, dtypes=", ".join(dtypes))
    (working / FILE).write_text(card, encoding="utf-8")
    return new


def _fingerprint(
    folder: AdapterFolder,
    weights: dict[str, dict[str, Tensor]],
    rounded: dict[str, dict[str, Tensor]],
    heads: dict[str, Tensor],
) -> str:
    """Of the rounded weights, once those that were there are known to be the header's."""
    if COMPRESSOR not in weights:
        return folder.fingerprint
    found = fingerprint_of(folder, weights=weights[COMPRESSOR], heads=heads)
    if found != folder.fingerprint:
        raise ClaraError(
            f"--adapters: the compressor's weights have fingerprint {found[:16]}, the clara.yaml of {folder.path} says "
            f"{folder.fingerprint[:16]}"
        )
    return fingerprint_of(folder, weights=rounded[COMPRESSOR], heads=heads)


def _in_dtype(tensors: dict[str, Tensor], dtype: WeightsDtype) -> dict[str, Tensor]:
    if dtype not in get_args(WeightsDtype):
        raise ClaraError(f"--dtype must be bfloat16 or float32, got {dtype!r}")
    if dtype == "as they are":
        return tensors
    wanted = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    return {name: value.to(wanted) for name, value in tensors.items()}


def _peft_config(path: Path, base: BaseModel) -> dict[str, Any]:
    """PEFT's settings of an adapter, with a backbone that is found elsewhere too."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        return {**settings, "base_model_name_or_path": base.shown, "revision": base.revision}
    except OSError as error:
        raise ClaraError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError) as error:
        raise ClaraError(f"{path}: no settings of PEFT: {error}") from error


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _let_read(folder: Path) -> None:
    """Temporary folders and safetensors' files can be read by their owner alone."""
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    folder.chmod(0o755)
