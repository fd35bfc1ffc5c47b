"""Memory in fewer bytes: what comes back, from which bytes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from clara_lightning.corpus import memory_dtypes
from clara_lightning.corpus.memory_dtypes import MemoryDtype, bytes_per_row, dtype_of, pack, unpack
from clara_lightning.errors import ClaraError

DTYPES: tuple[MemoryDtype, ...] = ("bfloat16", "float16", "int8", "float8")
SCALED: tuple[MemoryDtype, ...] = ("int8", "float8")
ALL = slice(None)


def random_memory(rows: int = 7, *, seed: int = 0) -> Tensor:
    """Tokens of sizes from 0.001 to 1000, each with one dimension that is larger than the others."""
    generator = torch.Generator().manual_seed(seed)
    memory_NLD = torch.randn(rows, 3, 40, generator=generator)
    memory_NLD[:, :, 5] *= 30
    return memory_NLD * 10.0 ** (6 * torch.rand(rows, 3, 1, generator=generator) - 3)


def extreme_memory() -> Tensor:
    """One token each: around 1e-30, up to 3e4, denormal, zeros, and one value alone."""
    values_D = torch.linspace(-1, 1, 40)
    alone_D = torch.zeros(40)
    alone_D[7] = -2.5
    return torch.stack([values_D * 1e-30, values_D * 3e4, values_D * 1e-40, torch.zeros(40), alone_D]).unsqueeze(1)


# --- independent references -----------------------------------------------------------------------------------------


def float8_values() -> np.ndarray:
    """The value of each of the 127 codes that are not negative, from the definition of e4m3: 1.mmm * 2^(e - 7)."""
    codes = np.arange(127)
    exponent, mantissa = codes >> 3, codes & 7
    normal = (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    return np.where(exponent == 0, mantissa / 8 * 2.0**-6, normal)


def nearest_float8(values: np.ndarray) -> np.ndarray:
    """Bytes of the nearest float8, ties to the even code, by comparing with all of them."""
    distance = np.abs(np.abs(values)[..., None] - float8_values())
    distance[..., 1::2] *= 1 + 1e-12  # odd codes lose a tie
    return (distance.argmin(axis=-1) | np.where(np.signbit(values), 128, 0)).astype(np.uint8)


def reference(memory_NLD: Tensor, dtype: MemoryDtype) -> tuple[np.ndarray, np.ndarray]:
    """Bytes and scales, token by token."""
    values = memory_NLD.numpy()
    largest, nearest = (
        (127, lambda x: np.rint(x).astype(np.int8).view(np.uint8)) if dtype == "int8" else (448, nearest_float8)
    )
    scale = np.zeros(values.shape[:2], np.float32)
    codes = np.zeros(values.shape, np.uint8)
    for row, token in np.ndindex(scale.shape):
        scale[row, token] = max(np.abs(values[row, token]).max() / np.float32(largest), np.finfo(np.float32).tiny)
        codes[row, token] = nearest(values[row, token] / scale[row, token])
    return codes, scale


def bound(memory_NLD: Tensor, dtype: MemoryDtype) -> Tensor:
    """The largest error that a format may make of each value; what it kept is rounded once more, to bfloat16."""
    size = memory_NLD.double().abs()
    if dtype == "bfloat16":
        return half_step_of_bfloat16(size)
    if dtype == "float16":
        return (size * 2**-11).clamp_min(2.0**-25)
    scale = (size.amax(-1, keepdim=True) / {"int8": 127, "float8": 448}[dtype]).clamp_min(2.0**-126)
    kept = scale / 2 if dtype == "int8" else torch.maximum(size * 2**-4, scale / 1024)
    return (kept + half_step_of_bfloat16(size + kept)) * (1 + 1e-6)  # scale and quotient are rounded to float32


def half_step_of_bfloat16(size: Tensor) -> Tensor:
    return (size * 2**-8).clamp_min(2.0**-134)


# --- what comes back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", [random_memory, extreme_memory])
def test_every_value_comes_back_within_the_formats_bound(make: object, dtype: MemoryDtype) -> None:
    memory_NLD = make()  # type: ignore[operator]

    error_NLD = (unpack(pack(memory_NLD, dtype), ALL).double() - memory_NLD.double()).abs()

    assert (error_NLD <= bound(memory_NLD, dtype)).all()


@pytest.mark.parametrize("dtype", SCALED)
@pytest.mark.parametrize("make", [random_memory, extreme_memory])
def test_bytes_are_those_of_the_definition(make: object, dtype: MemoryDtype) -> None:
    memory_NLD = make()  # type: ignore[operator]

    packed = pack(memory_NLD, dtype)

    codes, scale = reference(memory_NLD, dtype)
    assert np.array_equal(packed["memory"].view(torch.uint8).numpy(), codes)
    assert np.array_equal(packed["scale"].numpy(), scale)


@pytest.mark.parametrize("dtype", SCALED)
def test_every_code_comes_back_as_its_value_times_the_scale(dtype: MemoryDtype) -> None:
    values = np.arange(128.0) if dtype == "int8" else float8_values()
    both = torch.from_numpy(np.concatenate([values, -values])).float().view(1, 1, -1)
    codes = pack(both, dtype)["memory"]  # the largest is the largest code: the scale is 1
    assert len(codes.view(torch.uint8).unique()) == {"int8": 255, "float8": 254}[dtype]
    scale = torch.tensor([[3.7e-9]])

    found = unpack({"memory": codes, "scale": scale}, ALL)

    assert torch.equal(found, (both * scale.unsqueeze(-1)).bfloat16())


@pytest.mark.parametrize("dtype", SCALED)
def test_the_largest_value_of_every_token_has_the_largest_code(dtype: MemoryDtype) -> None:
    """However the scale was rounded, nothing is cut off and nothing becomes nan."""
    sizes = torch.rand(20000, 1, 1, generator=torch.Generator().manual_seed(0)) + 0.5

    packed = pack(torch.cat([sizes, -sizes], dim=-1), dtype)

    top = {"int8": 127.0, "float8": 448.0}[dtype]
    assert torch.equal(packed["memory"].float(), torch.tensor([top, -top]).expand(20000, 1, 2))


@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_stay_zeros_beside_other_tokens(dtype: MemoryDtype) -> None:
    memory_NLD = random_memory()
    memory_NLD[2, 1] = 0
    memory_NLD[:, :, 9] = 0

    found_NLD = unpack(pack(memory_NLD, dtype), ALL)

    assert not found_NLD[2, 1].any() and not found_NLD[:, :, 9].any()
    assert found_NLD[2, 0].any()


def test_there_is_one_scale_for_each_memory_token() -> None:
    memory_NLD = random_memory()
    louder_NLD = memory_NLD.clone()
    louder_NLD[3, 1] *= 64

    quiet, loud = pack(memory_NLD, "int8")["scale"], pack(louder_NLD, "int8")["scale"]

    assert quiet.shape == (7, 3) and quiet.dtype == torch.float32
    assert torch.equal(
        (loud / quiet).log2(), torch.zeros(7, 3).index_put((torch.tensor(3), torch.tensor(1)), torch.tensor(6.0))
    )


def test_a_dimension_far_above_the_others_costs_float8_less_than_int8() -> None:
    memory_NLD = torch.randn(20, 2, 64, generator=torch.Generator().manual_seed(0))
    memory_NLD[:, :, 3] = 100

    errors = {dtype: (unpack(pack(memory_NLD, dtype), ALL) - memory_NLD).square().mean() for dtype in SCALED}

    assert errors["float8"] < errors["int8"] / 10


@pytest.mark.parametrize(("dtype", "found"), [(d, torch.float32 if d == "float16" else torch.bfloat16) for d in DTYPES])
def test_memory_comes_back_in_a_dtype_that_loses_nothing_to_speak_of(dtype: MemoryDtype, found: torch.dtype) -> None:
    assert unpack(pack(random_memory(), dtype), ALL).dtype == found


def test_a_range_of_bfloat16_is_no_copy() -> None:
    packed = pack(random_memory().bfloat16(), "bfloat16")

    assert unpack(packed, slice(2, 4)).data_ptr() == packed["memory"][2].data_ptr()


# --- batches, rows, files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("at_once", [1, 300, 2**18])
def test_a_rows_bytes_do_not_depend_on_its_batch(
    dtype: MemoryDtype, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory_NLD = random_memory(11)
    whole = pack(memory_NLD, dtype)
    monkeypatch.setattr(memory_dtypes, "VALUES_AT_ONCE", at_once)

    parts = [pack(part, dtype) for part in memory_NLD.split(4)]

    for name, tensor in whole.items():
        joined = torch.cat([part[name].view(torch.uint8) for part in parts])
        assert torch.equal(joined, tensor.view(torch.uint8))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [slice(2, 9), slice(0, 0), slice(10, 99), [4, 0, 4, 10], []])
@pytest.mark.parametrize("at_once", [300, 2**18])
def test_some_rows_are_those_of_the_whole(
    dtype: MemoryDtype, rows: slice | list[int], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_dtypes, "VALUES_AT_ONCE", at_once)
    packed = pack(random_memory(11), dtype)
    chosen = rows if isinstance(rows, slice) else torch.tensor(rows, dtype=torch.long)

    assert torch.equal(unpack(packed, chosen), unpack(packed, ALL)[chosen])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [slice(3, 5), torch.tensor([999_999_999, 3])])
def test_no_other_rows_are_read(dtype: MemoryDtype, rows: slice | Tensor) -> None:
    """A thousand million rows, which lie in memory once: to read them all would end in no memory left."""
    packed = {
        name: tensor.expand(1_000_000_000, *tensor.shape[1:]) for name, tensor in pack(random_memory(1), dtype).items()
    }

    assert torch.equal(unpack(packed, rows), unpack(pack(random_memory(1), dtype), ALL).expand(2, -1, -1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_mapped_file_gives_what_was_packed(dtype: MemoryDtype, tmp_path: Path) -> None:
    packed = pack(random_memory(), dtype)
    save_file(packed, str(tmp_path / "shard.safetensors"))

    with safe_open(str(tmp_path / "shard.safetensors"), framework="pt") as file:
        mapped = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    assert dtype_of(mapped) == dtype
    for rows in (slice(1, 3), torch.tensor([6, 0])):
        assert torch.equal(unpack(mapped, rows), unpack(packed, rows))


@pytest.mark.parametrize("dtype", DTYPES)
def test_bytes_per_row_are_those_of_the_tensors(dtype: MemoryDtype) -> None:
    packed = pack(random_memory(7), dtype)

    assert 7 * bytes_per_row(dtype, 3, 40) == sum(tensor.numel() * tensor.itemsize for tensor in packed.values())


@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_of_no_documents_is_kept_and_read(dtype: MemoryDtype) -> None:
    assert unpack(pack(torch.empty(0, 3, 40), dtype), ALL).shape == (0, 3, 40)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("given", [torch.bfloat16, torch.float16])
def test_memory_in_half_precision_is_packed_as_its_values_in_float32(dtype: MemoryDtype, given: torch.dtype) -> None:
    memory_NLD = random_memory().to(given)
    before_NLD = memory_NLD.clone()

    packed, wide = pack(memory_NLD, dtype), pack(memory_NLD.float(), dtype)

    assert all(torch.equal(packed[name].view(torch.uint8), wide[name].view(torch.uint8)) for name in wide)
    assert torch.equal(memory_NLD, before_NLD)


def test_what_takes_gradients_is_packed_without_them() -> None:
    packed = pack(random_memory().requires_grad_(), "int8")

    assert not any(tensor.requires_grad for tensor in packed.values())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gpu_makes_the_same_bytes_and_reads_them_the_same(dtype: MemoryDtype) -> None:
    memory_NLD = torch.cat([random_memory(200), extreme_memory().expand(-1, 3, -1)])
    here, there = pack(memory_NLD, dtype), pack(memory_NLD.cuda(), dtype)

    assert all(torch.equal(there[name].cpu().view(torch.uint8), here[name].view(torch.uint8)) for name in here)
    rows = torch.tensor([5, 0, 201])
    assert torch.equal(unpack(there, rows.cuda()).cpu(), unpack(here, rows))


# --- what is refused ------------------------------------------------------------------------------------------------


def refusal(memory_NLD: Tensor, dtype: str) -> str:
    with pytest.raises(ClaraError) as caught:
        pack(memory_NLD, dtype)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_memory_that_is_not_finite_is_refused_with_its_row(dtype: MemoryDtype, value: float) -> None:
    memory_NLD = random_memory()
    memory_NLD[4, 2, 17] = value

    assert "backbone.dtype: the memory of the shard's row 4 is not finite" in refusal(memory_NLD, dtype)


def test_a_value_too_large_for_float16_is_refused() -> None:
    memory_NLD = random_memory()
    memory_NLD[5, 0, 0] = -70000.0

    assert refusal(memory_NLD, "float16") == (
        "encoder.dtype: float16 keeps values up to 65504, the memory of the shard's row 5 has larger ones: "
        "take bfloat16, int8 or float8"
    )


@pytest.mark.parametrize("dtype", ["bfloat16", *SCALED])
def test_what_would_come_back_as_infinity_is_refused(dtype: MemoryDtype) -> None:
    largest = torch.finfo(torch.bfloat16).max
    memory_NLD = torch.full((1, 1, 2), largest)
    assert unpack(pack(memory_NLD, dtype), ALL).isfinite().all()

    assert "keeps values up to 3.38953e+38" in refusal(torch.full((1, 1, 2), torch.finfo(torch.float32).max), dtype)


def test_an_unknown_dtype_is_refused_with_all_there_are() -> None:
    message = refusal(random_memory(), "int4")

    assert message == "encoder.dtype must be one of bfloat16, float16, int8, float8, got 'int4'"


@pytest.mark.parametrize(
    "stored",
    [
        {"memory": torch.zeros(1, 1, 2)},
        {"memory": torch.zeros(1, 1, 2, dtype=torch.int8)},
        {"memory": torch.zeros(1, 1, 2, dtype=torch.bfloat16), "scale": torch.ones(1, 1)},
        {"scale": torch.ones(1, 1)},
    ],
)
def test_tensors_that_are_no_packed_memory_are_refused(stored: dict[str, Tensor]) -> None:
    with pytest.raises(ClaraError, match="memory must be kept as one of bfloat16, float16, int8, float8"):
        unpack(stored, ALL)
