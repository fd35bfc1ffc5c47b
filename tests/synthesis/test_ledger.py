"""What is finished stays, whatever happens to the process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.ledger import Journal, Ledger
from clara_lightning.synthesis.lines import GrowingFile, read_lines
from clara_lightning.synthesis.outcome import Outcome
from clara_lightning.synthesis.tasks import Request
from clara_lightning.synthesis.teacher import BadReplyError, Usage

KEYS = [f"{number:032x}" for number in (5, 1 << 124, 3, (1 << 124) + 7)]


def outcome(key: str) -> Outcome:
    return Outcome(key, f"id-{key[-2:]}", "text", usage=Usage(1, 2, 3))


def all_of(ledger: Ledger) -> list[str]:
    return [found.key for found in ledger.outcomes(lambda key: True)]


def test_outcomes_come_in_the_order_of_their_keys(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for key in KEYS:
        ledger.record(outcome(key))
    assert all_of(ledger) == sorted(KEYS)
    assert [found.key for found in ledger.outcomes({bytes.fromhex(KEYS[0])}.__contains__)] == [KEYS[0]]


def test_a_new_ledger_knows_what_is_finished(tmp_path: Path) -> None:
    first = Ledger(tmp_path)
    first.record(outcome(KEYS[0]))  # never closed: the process was killed
    again = Ledger(tmp_path)
    assert again.finished == {bytes.fromhex(KEYS[0])}
    assert next(again.outcomes(lambda key: True)) == outcome(KEYS[0])


@pytest.mark.parametrize("kept", [0, 1, 20, -1])
def test_half_a_line_is_cut_off(tmp_path: Path, kept: int) -> None:
    ledger = Ledger(tmp_path)
    ledger.record(outcome(KEYS[0]))
    ledger.close()
    path = tmp_path / f"{KEYS[0][0]}.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:kept])
    again = Ledger(tmp_path)
    again.record(outcome(KEYS[2]))
    again.close()
    assert path.read_bytes().startswith(whole)
    assert all_of(Ledger(tmp_path)) == sorted([KEYS[0], KEYS[2]])


def test_a_line_longer_than_a_block_that_was_cut_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1}\n' + b"x" * 200_000)
    GrowingFile(path).close()
    assert path.read_bytes() == b'{"a": 1}\n'


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    file = GrowingFile(tmp_path / "x.jsonl")
    file.append({"a": 1})
    real = os.pwrite

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) < 12:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:10], offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(
        ClaraError, match=r"x.jsonl: cannot be written: No space left on device; what is finished is kept"
    ):
        file.append({"b": "a longer line"})
    monkeypatch.undo()
    assert [json.loads(line) for _, line in read_lines(tmp_path / "x.jsonl")] == [{"a": 1}]
    file.append({"c": 2})
    assert [json.loads(line) for _, line in read_lines(tmp_path / "x.jsonl")] == [{"a": 1}, {"c": 2}]


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0.jsonl").write_text('{"id": 1}\n', encoding="utf-8")
    with pytest.raises(ClaraError, match=r"0.jsonl: byte 0: no line of clara synthesize"):
        Ledger(tmp_path)


@pytest.fixture
def ask(knowing: Any, a_bridge: Any) -> Any:
    """Asks through a journal."""

    def run(journal: Journal, teacher: Any, task: str = "coverage", document: str = KEYS[0]) -> Any:
        request = Request(task, a_bridge(), {"pairs": []})  # type: ignore[arg-type]
        return asyncio.run(journal.ask(document, request, teacher))

    return run


def test_an_answer_is_asked_for_once(tmp_path: Path, knowing: Any, ask: Any) -> None:
    teacher = knowing()
    journal = Journal(tmp_path / "replies.jsonl", finished=set())
    first = ask(journal, teacher)
    again = Journal(tmp_path / "replies.jsonl", finished=set())  # after a kill
    assert ask(again, teacher) == first
    assert len(teacher.requests) == 1
    ask(again, teacher, document=KEYS[1])
    assert len(teacher.requests) == 2


def test_a_bad_answer_is_asked_for_once_too(tmp_path: Path, knowing: Any, ask: Any) -> None:
    teacher = knowing({"coverage": lambda request: BadReplyError("no JSON", Usage(3, 30, 3))})
    for _ in range(2):
        journal = Journal(tmp_path / "replies.jsonl", finished=set())
        with pytest.raises(BadReplyError, match="no JSON") as error:
            ask(journal, teacher)
        assert error.value.usage == Usage(3, 30, 3)
    assert len(teacher.requests) == 1


def test_answers_about_finished_documents_are_let_go(tmp_path: Path, knowing: Any, ask: Any) -> None:
    path = tmp_path / "replies.jsonl"
    journal = Journal(path, finished=set())
    ask(journal, knowing())
    assert path.stat().st_size > 0
    assert Journal(path, finished={bytes.fromhex(KEYS[0])}) and path.stat().st_size == 0
    journal.forget(KEYS[0])
    journal.close()
    assert not path.exists()


def test_the_journal_does_not_grow_with_the_run(tmp_path: Path, knowing: Any, ask: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("clara_lightning.synthesis.ledger._COMPACT_BYTES", 2000)
    path = tmp_path / "replies.jsonl"
    journal = Journal(path, finished=set())
    for number in range(50):
        key = f"{number:032x}"
        ask(journal, knowing(), document=key)
        if number:
            journal.forget(key)
    assert path.stat().st_size < 4000
    assert KEYS[2][:-1] + "0" in path.read_text(encoding="utf-8")  # the one that was not let go
