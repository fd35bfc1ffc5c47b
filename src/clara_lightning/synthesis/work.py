"""Many documents at once, in one process: coroutines that share a teacher."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.documents import document_key
from clara_lightning.synthesis.outcome import Outcome
from clara_lightning.synthesis.pipeline import IsKnown, PipelineSettings, synthesize_document
from clara_lightning.synthesis.tasks import Request
from clara_lightning.synthesis.teacher import Reply, Teacher, UnavailableError

MAX_FAILURES = 20
"""So many documents in a row may get no answer, or none that can be used; then the run stops."""

AskAbout = Callable[[str, Request], Awaitable[Reply]]
"""Puts a request about the document of this key to the teacher."""


class Guard:
    """Passes outcomes on to be recorded, and stops the run when the teacher is of no use at all.

    Args:
        record: takes an outcome that is final.

    Attributes:
        failed: ids of documents for which the teacher was not available, with the reason: the next run tries them.
    """

    def __init__(self, record: Callable[[Outcome], None]) -> None:
        self.failed: dict[str, str] = {}
        self._record = record
        self._failures = 0
        self._doubtful: list[Outcome] | None = []  # none once the teacher has said something of use

    def take(self, outcome: Outcome) -> None:
        """Take an outcome. Until the teacher has said something of use, none is recorded.

        Raises:
            ClaraError: it has not, or was not available, for too many documents in a row.
        """
        if outcome.reason == "unavailable":
            self._fail(outcome)
            return
        self._failures = 0
        if self._doubtful is None:
            self._record(outcome)
        elif outcome.reason == "bad reply":
            self._doubtful.append(outcome)
            if len(self._doubtful) >= MAX_FAILURES:
                raise ClaraError(
                    f"--teacher: nothing that it said about the first {MAX_FAILURES} documents can be used; "
                    f"the last: {outcome.detail}"
                )
        else:
            self.finish()
            self._record(outcome)

    def finish(self) -> None:
        """Record what was held back."""
        for outcome in self._doubtful or ():
            self._record(outcome)
        self._doubtful = None

    def _fail(self, outcome: Outcome) -> None:
        self.failed[outcome.id] = outcome.detail
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            raise ClaraError(
                f"--teacher: no answer for {MAX_FAILURES} documents in a row: {outcome.detail}; "
                "what is finished is kept: run the same command again to go on"
            )


async def work_on(
    documents: Iterable[Document],
    ask: AskAbout,
    finish: Callable[[Outcome], None],
    *,
    settings: PipelineSettings,
    is_known: IsKnown,
    open_documents: int,
) -> None:
    """Synthesise supervision for all documents, ``open_documents`` of them at a time.

    Args:
        documents: taken one by one, when there is room for another.
        ask: puts a request to the teacher.
        finish: takes what became of them, in the order in which they are finished.
        settings: what is made of a document.
        is_known: whether an evaluation asks a question.
        open_documents: worked on at once, 1 or more.

    Raises:
        ClaraError: the run must stop; what is finished was recorded.
    """
    waiting = iter(documents)

    async def worker() -> None:
        for document in waiting:  # shared by all workers: each document is taken once
            key = document_key(document)

            async def about(request: Request, key: str = key) -> Reply:
                return await ask(key, request)

            try:
                outcome = await synthesize_document(document, about, settings, is_known=is_known)
            except UnavailableError as error:
                outcome = Outcome(key, document.id, document.content, reason="unavailable", detail=str(error))
            finish(outcome)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(open_documents):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise _first(errors) from errors


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The mistake to tell: the user's, if there is one."""
    leaves = list(_leaves(errors))
    return next((error for error in leaves if isinstance(error, ClaraError)), leaves[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


@dataclass(frozen=True)
class ChunkWorkFactory:
    """Makes the work of another process: it travels there, and the teacher is made where it is asked.

    Attributes:
        make_teacher: makes the teacher.
        make_is_known: makes the look-up of questions that evaluations ask.
        settings: what is made of a document.
        open_documents: worked on at once.
    """

    make_teacher: Callable[[], Teacher]
    make_is_known: Callable[[], IsKnown]
    settings: PipelineSettings
    open_documents: int

    def __call__(self) -> ChunkWork:
        """The work, in this process."""
        return ChunkWork(self)


class ChunkWork:
    """Documents to outcomes, chunk by chunk, in one process."""

    def __init__(self, factory: ChunkWorkFactory) -> None:
        self._factory = factory
        self._teacher = factory.make_teacher()
        self._is_known = factory.make_is_known()
        self._runner = asyncio.Runner()

    def run(self, documents: Sequence[Document]) -> Sequence[Outcome]:
        """The outcomes of these documents, in the order in which they are finished."""
        outcomes: list[Outcome] = []

        async def ask(key: str, request: Request) -> Reply:
            return await self._teacher.reply(request)

        self._runner.run(
            work_on(
                documents,
                ask,
                outcomes.append,
                settings=self._factory.settings,
                is_known=self._is_known,
                open_documents=self._factory.open_documents,
            )
        )
        return outcomes

    def close(self) -> None:
        """Give back the teacher."""
        self._runner.run(self._teacher.close())
        self._runner.close()
