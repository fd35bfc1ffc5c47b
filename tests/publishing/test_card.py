"""The model card: what the Hub reads of it, what people read, and what texts from outside cannot do to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard as HubCard

from clara_lightning.backbone.adapters import LoraSettings
from clara_lightning.backbone.folder import AdapterFolder, RetrievalConfig
from clara_lightning.backbone.memory import MemoryConfig
from clara_lightning.data.prompts import PromptTemplate
from clara_lightning.publishing.card import REWRITTEN, model_card
from clara_lightning.publishing.training import DataFile, Training

FOLDER = AdapterFolder(
    path=Path("/somewhere/run/adapters"),
    backbone={"name": "owner/model", "revision": None},
    architecture={"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 320},
    memory=MemoryConfig(tokens=4, document_tokens=40),
    lora=LoraSettings(rank=2),
    prompt=PromptTemplate(),
    stage="SalientCompressor",
    adapters=("compressor", "generator"),
    retrieval=RetrievalConfig(),
    fingerprint="ab" * 32,
    parent=None,
)
TRAINING = Training(
    {"seed": "3"},
    steps=8,
    rows_seen=24,
    seconds=12.4,
    train=DataFile("train.jsonl", 16, "cd" * 32),
    validation=DataFile("val.jsonl", 5, "ef" * 32),
    metrics=[{"step": 7.0, "val/loss": 2.5}],
)


def of_backbone(name: str | None, revision: str | None = None) -> AdapterFolder:
    return replace(FOLDER, backbone={"name": name, "revision": revision})


def metadata(card: str) -> dict[str, Any]:
    """As the Hub's own library reads it."""
    return dict(HubCard(card).data.to_dict())


def test_the_hub_reads_the_base_model_library_and_task() -> None:
    assert metadata(model_card(FOLDER, training=TRAINING)) == {
        "base_model": "owner/model",
        "base_model_relation": "adapter",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["clara_lightning", "lora", "retrieval-augmented-generation", "context-compression"],
    }


def test_license_and_data_set_are_told_where_they_are_known() -> None:
    train = DataFile("hf://owner/data:config#train", 16)
    found = metadata(model_card(FOLDER, training=replace(TRAINING, license="apache-2.0", train=train)))
    assert (found["license"], found["datasets"]) == ("apache-2.0", ["owner/data"])


@pytest.mark.parametrize("name", ["/home/someone/llama", "package://pack/llama.gguf", None])
def test_a_backbone_that_is_not_on_the_hub_is_no_base_model(name: str | None) -> None:
    card = model_card(of_backbone(name))
    assert "base_model" not in metadata(card)
    assert "clara export --base-model OWNER/NAME" in card
    assert "/home/someone" not in card


def test_the_revision_is_where_the_backbone_is_loaded() -> None:
    card = model_card(of_backbone("owner/model", "v1"))
    assert 'AutoModelForCausalLM.from_pretrained("owner/model", revision="v1")' in card


def test_people_read_what_was_trained_on_what_and_how_long() -> None:
    card = model_card(replace(FOLDER, parent="99" * 32), training=replace(TRAINING, data_license="CC BY 4.0, by us"))
    for line in (
        "| steps | 8 |",
        "| rows read | 24, each as often as it was read (1.50 epochs) |",
        "| seconds of training | 12, validations apart |",
        "| training | train.jsonl | 16 | cdcdcdcdcdcdcdcd |",
        "| validation | val.jsonl | 5 | efefefefefefefef |",
        "| loss | 2.5000 | 8 | loss that is trained, nats per token of the answer |",
        f"| fingerprint | `{'ab' * 32}` |",
        f"| started from | adapters with fingerprint `{'99' * 32}` |",
        "Licence of the data, in the words of whoever trained: CC BY 4.0, by us",
        "- Validated on 5 rows alone: one row more or less moves a share by 20.0 points.",
        "- Not measured: written answers.",
    ):
        assert line in card.splitlines()


def test_a_card_of_a_run_ends_with_who_writes_it_anew_and_one_of_a_header_does_not() -> None:
    assert model_card(FOLDER, training=TRAINING).rstrip().splitlines()[-1] == REWRITTEN
    assert REWRITTEN not in model_card(FOLDER)


def test_a_run_without_validation_says_that_nothing_was_measured() -> None:
    card = model_card(FOLDER, training=Training({}, steps=3))
    assert "No validation was run" in card and "nothing is known of it here" in card
    assert "Validated on" not in card and "seconds of training" not in card


HOSTILE = "a|b`\n# x\n---\nlicense: mit <script>[c](http://d) *e* {{ f }}"


def test_texts_from_outside_stay_texts() -> None:
    file = DataFile(HOSTILE, 16)
    told = replace(TRAINING, train=file, settings={"seed": HOSTILE}, data_license=HOSTILE)
    card = model_card(of_backbone(f"/models/{HOSTILE.replace('/', '')}", HOSTILE), training=told)
    assert "license" not in metadata(card)
    assert card.splitlines().count("---") == 2 and "# x" not in card.splitlines()
    assert "<script>" not in card.split("## Training")[1]
    assert "[c](" not in card.split("## Training")[1]
    row = next(line for line in card.splitlines() if line.startswith("| training | "))
    assert row.replace("\\|", "").count("|") == 5


def test_a_table_has_as_many_cells_in_every_row() -> None:
    card = model_card(FOLDER, training=TRAINING)
    tables = [block.splitlines() for block in card.split("\n\n") if block.lstrip().startswith("|")]
    assert len(tables) == 5
    for table in tables:
        assert len({line.count("|") for line in table if line}) == 1
