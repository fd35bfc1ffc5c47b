"""``clara synthesize``: a file of documents to a file of SCP supervision."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from itertools import islice
from typing import Literal

from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.documents import DocumentSettings, document_key
from clara_lightning.synthesis.estimate import MIN_MEASURED, SAMPLE, Estimate, assumed, assumed_free, measured
from clara_lightning.synthesis.folder import WorkFolder
from clara_lightning.synthesis.ledger import Journal, Ledger
from clara_lightning.synthesis.outcome import Outcome
from clara_lightning.synthesis.output import write_output
from clara_lightning.synthesis.pipeline import IsKnown, PipelineSettings
from clara_lightning.synthesis.plan import contamination_of, make_plan
from clara_lightning.synthesis.progress import Pace, Price, shown
from clara_lightning.synthesis.prompts import Prompts
from clara_lightning.synthesis.report.figures import Figures
from clara_lightning.synthesis.report.page import write_report
from clara_lightning.synthesis.tasks import Request
from clara_lightning.synthesis.teacher import Reply, Teacher
from clara_lightning.synthesis.work import ChunkWorkFactory, Guard, work_on

log = logging.getLogger(__name__)

DOCUMENTS_PER_CHUNK = 64
"""So many documents a process or an actor gets at once, if no more are worked on at once there."""
DOCUMENTS_PER_LINE = 100_000
"""So often the first reading of a large corpus says how far it is."""


@dataclass(frozen=True)
class Spread:
    """Where the work is done.

    Attributes:
        over: ``here`` is this process, in which every answer of the teacher is kept at once; ``processes`` are some on
            this machine, ``ray`` actors of a Ray cluster: there a kill costs the documents that are being worked on.
        workers: processes or actors.
        address: of the Ray cluster; none starts one on this machine.
        gpus: for each actor.
    """

    over: Literal["here", "processes", "ray"] = "here"
    workers: int = 1
    address: str | None = None
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ClaraError(f"--workers must be >= 1, got {self.workers}")
        if self.gpus < 0:
            raise ClaraError(f"--gpus must be >= 0, got {self.gpus:g}")


@dataclass(frozen=True)
class Settings:
    """All that is wanted of a run, but for the teacher.

    Attributes:
        documents: which documents are worked on.
        pipeline: what is made of each.
        price: of the teacher's tokens.
        spread: where the work is done.
        open_documents: worked on at once, in each process.
    """

    documents: DocumentSettings = field(default_factory=DocumentSettings)
    pipeline: PipelineSettings = field(default_factory=PipelineSettings)
    price: Price = field(default_factory=Price)
    spread: Spread = field(default_factory=Spread)
    open_documents: int = 32

    def __post_init__(self) -> None:
        if self.open_documents < 1:
            raise ClaraError(f"--open-documents must be >= 1, got {self.open_documents}")


@dataclass(frozen=True)
class Made:
    """What a run made.

    Attributes:
        accepted: rows of the output.
        rejected: documents without supervision.
        figures: of the report.
        failed: ids of documents that got no answer, with the reason; running again tries them.
    """

    accepted: int
    rejected: int
    figures: Figures
    failed: Mapping[str, str]


class Run:
    """One run; a scope that holds its folder and lets go of it.

    Args:
        source: documents: a file that ``clara convert`` and the other verbs read, or a folder of texts.
        out: the SCP file to write.
        make_teacher: makes the teacher; with several processes it must pickle.
        settings: what is wanted.

    Raises:
        ClaraError: a setting is wrong, or ``out`` was begun with another one.
    """

    def __init__(self, source: str, out: str, *, make_teacher: Callable[[], Teacher], settings: Settings) -> None:
        self.settings = settings
        self.make_teacher = make_teacher
        self.teacher = make_teacher()
        self.identity = {"teacher": dict(self.teacher.identity), "pipeline": asdict(settings.pipeline)}
        self.folder = WorkFolder(out)
        try:
            self.plan = make_plan(source, folder=self.folder.path, settings=settings.documents, progress=_tell_read)
            self.ledger = Ledger(self.folder.path / "outcomes")
        except BaseException:
            self.folder.close()
            raise

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()
        self.folder.close()

    @cached_property
    def planned(self) -> frozenset[bytes]:
        """Keys of all documents, 16 bytes each."""
        return frozenset(_key(document) for document in self.plan.documents())

    @property
    def num_left(self) -> int:
        """How many documents have no outcome."""
        return len(self.planned - self.ledger.finished)

    def left(self) -> Iterator[Document]:
        """Documents without an outcome."""
        return (document for document in self.plan.documents() if _key(document) not in self.ledger.finished)

    def outcomes(self) -> Iterator[Outcome]:
        """Of the documents that are finished, in the order of their keys."""
        return self.ledger.outcomes(self.planned.__contains__)

    def estimate(self, prompts: Prompts | None) -> Estimate:
        """What the documents that are left will take; nothing is asked.

        Args:
            prompts: the teacher's templates; none for a teacher that takes no tokens.
        """
        price, left = self.settings.price, self.num_left
        finished = list(islice(self.outcomes(), SAMPLE))
        if len(finished) >= MIN_MEASURED:
            return measured(finished, documents=left, price=price)
        if prompts is None:
            return assumed_free(documents=left)
        return assumed(list(islice(self.left(), SAMPLE)), prompts, self.settings.pipeline, documents=left, price=price)

    def work(self) -> Mapping[str, str]:
        """Work on every document that is left; returns the failed ones with the reason.

        Raises:
            ClaraError: the run must stop; what is finished is kept.
        """
        self.folder.begin(self.identity)
        total = len(self.planned)
        pace = Pace(done=total - self.num_left, total=total, price=self.settings.price)
        with shown(pace) as count:

            def record(outcome: Outcome) -> None:
                self.ledger.record(outcome)
                count(outcome)

            guard = Guard(record)
            if self.settings.spread.over == "here":
                asyncio.run(self._here(guard))
            else:
                for outcome in self._elsewhere():
                    guard.take(outcome)
            guard.finish()
        return guard.failed

    def write(self, failed: Mapping[str, str]) -> Made:
        """Write the output, the rejects and the report from what is finished.

        Args:
            failed: documents that got no answer, as :meth:`work` returns them.
        """
        fingerprint = self.folder.begin(self.identity)
        written = write_output(self.folder, self.outcomes(), teacher=self.teacher.name, fingerprint=fingerprint)
        context: dict[str, object] = {
            "teacher": self.teacher.name,
            "fingerprint": fingerprint,
            "documents": asdict(self.plan.figures),
            "settings": {**self.identity, "documents": self.settings.documents.to_json()},
            "not finished": len(self.planned) - written.accepted - written.rejected,
            "without an answer": len(failed),
        }
        if self.plan.report is not None:
            context["contamination"] = self.plan.report.to_json()
        figures = write_report(self.folder.path, self.outcomes(), context)
        return Made(written.accepted, written.rejected, figures, failed)

    async def _here(self, guard: Guard) -> None:
        journal = Journal(self.folder.path / "replies.jsonl", finished=self.ledger.finished)
        is_known = look_up(self.settings.documents)

        async def ask(document: str, request: Request) -> Reply:
            return await journal.ask(document, request, self.teacher)

        def finish(outcome: Outcome) -> None:
            guard.take(outcome)
            if outcome.reason != "unavailable":
                journal.forget(outcome.key)

        try:
            await work_on(
                self.left(),
                ask,
                finish,
                settings=self.settings.pipeline,
                is_known=is_known,
                open_documents=self.settings.open_documents,
            )
        finally:
            journal.close()
            await self.teacher.close()

    def _elsewhere(self) -> Iterable[Outcome]:
        from clara_lightning.synthesis.workers import in_processes, in_ray

        spread = self.settings.spread
        factory = ChunkWorkFactory(
            self.make_teacher,
            partial(look_up, self.settings.documents),
            self.settings.pipeline,
            self.settings.open_documents,
        )
        chunk = max(DOCUMENTS_PER_CHUNK, self.settings.open_documents)  # a teacher is kept busy within a chunk
        if spread.over == "processes":
            return in_processes(self.left(), factory, num_workers=spread.workers, chunk=chunk)
        return in_ray(
            self.left(),
            factory,
            address=spread.address,
            num_actors=spread.workers,
            gpus_per_actor=spread.gpus,
            chunk=chunk,
        )


def look_up(settings: DocumentSettings) -> IsKnown:
    """Whether an evaluation asks a question, as a function that reads the evaluation files once."""
    contamination = contamination_of(settings)
    return lambda question: contamination is not None and contamination.of_question(question) is not None


def _key(document: Document) -> bytes:
    return bytes.fromhex(document_key(document))


def _tell_read(count: int) -> None:
    if count % DOCUMENTS_PER_LINE == 0:
        log.info("%s documents read and compared", f"{count:,}")
