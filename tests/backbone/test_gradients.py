"""Both adapters get gradient: the same with and without activation checkpointing, in one process and in two."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER, adapter_parameters
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.data.prompts import MEMORY

Backbones = Callable[..., ClaraBackbone]


def gradients(backbone: ClaraBackbone, documents: list[str]) -> dict[str, Tensor]:
    """Of one step that compresses every document and asks each one."""
    backbone.train_only((COMPRESSOR, GENERATOR))
    backbone.train()
    torch.manual_seed(3)
    memory = backbone.compress(documents)
    prompts = [backbone.prompts.ask("Where?", (MEMORY,), answer=f"place {n}") for n in range(len(documents))]
    backbone.answer_loss(prompts, memory).mean.backward()
    return {key: value.grad for key, value in backbone.named_parameters() if value.grad is not None}


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


@pytest.mark.parametrize("kind", ["published", "calibrated", "anchors"])
def test_every_trained_parameter_of_both_adapters_gets_gradient(
    tiny_backbone: Backbones, documents: list[str], kind: str
) -> None:
    backbone = tiny_backbone(kind=kind)
    found = gradients(backbone, documents)
    for name in (COMPRESSOR, GENERATOR):
        for key, value in adapter_parameters(backbone.lm, name):
            assert value.grad is not None and value.grad.abs().max() > 0, key
    for key, value in backbone.head(COMPRESSOR).named_parameters():
        assert value.grad is not None and value.grad.abs().max() > 0, key
    assert all(".compressor." in key or ".generator." in key for key in found)


def test_the_gradient_through_memory_is_that_of_finite_differences(
    tiny_backbone: Backbones, documents: list[str]
) -> None:
    backbone = tiny_backbone(dtype=torch.float64)
    gradients(backbone, documents[:2])
    name, parameter = next(iter(adapter_parameters(backbone.lm, COMPRESSOR)))

    @torch.no_grad()
    def loss() -> float:
        prompts = [backbone.prompts.ask("Where?", (MEMORY,), answer=f"place {n}") for n in range(2)]
        return float(backbone.answer_loss(prompts, backbone.compress(documents[:2])).mean)

    grad = parameter.grad
    assert grad is not None
    direction = grad / grad.norm()
    step = 2e-2  # memory and loss are float32, so a small step would drown in rounding
    with torch.no_grad():
        parameter += step * direction
        above = loss()
        parameter -= 2 * step * direction
        below = loss()
    assert (above - below) / (2 * step) == pytest.approx(float(grad.norm()), rel=1e-2), name


def test_checkpointing_recomputes_every_layer_once(tiny_backbone: Backbones, documents: list[str]) -> None:
    backbone = tiny_backbone(gradient_checkpointing=True)
    calls: list[int] = []
    backbone.causal_lm.base_model.layers[0].self_attn.register_forward_pre_hook(lambda *_: calls.append(1))
    gradients(backbone, documents)
    assert len(calls) == 4  # compressor and generator, forward and again in the backward


def test_the_adapter_that_is_active_during_backward_does_not_matter(
    tiny_backbone: Backbones, documents: list[str]
) -> None:
    adapters = (COMPRESSOR, GENERATOR, QUERY_REASONER)
    plain = tiny_backbone(adapters=adapters, gradient_checkpointing=True)
    other = tiny_backbone(adapters=adapters, gradient_checkpointing=True)
    with other.use_adapter(QUERY_REASONER):
        inside = gradients(other, documents)
    assert_equal(gradients(plain, documents), inside)


def two_processes() -> ModuleType:
    path = Path(__file__).with_name("two_processes.py")
    spec = importlib.util.spec_from_file_location("two_processes", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_processes_have_the_gradients_of_one_with_the_whole_batch(tmp_path: Path) -> None:
    script = two_processes()
    out = tmp_path / "gradients.pt"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    command = [sys.executable, str(script.__file__), str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr

    step = script.Step(gradient_checkpointing=False)
    step([0, 1, 2, 3]).backward()
    alone, together = step.gradients(), torch.load(out, weights_only=True)
    for found in (together[0], together[1]):
        assert found.keys() == alone.keys()
        for key, value in alone.items():
            torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-7, msg=key)
