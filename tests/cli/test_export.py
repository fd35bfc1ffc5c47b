"""``clara export``, as it is typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

HUB = ("--base-model", "owner/model")


def export(adapters: Path, out: Path, *options: object) -> list[object]:
    return ["export", "--to", "hub-folder", "--adapters", adapters, "--out", out, *options]


def test_an_exported_run_answers_encodes_and_goes_on(
    clara: Any, commands: Any, compressor_run: Path, store: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = clara(*export(compressor_run, out, *HUB))
    assert done.code == 0 and f"{out}: compressor, generator for owner/model, fingerprint " in done.out
    here = ("--dtype", "float32", "--device", "cpu", "--backbone", tiny_model_folder)
    asked = ("--store", store, "--max-new-tokens", 4, "--json", "What does Alba number 0 sell ?")
    answers = [clara("ask", "--adapters", folder, *here, *asked) for folder in (out, compressor_run)]
    assert answers[0].code == 0 and answers[0].out == answers[1].out
    assert clara(*commands.predict(store, out, "--model.backbone.name", tiny_model_folder)).code == 0  # is complete


def test_a_run_card_loses_its_last_line_and_keeps_its_figures(clara: Any, compressor_run: Path, tmp_path: Path) -> None:
    assert clara(*export(compressor_run, tmp_path / "out", *HUB)).code == 0
    before = (compressor_run / "adapters" / "README.md").read_text(encoding="utf-8")
    after = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "writes this file anew" in before and "writes this file anew" not in after
    assert before.split("## Figures")[1].split("## How")[0] in after


def test_a_rounded_compressor_does_not_fit_the_store_of_before(
    clara: Any, compressor_run: Path, store: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = clara(*export(compressor_run, out, *HUB, "--dtype", "bfloat16"))
    assert "the compressor was rounded: a store made with" in done.out
    refused = clara("ask", "--adapters", out, "--store", store, "--backbone", tiny_model_folder, "Where?")
    assert "encode the documents again with clara predict" in refused.mistake


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "--base-model is required: the backbone of "),
        (("--base-model", "model"), "--base-model: expected a hub id of the form owner/name, got 'model'"),
        (("--dtype", "int8"), "export: argument --dtype: invalid choice"),
        (("--to", "s3"), "export: argument --to: invalid choice"),
    ],
)
def test_a_mistake_is_one_line(
    clara: Any, compressor: Path, tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    assert clara(*export(compressor, tmp_path / "out", *options)).mistake.startswith(message)
    assert not list(tmp_path.iterdir())


def test_what_is_no_adapter_folder_is_refused(clara: Any, tmp_path: Path) -> None:
    refused = clara(*export(tmp_path, tmp_path / "out", *HUB))
    assert refused.mistake == f"--adapters: {tmp_path} is no adapter folder (it has no clara.yaml)"
