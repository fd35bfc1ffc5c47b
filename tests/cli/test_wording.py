"""Mistakes in settings that jsonargparse finds are told by the setting's path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

MODEL = ("--model", "clara_lightning.SalientCompressor")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((*MODEL, "--model.memory_tokens", "many"), "model.init_args.memory_tokens: expected int, got 'many'"),
        (("--trainer.max_steps", "x"), "trainer.max_steps: expected int, got 'x'"),
        (
            (*MODEL, "--model.backbone.dtype", "f8"),
            "model.init_args.backbone.dtype: expected one of auto, float32, bfloat16, float16, got 'f8'",
        ),
        (("--trainer.speed", "3"), "trainer.speed: no such setting"),
        (("--config", "/none.yaml"), "config: File does not exist: '/none.yaml'"),
    ],
)
def test_a_wrong_option_is_named_by_its_path(args: tuple[str, ...], message: str, clara: Any) -> None:
    assert clara("fit", *args).mistake == message


@pytest.mark.parametrize(
    ("stage", "yaml", "message"),
    [
        ("SalientCompressor", "memory_token: 4", "model.init_args.memory_token: no such setting"),
        ("SalientCompressor", "lora: {rank: x}", "model.init_args.lora.rank: expected int, got 'x'"),
        ("SalientCompressor", "backbone: {size: 3}", "model.init_args.backbone.size: no such setting"),
        (
            "JointRAGModule",
            "candidates: {serch: 1}",
            "model.init_args.candidates.serch: no such setting; is it search?",
        ),
        (
            "JointRAGModule",
            "candidates: search",
            "model.init_args.candidates: expected a group of settings, or a class by its path, got 'search'",
        ),
    ],
)
def test_a_wrong_key_is_named_by_its_path(stage: str, yaml: str, message: str, clara: Any, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    content = f"model:\n  class_path: clara_lightning.{stage}\n  init_args:\n    {yaml}\n"
    config.write_text(content, encoding="utf-8")

    assert message in clara("fit", "--config", config).mistake


def test_a_wrong_key_at_the_top_is_named(clara: Any, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("modle:\n  a: 1\n", encoding="utf-8")

    assert clara("fit", "--config", tmp_path / "c.yaml").mistake == "modle.a: no such setting"


def test_a_file_that_is_no_yaml_is_named_with_its_line(clara: Any, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("model:\n  - [\n", encoding="utf-8")

    for given in (("--config", config), (f"--config={config}",)):
        assert clara("fit", *given).mistake.startswith(f"{config}:3: no valid YAML: ")
