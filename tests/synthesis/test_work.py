"""Many documents at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.outcome import Outcome
from clara_lightning.synthesis.pipeline import PipelineSettings
from clara_lightning.synthesis.teacher import BadReplyError, UnavailableError
from clara_lightning.synthesis.work import MAX_FAILURES, ChunkWorkFactory, Guard, work_on


def run(documents: Any, teacher: Any, finish: Any, *, open_documents: int = 4) -> None:
    async def ask(key: str, request: Any) -> Any:
        await asyncio.sleep(0)
        return await teacher.reply(request)

    asyncio.run(
        work_on(
            documents,
            ask,
            finish,
            settings=PipelineSettings(),
            is_known=lambda question: False,
            open_documents=open_documents,
        )
    )


@pytest.mark.parametrize("open_documents", [1, 3, 50])
def test_every_document_is_worked_on_once(knowing: Any, a_bridge: Any, open_documents: int) -> None:
    outcomes: list[Outcome] = []
    run(map(a_bridge, range(20)), knowing(), outcomes.append, open_documents=open_documents)
    assert sorted(found.id for found in outcomes) == sorted(f"b{number}" for number in range(20))


def test_documents_are_taken_only_when_there_is_room(knowing: Any, a_bridge: Any) -> None:
    taken: list[int] = []
    finished: list[Outcome] = []

    def documents() -> Any:
        for number in range(20):
            taken.append(number)
            assert len(taken) - len(finished) <= 3
            yield a_bridge(number)

    run(documents(), knowing(), finished.append, open_documents=3)


def test_a_document_without_an_answer_is_not_final(knowing: Any, a_bridge: Any) -> None:
    def answer(request: Any) -> Any:
        late = request.document.id == "b1"
        return UnavailableError("timed out") if late else {"answerable": True, "answer": "1936"}

    recorded: list[Outcome] = []
    guard = Guard(recorded.append)
    run(map(a_bridge, range(3)), knowing({"answer": answer}), guard.take)
    assert guard.failed == {"b1": "timed out"}
    assert sorted(found.id for found in recorded) == ["b0", "b2"]


def test_a_teacher_that_is_gone_stops_the_run(knowing: Any, a_bridge: Any) -> None:
    teacher = knowing({"answer": lambda request: UnavailableError("refused")})
    guard = Guard(lambda outcome: None)
    with pytest.raises(ClaraError, match=f"no answer for {MAX_FAILURES} documents in a row: refused"):
        run(map(a_bridge, range(100)), teacher, guard.take)
    assert len(guard.failed) == MAX_FAILURES


def test_a_teacher_that_says_nothing_of_use_stops_the_run_and_nothing_is_recorded(knowing: Any, a_bridge: Any) -> None:
    recorded: list[Outcome] = []
    teacher = knowing({"simple_questions": lambda request: BadReplyError("simple_questions: empty")})
    with pytest.raises(ClaraError, match="about the first 20 documents can be used; the last: simple_questions: empty"):
        run(map(a_bridge, range(100)), teacher, Guard(recorded.append).take)
    assert not recorded


def test_a_few_useless_answers_are_rejections(knowing: Any, a_bridge: Any) -> None:
    def questions(request: Any) -> Any:
        return BadReplyError("empty") if request.document.id < "b2" else knowing()._simple_questions(request)

    recorded: list[Outcome] = []
    guard = Guard(recorded.append)
    run(map(a_bridge, range(30)), knowing({"simple_questions": questions}), guard.take)
    guard.finish()
    assert len(recorded) == 30


def test_a_fatal_mistake_ends_everything_with_its_own_words(knowing: Any, a_bridge: Any) -> None:
    teacher = knowing({"answer": lambda request: ClaraError("wrong key")})
    with pytest.raises(ClaraError, match=r"^wrong key$"):
        run(map(a_bridge, range(100)), teacher, lambda outcome: None)


def test_chunks_in_another_process_give_the_same(knowing: Any, a_bridge: Any) -> None:
    outcomes: list[Outcome] = []
    run(map(a_bridge, range(6)), knowing(), outcomes.append)
    factory = ChunkWorkFactory(knowing, lambda: lambda question: False, PipelineSettings(), 2)
    work = factory()
    chunked = [*work.run([a_bridge(n) for n in range(3)]), *work.run([a_bridge(n) for n in range(3, 6)])]
    work.close()
    assert sorted(chunked, key=lambda found: found.id) == sorted(outcomes, key=lambda found: found.id)
