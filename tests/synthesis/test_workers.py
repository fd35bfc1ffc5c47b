"""Work in several processes: every document once, one line for every mistake, and nothing left behind."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.outcome import Outcome, Pair
from clara_lightning.synthesis.workers import in_processes, in_ray
from clara_lightning.synthesis.workers.cluster import _check

HERE = Path(__file__).parent
KILLED = "a worker was killed (out of memory?); run the same command again to go on"
Spread = Callable[..., Generator[Outcome, None, None]]


@pytest.fixture(scope="module", autouse=True)
def fake() -> Iterator[Any]:
    """The module ``fake_work``, which other processes find too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
        yield importlib.import_module("fake_work")


@pytest.fixture(scope="module")
def cluster(fake: Any) -> Iterator[None]:
    """A Ray cluster on this machine."""
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
        yield
        ray.shutdown()


@pytest.fixture(params=["processes", "ray"])
def spread(request: pytest.FixtureRequest) -> Spread:
    """Both ways of spreading work over two workers."""
    if request.param == "processes":
        return lambda documents, factory, chunk=4: in_processes(documents, factory, num_workers=2, chunk=chunk)
    request.getfixturevalue("cluster")
    return lambda documents, factory, chunk=4: in_ray(documents, factory, address=None, num_actors=2, chunk=chunk)


def is_there(pid: int) -> bool:
    """Whether a process runs; one that only waits to be counted does not."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def pids(notes: Path, what: str = "began") -> set[int]:
    return {int(path.name.partition("-")[2]) for path in notes.glob(f"{what}-*")}


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_every_document_has_its_outcome_from_one_of_two_processes(spread: Spread, fake: Any, tmp_path: Path) -> None:
    found = list(spread(fake.make_documents(30), fake.Factory(tmp_path, company=2)))
    assert Counter(one.id for one in found) == Counter(f"d{number}" for number in range(30))
    assert {int(one.detail.split()[0]) for one in found} == pids(tmp_path)
    assert len(pids(tmp_path)) == 2


def test_an_outcome_arrives_as_it_was_made(spread: Spread, fake: Any, tmp_path: Path) -> None:
    one = next(iter(spread(fake.make_documents(1), fake.Factory(tmp_path))))
    pair = Pair("Where is Town 0?", "It sells salt.", "simple", "exact", 1)
    assert one == Outcome("d0", "d0", "Town 0\n It sells salt.", pairs=(pair,), detail=one.detail)


def test_no_chunk_is_larger_than_asked_for(spread: Spread, fake: Any, tmp_path: Path) -> None:
    sizes = [int(one.detail.split()[1]) for one in spread(fake.make_documents(10), fake.Factory(tmp_path))]
    assert Counter(sizes) == {4: 8, 2: 2}


def test_no_documents_are_no_outcomes(spread: Spread, fake: Any, tmp_path: Path) -> None:
    assert list(spread([], fake.Factory(tmp_path))) == []


def test_work_is_closed_where_it_was_made(spread: Spread, fake: Any, tmp_path: Path) -> None:
    list(spread(fake.make_documents(30), fake.Factory(tmp_path, company=2)))
    wait_until(lambda: pids(tmp_path, "ended") == pids(tmp_path))


@pytest.mark.parametrize("where", ["mistake", "broken"])
def test_a_mistake_keeps_its_one_line(spread: Spread, fake: Any, tmp_path: Path, where: str) -> None:
    how = {"mistake": "d9"} if where == "mistake" else {"broken": "--teacher: no answer about d9"}
    with pytest.raises(ClaraError) as mistake:
        list(spread(fake.make_documents(40), fake.Factory(tmp_path, **how)))
    assert type(mistake.value) is ClaraError and str(mistake.value) == "--teacher: no answer about d9"


def test_a_bug_is_no_mistake_of_the_users(spread: Spread, fake: Any, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="a bug") as bug:
        list(spread(fake.make_documents(40), fake.Factory(tmp_path, bug="d9")))
    assert not isinstance(bug.value, ClaraError)


def test_a_mistake_in_the_documents_is_raised(spread: Spread, fake: Any, tmp_path: Path) -> None:
    def documents() -> Iterator[Document]:
        yield from fake.make_documents(20)
        raise ClaraError("documents.jsonl:21: text: missing")

    with pytest.raises(ClaraError, match=r"^documents.jsonl:21: text: missing$"):
        list(spread(documents(), fake.Factory(tmp_path)))


def test_documents_are_read_as_they_are_needed(spread: Spread, fake: Any, tmp_path: Path) -> None:
    given = [0]

    def documents() -> Iterator[Document]:
        for one in fake.make_documents(600):
            given[0] += 1
            yield one

    ahead = [given[0] - count for count, _ in enumerate(spread(documents(), fake.Factory(tmp_path)))]
    assert len(ahead) == 600
    assert max(ahead) < 200


def test_what_is_closed_early_ends_at_once(spread: Spread, fake: Any, tmp_path: Path) -> None:
    outcomes = spread(fake.make_documents(400), fake.Factory(tmp_path, company=2, stalls="d9"))
    next(outcomes)
    wait_until((tmp_path / "stalled").exists)
    outcomes.close()
    wait_until(lambda: not any(map(is_there, pids(tmp_path))))


def test_after_a_mistake_no_process_is_left(fake: Any, tmp_path: Path) -> None:
    factory = fake.Factory(tmp_path, company=2, mistake="d9", stalls="d12")
    with pytest.raises(ClaraError, match="no answer about d9"):
        list(in_processes(fake.make_documents(400), factory, num_workers=2, chunk=1))
    assert not multiprocessing.active_children() and not any(map(is_there, pids(tmp_path)))


def test_a_killed_process_ends_the_run_with_one_line(fake: Any, tmp_path: Path) -> None:
    factory = fake.Factory(tmp_path, company=2, kills="d9", stalls="d12")
    with pytest.raises(ClaraError) as mistake:
        list(in_processes(fake.make_documents(40), factory, num_workers=2, chunk=1))
    assert str(mistake.value) == KILLED
    assert not any(map(is_there, pids(tmp_path)))


def test_a_killed_actor_is_replaced(cluster: None, fake: Any, tmp_path: Path) -> None:
    factory = fake.Factory(tmp_path, company=2, kills="d9")
    found = list(in_ray(fake.make_documents(40), factory, address=None, num_actors=2, chunk=4))
    assert Counter(one.id for one in found) == Counter(f"d{number}" for number in range(40))
    assert len(pids(tmp_path)) == 3


@pytest.mark.parametrize("way", ["processes", "ray"])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_processes_end_with_the_one_that_started_them(
    fake: Any, tmp_path: Path, way: str, end: signal.Signals, request: pytest.FixtureRequest
) -> None:
    if way == "ray":
        pytest.importorskip("ray", reason="the extra ray is not installed")
    command = [sys.executable, str(HERE / "fake_work.py"), way, str(tmp_path)]
    driver = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    wait_until((tmp_path / "stalled").exists)
    workers = pids(tmp_path)
    assert len(workers) == 2 and all(map(is_there, workers))
    if end == signal.SIGINT:
        os.killpg(driver.pid, end)  # as the terminal does
    else:
        driver.send_signal(end)
    _, err = driver.communicate(timeout=60)
    wait_until(lambda: not any(map(is_there, workers)))
    if (way, end) != ("ray", signal.SIGKILL):  # Ray's own agents, which do no work, take a minute to notice that
        wait_until(lambda: not sessions_of(driver.pid))
    assert err.count(b"Traceback") == (1 if end == signal.SIGINT else 0), err


def sessions_of(leader: int) -> list[int]:
    """Processes of the session that a process began."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader and state not in "ZX":
                found.append(int(folder.name))
    return found


