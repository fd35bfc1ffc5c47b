"""The backbone's architecture without its weights, and where it is known from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from clara_lightning.backbone.loading import (
    PACKAGE_SCHEME,
    BackboneConfig,
    converted_folder,
    package_path,
    quiet_transformers,
    resolve_dtype,
)
from clara_lightning.errors import ClaraError
from clara_lightning.estimate.published import PUBLISHED


class Architecture(NamedTuple):
    """A transformers configuration, the words for where it came from, and the tokenizer where one is at hand."""

    config: PreTrainedConfig
    source: str
    tokenizer: PreTrainedTokenizerBase | None


def find_architecture(backbone: BackboneConfig) -> Architecture:
    """Look where the weights would come from; a hub id in the hub's cache, our own table, and the hub, in this order.

    Raises:
        ClaraError: ``backbone.name`` is missing, or nothing is known about it here.
    """
    name = backbone.name
    if not name:
        raise ClaraError("model.init_args.backbone.name is required: a hub id, a folder or a .gguf file")
    path = package_path(name) if name.startswith(PACKAGE_SCHEME) else Path(name).expanduser()
    if path.suffix == ".gguf":
        return _of_gguf(name, path, backbone)
    shared = {"revision": backbone.revision, "trust_remote_code": backbone.trust_remote_code}
    if path.is_dir():
        return _load(str(path), f"config.json of the folder {name}", name, shared)
    if name.startswith((".", "/", "~", PACKAGE_SCHEME)) or name.count("/") > 1:
        raise ClaraError(f"model.init_args.backbone.name: no such folder: {name}")
    try:
        return _load(name, "the hub's cache", name, shared | {"local_files_only": True})
    except ClaraError:
        if name in PUBLISHED:
            return Architecture(PUBLISHED[name].config(), "the table of published sizes in this package", None)
    return _load(name, "the hub", name, shared)


def _of_gguf(name: str, path: Path, backbone: BackboneConfig) -> Architecture:
    if not path.is_file():
        raise ClaraError(f"model.init_args.backbone.name: no such file: {name}")
    source = f"header of {path.name}"
    converted = converted_folder(path, resolve_dtype(backbone.dtype))
    if converted.is_dir():
        return _load(str(converted), source, name, {})
    return _load(str(path.parent), source, name, {"gguf_file": path.name})


def _load(path: str, source: str, name: str, options: dict[str, Any]) -> Architecture:
    try:
        with quiet_transformers():
            config = AutoConfig.from_pretrained(path, **options)
            tokenizer = _tokenizer(path, options)
    except (OSError, ValueError, ImportError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ClaraError(
            f"model.init_args.backbone.name: nothing is known here about {name!r}, neither a folder, the hub's cache, "
            f"our table nor the hub: {reason}"
        ) from error
    return Architecture(config, source, tokenizer)


def _tokenizer(path: str, options: dict[str, Any]) -> PreTrainedTokenizerBase | None:
    """The tokenizer beside the configuration; lengths are guessed from characters where there is none."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path, **options)
    except (OSError, ValueError, ImportError, KeyError):
        return None
    return tokenizer
