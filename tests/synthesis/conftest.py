"""A scripted server, a client that asks it, and a teacher that knows a small world, for all tests of this folder."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def _load(name: str) -> Any:
    """A file beside this one: with ``--import-mode=importlib`` tests cannot import each other."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    if name in sys.modules:
        return sys.modules[name]
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def scripted_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """``scripted_server(script)`` starts an endpoint, as ``tests/synthesis/scripted_server.py`` says."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    servers = _load("scripted_server").Servers()
    yield servers
    servers.stop()


@pytest.fixture
def client() -> Any:
    """The functions of ``tests/synthesis/endpoint_client.py``."""
    return _load("endpoint_client")


@pytest.fixture
def knowing() -> Any:
    """The class of a teacher that knows a small world by heart."""
    return _load("knowing_teacher").KnowingTeacher


@pytest.fixture
def a_bridge() -> Any:
    """Makes documents that it knows."""
    return _load("knowing_teacher").a_bridge
