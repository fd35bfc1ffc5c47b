"""Many documents at once, in one process: coroutines that share a teacher."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

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


@dataclass
class Finished:
    """Where finished documents go, with a guard against a teacher that is no use at all.

    Attributes:
        record: takes an outcome.
        failed: ids of documents for which the teacher was not available, with the reason.
    """

    record: Callable[[Outcome], None]
    failed: dict[str, str] = field(default_factory=dict)
    _failures: int = 0
    _doubtful: list[Outcome] = field(default_factory=list)
    _answered: bool = False

    def done(self, outcome: Outcome) -> None:
        """Take an outcome. Until the teacher has said something of use, none is recorded.

        Raises:
            ClaraError: it has not, for too many documents.
        """
        self._failures = 0
        if outcome.reason == "bad reply" and not self._answered:
            self._doubtful.append(outcome)
            if len(self._doubtful) >= MAX_FAILURES:
                raise ClaraError(
                    f"--teacher: nothing that it said about the first {MAX_FAILURES} documents can be used; "
                    f"the last: {outcome.detail}"
                )
            return
        self._answered = True
        self.flush()
        self.record(outcome)

    def fail(self, document: Document, error: UnavailableError) -> None:
        """Remember a document that the next run must try again.

        Raises:
            ClaraError: the teacher was not available for too many documents in a row.
        """
        self.failed[document.id] = str(error)
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            raise ClaraError(
                f"--teacher: no answer for {MAX_FAILURES} documents in a row: {error}; "
                "what is finished is kept: run the same command again to go on"
            )

    def flush(self) -> None:
        """Record what was held back."""
        for outcome in self._doubtful:
            self.record(outcome)
        self._doubtful.clear()


async def work_on(
    documents: Iterable[Document],
    ask: AskAbout,
    finished: Finished,
    *,
    settings: PipelineSettings,
    is_known: IsKnown,
    open_documents: int,
) -> None:
    """Synthesise supervision for all documents, ``open_documents`` of them at a time.

    Args:
        documents: taken one by one, when there is room for another.
        ask: puts a request to the teacher.
        finished: takes what became of them, in the order in which they are finished.
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
                finished.fail(document, error)
            else:
                finished.done(outcome)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(open_documents):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise _first(errors) from errors
    finished.flush()


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
class WorkFactory:
    """Makes the work of another process: it travels there, and the teacher is made where it is asked.

    Attributes:
        make_teacher: makes the teacher.
        settings: what is made of a document.
        open_documents: worked on at once.
    """

    make_teacher: Callable[[], Teacher]
    settings: PipelineSettings
    open_documents: int

    def __call__(self) -> ChunkWork:
        """The work, in this process."""
        return ChunkWork(self)


class ChunkWork:
    """Documents to outcomes, chunk by chunk, in one process."""

    def __init__(self, factory: WorkFactory) -> None:
        self._factory = factory
        self._teacher = factory.make_teacher()
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
                Finished(outcomes.append),
                settings=self._factory.settings,
                is_known=lambda question: False,
                open_documents=self._factory.open_documents,
            )
        )
        return outcomes

    def close(self) -> None:
        """Give back the teacher."""
        self._runner.run(self._teacher.close())
        self._runner.close()
