"""What ``--device`` means."""

from __future__ import annotations

import pytest
import torch

from clara_lightning.errors import ClaraError
from clara_lightning.estimate.devices import CARDS, GB, devices_here, measure_flops, parse_devices, resident_bytes


def test_name_memory_and_number() -> None:
    devices = parse_devices("H100:40gb:8")
    assert (devices.name, devices.memory_bytes, devices.count, devices.kind) == ("h100", 40 * GB, 8, "cuda")


@pytest.mark.parametrize("name", CARDS)
def test_a_card_has_the_memory_of_its_data_sheet(name: str) -> None:
    devices = parse_devices(name)
    assert devices.memory_bytes == CARDS[name].memory_gb * GB
    assert devices.flops == CARDS[name].flops
    assert devices.count == 0  # left to the configuration


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("h900", "'h900' is unknown: it is one of h200, h100"),
        ("h100:big", "'big' in 'h100:big' is neither memory"),
        ("h100:80gb:0", "'0' in 'h100:80gb:0' is neither memory"),
        ("", "'' is unknown"),
    ],
)
def test_a_mistake_names_the_option(spec: str, words: str) -> None:
    with pytest.raises(ClaraError, match="--device: ") as mistake:
        parse_devices(spec)
    assert words in str(mistake.value)


def test_the_cpu_is_this_machine() -> None:
    assert parse_devices("cpu:2").count == 2
    assert devices_here(accelerator="cpu").memory_bytes > GB // 2


def test_speed_and_resident_size_are_measured() -> None:
    assert measure_flops(torch.float32, seconds=0.01, size=64) > 1e6
    assert resident_bytes() > 10**8
