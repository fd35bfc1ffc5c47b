"""One compressor for several lengths of memory, learning from the text, and the way from text to memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import AdapterFolder
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.backbone.memory import MemoryConfig
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.examples import ReadingExample
from clara_lightning.data.prompts import MEMORY
from clara_lightning.errors import ClaraError
from clara_lightning.modules.compressor import SalientCompressor
from clara_lightning.modules.curriculum import CurriculumConfig

Backbones = Callable[..., ClaraBackbone]


@pytest.fixture(scope="module")
def nested_run(commands: Any, run_here: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of stage 1 that trains memories of 2, 3 and 4 tokens."""
    run = tmp_path_factory.mktemp("nested") / "run"
    options = ("--model.nested", "[4, 2, 3]", "--model.distill", 0.5, "--model.curriculum.text_share", 1.0)
    options += ("--model.curriculum.growing_rates", "true", "--model.words_per_token", 2, "--data.recital_share", 1.0)
    assert run_here(*commands.fit_compressor(run, *options)) == 0
    return run


def test_every_length_is_measured(nested_run: Path) -> None:
    header = (nested_run / "metrics.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    wanted = {"val/information_retained", "val/information_retained_2", "val/information_retained_3", "train/kl"}
    assert wanted <= set(header)
    assert AdapterFolder.open(nested_run).memory.nested == (2, 3, 4)


def test_a_shorter_store_belongs_to_the_same_adapters(
    commands: Any, clara: Any, nested_run: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    assert clara(*commands.predict(store, nested_run, "--model.memory_tokens", 3)).code == 0
    assert LatentStore.open(store).memory_shape[0] == 3
    asked = clara("ask", "--adapters", nested_run, "--store", store, "Where?")
    assert asked.code == 0, asked.err
    evaluated = clara(
        *("evaluate", "--adapters", nested_run, "--data", commands.files.questions, "--out", tmp_path / "report"),
        *("--memory-tokens", 2, "--limit", 2, "--dense", "none", "--conditions", "none"),
    )
    assert evaluated.code == 0, evaluated.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model.memory_tokens", 5), "model.init_args.memory_tokens is 5"),
        (("--model.memory_tokens", 1), "model.init_args.memory_tokens is 1"),
    ],
)
def test_a_length_that_was_not_trained_is_refused(
    commands: Any, clara: Any, nested_run: Path, tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    refused = clara(*commands.predict(tmp_path / "store", nested_run, *options))
    assert message in refused.mistake


def test_evaluate_refuses_a_length_that_was_not_trained(
    commands: Any, clara: Any, nested_run: Path, tmp_path: Path
) -> None:
    refused = clara(
        *("evaluate", "--adapters", nested_run, "--data", commands.files.questions, "--out", tmp_path / "report"),
        *("--memory-tokens", 9),
    )
    assert refused.mistake.endswith("makes 2 to 4 memory tokens, not 9")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tokens": 5, "nested": (2, 4)}, r"memory_tokens must be between 2 and 4"),
        ({"tokens": 2, "nested": (0, 4)}, r"nested must be numbers >= 1, got 0"),
        ({"tokens": 2, "nested": (2, 64), "document_tokens": 32}, r"nested must be numbers <= document_tokens \(32\)"),
    ],
)
def test_impossible_lengths_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ClaraError, match=message):
        MemoryConfig(**values)


@torch.no_grad()
def test_a_shorter_memory_is_that_of_a_compressor_with_fewer_tokens(
    tiny_backbone: Backbones, documents: list[str]
) -> None:
    long, short = tiny_backbone(kind="words", tokens=4), tiny_backbone(kind="words", tokens=2)
    head, other = long.head(COMPRESSOR), short.head(COMPRESSOR)
    other.load_state_dict(head.state_dict() | {"tokens_LD": head.tokens_LD[:2]})
    with long.shortened(2):
        torch.testing.assert_close(long.compress(documents), short.compress(documents))
        assert long.compress(documents).shape[1] == 2
    assert long.compress(documents).shape[1] == 4


@pytest.mark.parametrize("family", ["llama", "granite"])  # a plain output layer, and one with more behind it
@torch.no_grad()
def test_a_teacher_is_the_bare_backbone_that_reads_the_text(
    tiny_backbone: Backbones, documents: list[str], family: str
) -> None:
    backbone = tiny_backbone(family)
    for value in backbone.own_parameters(GENERATOR):
        value.add_(0.05 * torch.randn(value.shape, generator=torch.Generator().manual_seed(1)))
    spoken = [backbone.prompts.ask("Why?", (text,), answer=f"so {text[:5]}") for text in documents[:3]]
    asked = [backbone.prompts.ask("Why?", (MEMORY,), answer=f"so {text[:5]}") for text in documents[:3]]
    memory = backbone.compress(documents[:3])
    found = backbone.token_losses(asked, memory, teacher=backbone.teach(spoken)).distances_X
    wanted = []
    for number, (question, text) in enumerate(zip(asked, spoken, strict=True)):
        logits = []
        for prompt, own, adapter in ((text, None, None), (question, memory[number : number + 1], GENERATOR)):
            batch = backbone.prompts.encode([prompt])
            with backbone.use_adapter(adapter):
                whole = backbone.causal_lm(inputs_embeds=backbone.splice(batch, own), use_cache=False).logits[0]
            logits.append(whole[:-1][batch.labels[0, 1:] >= 0].float().log_softmax(-1))
        wanted.append(nn.functional.kl_div(logits[1], logits[0], log_target=True, reduction="none").sum(-1))
    assert found is not None
    torch.testing.assert_close(found, torch.cat(wanted), rtol=1e-3, atol=1e-5)


