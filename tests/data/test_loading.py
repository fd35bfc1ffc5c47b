"""Batches: their order is a function of seed and epoch, whatever the number of processes."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clara_lightning.data.loading import BatchLoader, easy_first
from clara_lightning.errors import ClaraError

Example = tuple[int, float]


def make_example(row: int, draw: random.Random) -> Example:
    return row, draw.random()


def make_loader(rows: int = 23, *, epoch: int = 0, finished: int = 0, **options: Any) -> BatchLoader[int, Example]:
    options = {"batch_size": 4} | options
    return BatchLoader(range(rows), make_example, progress=lambda: (epoch, finished), **options)


def test_the_same_seed_and_epoch_give_the_same_batches() -> None:
    random.seed(1)
    one = list(make_loader(seed=5, epoch=2))
    random.seed(2)
    assert list(make_loader(seed=5, epoch=2)) == one


def test_another_seed_or_epoch_gives_another_order_and_other_draws() -> None:
    runs = [list(make_loader(seed=seed, epoch=epoch)) for seed, epoch in ((0, 0), (0, 1), (1, 0), (1, 1))]
    assert len({str(run) for run in runs}) == 4
    draws = [dict(example for batch in run for example in batch) for run in runs]
    shared = set.intersection(*(set(one) for one in draws))
    assert all(len({one[row] for one in draws}) == 4 for row in shared)


def test_what_is_drawn_for_a_row_does_not_depend_on_its_batch() -> None:
    by_size = [
        dict(example for batch in make_loader(24, batch_size=size, seed=3) for example in batch) for size in (1, 4, 24)
    ]
    assert by_size[0] == by_size[1] == by_size[2]


def test_an_epoch_holds_each_row_at_most_once_in_whole_batches() -> None:
    batches = list(make_loader(23))
    assert [len(batch) for batch in batches] == [4] * 5 == [4] * len(make_loader(23))
    rows = [row for batch in batches for row, _ in batch]
    assert len(set(rows)) == 20


def test_what_one_epoch_leaves_out_another_takes_in() -> None:
    taken = {row for epoch in range(6) for batch in make_loader(23, epoch=epoch) for row, _ in batch}
    assert taken == set(range(23))


def test_fewer_training_rows_than_a_batch_of_all_processes_are_refused() -> None:
    message = r"data\.init_args\.batch_size: 3 x 4 \(processes x batch_size\) rows are a batch, .*train holds 11"
    with pytest.raises(ClaraError, match=message):
        make_loader(11, rank=0, world_size=3)


def powers(examples: Sequence[Example], epoch: int) -> torch.Tensor:
    """Something that a step needs of its batch."""
    return torch.tensor([row ** (epoch + 1) for row, _ in examples])


class Preparing:
    """Notes which batch was prepared by whom; the one numbered ``fails`` raises."""

    def __init__(self, fails: int | None = None) -> None:
        self.threads: list[threading.Thread] = []
        self.calls = threading.Semaphore(0)
        self.error = RuntimeError("the disk is gone")
        self.fails = fails

    def __call__(self, examples: Sequence[Example], epoch: int) -> str:
        self.threads.append(threading.current_thread())
        self.calls.release()
        if len(self.threads) - 1 == self.fails:
            raise self.error
        return str(examples)

    def ends_after(self, calls: int) -> bool:
        """Whether there are so many calls, and no thread is left after them."""
        came = all(self.calls.acquire(timeout=10) for _ in range(calls))
        for thread in self.threads:
            thread.join(timeout=10)
        return came and len(self.threads) == calls and not any(thread.is_alive() for thread in self.threads)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_carries_what_was_prepared_of_its_examples(workers: int) -> None:
    options: dict[str, Any] = {"epoch": 1, "finished": 2, "accumulate": 2, "num_workers": workers}

    batches = list(make_loader(prepare=powers, **options))

    plain = list(make_loader(**options))
    assert batches == plain and [batch.step for batch in batches] == [batch.step for batch in plain]
    assert [batch.prepared.tolist() for batch in batches] == [[row**2 for row, _ in batch] for batch in batches]
    assert [batch.prepared for batch in plain] == [None] * 3


def test_without_workers_a_thread_prepares_the_next_batch_while_one_is_in_work() -> None:
    prepare = Preparing()
    batches = iter(make_loader(prepare=prepare))  # five batches

    first, second = next(batches), next(batches)

    assert prepare.ends_after(3)
    assert threading.main_thread() not in prepare.threads
    assert [batch.prepared for batch in (first, second)] == [str(first), str(second)]


def test_an_epoch_leaves_no_thread_behind() -> None:
    prepare = Preparing()
    assert len(list(make_loader(prepare=prepare))) == 5
    assert prepare.ends_after(5)


def test_a_stop_in_the_middle_of_an_epoch_leaves_no_thread_behind() -> None:
    prepare = Preparing()
    for _ in make_loader(prepare=prepare):
        break
    assert prepare.ends_after(2)


def test_what_goes_wrong_ahead_is_raised_where_its_batch_is_asked_for() -> None:
    prepare = Preparing(fails=1)
    batches = iter(make_loader(prepare=prepare))
    next(batches)

    with pytest.raises(RuntimeError) as caught:
        next(batches)

    assert caught.value is prepare.error
    assert prepare.ends_after(2)


def test_a_loader_knows_how_long_the_newest_batch_was_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def slow_example(row: int, draw: random.Random) -> int:
        nonlocal now
        now += row
        return row

    monkeypatch.setattr("clara_lightning.data.loading.perf_counter", lambda: now)
    loader = BatchLoader([1, 2, 3, 5], slow_example, batch_size=2, shuffle=False)
    waited = []

    for _ in loader:
        waited.append(loader.seconds_waited)
        now += 100.0  # a step

    assert waited == [3.0, 8.0]


@pytest.mark.parametrize("finished", [0, 3])
def test_workers_change_nothing(finished: int) -> None:
    options: dict[str, Any] = {"epoch": 1, "finished": finished, "accumulate": 2}
    here, there = list(make_loader(**options)), list(make_loader(num_workers=2, **options))
    assert here == there
    assert [batch.step for batch in here] == [batch.step for batch in there]


def test_an_iteration_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    list(make_loader())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_every_batch_knows_the_examples_of_its_optimizer_step() -> None:
    batches = list(make_loader(23, accumulate=2))  # five batches: two steps of two and one of what is left
    expected = [batches[0] + batches[1]] * 2 + [batches[2] + batches[3]] * 2 + [batches[4]]
    assert [batch.step for batch in batches] == expected


@given(rows=st.integers(4, 40), size=st.integers(1, 3), world=st.integers(1, 4), epoch=st.integers(0, 3))
def test_ranks_partition_each_global_batch(rows: int, size: int, world: int, epoch: int) -> None:
    if rows < size * world:
        return
    whole = list(make_loader(rows, batch_size=size * world, epoch=epoch))
    ranks = [
        list(make_loader(rows, batch_size=size, rank=rank, world_size=world, epoch=epoch)) for rank in range(world)
    ]
    assert {len(rank) for rank in ranks} == {len(whole)}
    for number, batch in enumerate(whole):
        pieces = [rank[number] for rank in ranks]
        assert {len(piece) for piece in pieces} == {size}
        assert sorted(example for piece in pieces for example in piece) == sorted(batch)


@pytest.mark.parametrize("finished", range(6))
@pytest.mark.parametrize("world", [1, 2])
def test_a_resumed_epoch_goes_on_after_the_finished_batches(finished: int, world: int) -> None:
    options: dict[str, Any] = {"batch_size": 2, "epoch": 3, "world_size": world, "rank": world - 1}
    whole = list(make_loader(21, **options))
    behind = finished % len(whole)  # a finished epoch leaves nothing behind: the next one starts at its beginning
    assert list(make_loader(21, finished=finished, **options)) == whole[behind:]


def test_validation_keeps_the_order_of_the_file_and_every_row() -> None:
    loader = make_loader(10, shuffle=False, epoch=4, finished=2)
    batches = list(loader)
    assert [row for batch in batches for row, _ in batch] == list(range(10))
    assert [len(batch) for batch in batches] == [4, 4, 2] and len(loader) == 3


def test_validation_draws_the_same_in_every_epoch() -> None:
    assert list(make_loader(shuffle=False, epoch=1)) == list(make_loader(shuffle=False, epoch=2))


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_validation_rows_count_once_and_all_processes_have_equal_batches(world: int, size: int) -> None:
    loaders = [make_loader(11, shuffle=False, batch_size=size, rank=rank, world_size=world) for rank in range(world)]
    ranks = [list(loader) for loader in loaders]

    assert sorted(row for rank in ranks for batch in rank for row, _ in batch[: batch.real]) == list(range(11))
    lengths = {tuple(len(batch) for batch in rank) for rank in ranks}
    assert len(lengths) == 1 and min(lengths.pop()) > 0


def test_rows_become_examples_only_when_they_are_needed() -> None:
    made: list[int] = []
    loader = BatchLoader(range(9), lambda row, draw: made.append(row), batch_size=3, shuffle=False)
    next(iter(loader))
    assert made == [0, 1, 2]


def test_a_batch_size_below_one_is_refused() -> None:
    with pytest.raises(ClaraError, match=r"data\.init_args\.batch_size must be >= 1, got 0"):
        make_loader(batch_size=0)


def test_easy_rows_come_first_and_each_once_in_the_first_epoch_alone() -> None:
    rows, batches = 400, 100
    loaders = [make_loader(rows, epoch=epoch, difficulty=range(rows), easy_until=0.5) for epoch in (0, 1)]
    first, second = ([row for batch in loader for row, _ in batch] for loader in loaders)
    assert sorted(first) == sorted(second) == list(range(rows))
    assert max(first[:20]) < rows * (0.1 + 0.9 * 20 / 200)
    assert [sum(part) / 100 for part in (first[:100], first[-100:])] == pytest.approx([100, 250], abs=50)
    assert second == [row for batch in make_loader(rows, epoch=1) for row, _ in batch]
    resumed = make_loader(rows, finished=batches // 2, difficulty=range(rows), easy_until=0.5)
    assert [row for batch in resumed for row, _ in batch] == first[rows // 2 :]


@given(st.lists(st.integers(0, 3), max_size=30), st.floats(0, 1), st.integers(0, 5))
def test_whatever_the_difficulty_each_row_comes_once(difficulty: list[int], until: float, seed: int) -> None:
    order = list(range(len(difficulty)))
    found = easy_first(order, difficulty, until=until, draw=random.Random(seed))
    assert sorted(found) == order
