"""What figures were measured on."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

import torch

FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")


def machine() -> str:
    """Date, processor, versions, load."""
    info = Path("/proc/cpuinfo")
    words = set(info.read_text().split()) if info.is_file() else set()
    flags = " ".join(flag for flag in FLAGS if flag in words) or platform.processor()
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    cores = f"{os.cpu_count()} cores ({torch.get_num_threads()} threads)"
    card = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    return (
        f"{datetime.date.today()}, {platform.machine()}, {card}{cores}, {flags}, "
        f"Python {platform.python_version()}, torch {torch.__version__}{load}"
    )
