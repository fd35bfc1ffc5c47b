"""What is left of a memory without its correction."""

from __future__ import annotations

import pytest
import torch
from benchmarks.recipes.correction import main, take_correction

from clara_lightning.backbone.memory import MemoryConfig, MemoryHead


def test_without_its_correction_a_memory_is_what_it_stands_on() -> None:
    config = MemoryConfig(tokens=3, document_tokens=64, kind="words", mlp=5)
    head = MemoryHead(config, embedding_mean_D=torch.zeros(4), embedding_std_D=torch.ones(4), vocab_size=7)
    assert head.mlp is not None
    torch.nn.init.normal_(head.mlp[-1].weight)
    hidden, anchor = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    assert not torch.allclose(head.memory(hidden, anchor), anchor)
    take_correction(head)
    torch.testing.assert_close(head.memory(hidden, anchor), anchor)


def test_adapters_that_are_not_there_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--adapters", "/nowhere"])
    assert "--adapters: /nowhere is no adapter folder" in capsys.readouterr().err