def test_cores_and_devices_are_divided(fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    factory = fake.Factory(tmp_path, company=2)
    found = [one.detail.split() for one in in_processes(fake.make_documents(8), factory, num_workers=2, chunk=1)]
    threads = str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert {tuple(detail[2:]) for detail in found} == {(threads, "4,6"), (threads, "5,7")}


def test_a_number_of_threads_that_the_user_set_stays(
    fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    (one,) = in_processes(fake.make_documents(1), fake.Factory(tmp_path), num_workers=2)
    assert one.detail.split()[2] == "7"


def test_without_ray_the_extra_is_named(fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClaraError) as mistake:
        list(in_ray([], fake.Factory(tmp_path), address=None, num_actors=1))
    assert str(mistake.value) == "--ray needs the extra ray: pip install 'clara-lightning[ray]'"


def test_a_machine_that_is_too_small_is_said_before_anything_waits() -> None:
    with pytest.raises(ClaraError) as mistake:
        _check({"CPU": 2.0}, {"CPU": 2.0, "GPU": 1.0}, may_grow=False)
    assert str(mistake.value) == "--gpus: the actors take 1 GPUs, and there are 0"


def test_a_cluster_that_is_too_small_may_grow_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    _check({"CPU": 2.0}, {"CPU": 8.0, "GPU": 0.0}, may_grow=True)
    assert caplog.messages == ["the actors take 8 CPUs, and there are 2 in the cluster: waiting until it has grown"]