def test_the_curriculum_ends_with_memory_alone() -> None:
    config = CurriculumConfig(text_share=0.6, until=0.5)
    assert [round(config.share(step, total=40), 3) for step in (0, 10, 20, 39)] == [0.6, 0.3, 0.0, 0.0]
    assert CurriculumConfig().share(0, total=10) == 0.0


def test_the_shorter_lengths_join_one_by_one() -> None:
    config = CurriculumConfig(growing_rates=True, until=0.5)
    drawn = [len(config.lengths((4, 8, 16, 64), step, total=80)) for step in range(80)]
    assert drawn == [1] * 10 + [2] * 10 + [3] * 10 + [4] * 50
    assert config.lengths((4, 8, 16, 64), 0, total=80) == (64,)
    assert CurriculumConfig().lengths((4, 64), 0, total=80) == (4, 64)


@pytest.mark.parametrize("values", [{"text_share": 1.5}, {"until": -0.1}])
def test_shares_of_a_curriculum_are_shares(values: dict[str, float]) -> None:
    with pytest.raises(ClaraError, match=r"curriculum\.\w+ must be in \[0, 1\]"):
        CurriculumConfig(**values)


def test_distill_is_a_share(commands: Any, clara: Any, tmp_path: Path) -> None:
    refused = clara(*commands.fit_compressor(tmp_path / "run", "--model.distill", 1.5))
    assert refused.mistake.endswith("model.init_args.distill must be in [0, 1], got 1.5")


def test_a_recital_names_the_words_of_the_memory_and_no_teacher_knows_them(tiny_backbone: Backbones) -> None:
    module = SalientCompressor(backbone=BackboneConfig(name="tiny"), distill=0.5, memory_tokens=4, document_tokens=32)
    module.backbone = tiny_backbone(kind="words", words_per_token=2)
    asked = ReadingExample(("Mice eat cheese.",), "question", "cheese", "What do mice eat?")
    recited = ReadingExample(("Mice eat cheese.",), "recital", "")
    for length, words in ((4, "Mice eat cheese"), (1, "Mice eat")):  # all are as rare as each other
        with module.backbone.shortened(length):
            requests = module.requests([asked, recited])
            assert [request.answer for request in requests] == ["cheese", words]
            tokens = [module.backbone.prompts.count_answer_tokens([request]) for request in requests]
            assert module.targets([asked, recited]) == (sum(tokens), 2, tokens[0])


def test_memory_without_words_has_none_to_recite(commands: Any, clara: Any, tmp_path: Path) -> None:
    options = ("--model.memory", "calibrated", "--data.recital_share", 0.5)
    refused = clara(*commands.fit_compressor(tmp_path / "run", *options))
    assert refused.mistake.endswith(
        "data.init_args.recital_share must be 0 for model.init_args.memory calibrated, which stands on no words"
    )


def test_the_header_names_the_lengths(nested_run: Path) -> None:
    header = yaml.safe_load((nested_run / "adapters" / "clara.yaml").read_text(encoding="utf-8"))
    sizes = {"tokens": 4, "document_tokens": 40, "nested": [2, 3, 4]}
    assert header["memory"] == sizes | {"kind": "words", "layer": None, "mlp": 0, "words_per_token": 2}


def test_a_run_shows_what_it_learns_from(nested_run: Path) -> None:
    shown = yaml.safe_load((nested_run / "settings_in_effect.yaml").read_text(encoding="utf-8"))
    assert shown["memory"] == "words, 40 tokens to 4 (10x), nested: 2, 3, 4, up to 2 whole words on each"
    assert shown["loss"] == "0.5 CE + 0.5 KL to the text + 0.1 MSE"
    assert shown["curriculum"] == "1 as text at first, none from 0.3 of the run on"
    assert shown["rates"] == "the lowest alone at first, all from 0.3 of the run on"
    card = (nested_run / "adapters" / "README.md").read_text(encoding="utf-8")
    assert "trained for 2, 3, 4 memory tokens at once" in card
    assert "with 3 memory tokens" in card


def test_a_chosen_length_is_no_resizing(commands: Any, clara: Any, nested_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ("--model.memory_tokens", 3, "--model.curriculum.until", 0.1, "--trainer.max_steps", 1)
    outcome = clara(*commands.fit_compressor(run, *options, init_from=nested_run))
    assert outcome.code == 0
    shown = yaml.safe_load((run / "settings_in_effect.yaml").read_text(encoding="utf-8"))
    assert shown["memory"] == "words, 40 tokens to 3 (13.3333x), nested: 2, 3, 4, up to 2 whole words on each"
    said = "without effect: model.init_args.curriculum.until: model.init_args.curriculum.text_share is 0, and"
    assert said in outcome.err


def test_one_length_alone_has_no_growing_rates() -> None:
    config = CurriculumConfig(growing_rates=True, until=0.0)
    module = SalientCompressor(backbone=BackboneConfig(name="unread"), curriculum=config)
    assert module.without_effect() == [
        "model.init_args.curriculum.growing_rates: model.init_args.curriculum.until is 0",
        "model.init_args.curriculum.growing_rates: model.init_args.nested is not given",
    ]
