"""One document to its supervision: questions, answers, checks, what is missing, and again (paper, section 3.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError
from clara_lightning.synthesis import checks
from clara_lightning.synthesis.documents import document_key
from clara_lightning.synthesis.outcome import Dropped, Found, Outcome, Pair, PairType, Reason, Round
from clara_lightning.synthesis.tasks import Request, TaskName
from clara_lightning.synthesis.teacher import NO_USAGE, BadReplyError, Reply

Ask = Callable[[Request], Awaitable[Reply]]
"""Puts a request to a teacher."""
T = TypeVar("T")
IsKnown = Callable[[str], bool]
"""Whether an evaluation asks this question."""


@dataclass(frozen=True)
class PipelineSettings:
    """What is made of a document.

    Attributes:
        max_rounds: of simple questions at most (paper: 10).
        min_coverage: a document of whose facts fewer are asked about is rejected (0 to 1).
        complex: whether complex questions are asked.
        paraphrase: whether a paraphrase is made.
        paraphrase_attempts: so often it is tried.
    """

    max_rounds: int = 10
    min_coverage: float = 0.8
    complex: bool = True
    paraphrase: bool = True
    paraphrase_attempts: int = 2

    def __post_init__(self) -> None:
        for option, value in (
            ("--max-rounds", self.max_rounds),
            ("--paraphrase-attempts", self.paraphrase_attempts),
        ):
            if value < 1:
                raise ClaraError(f"{option} must be >= 1, got {value}")
        if not 0 <= self.min_coverage <= 1:
            raise ClaraError(f"--min-coverage must be between 0 and 1, got {self.min_coverage}")


@dataclass(frozen=True)
class _Draft:
    """A question that passed what can be checked without an answer."""

    question: str
    type: PairType
    round: int


class _DocumentWork:
    """What is known of one document while it is worked on."""

    def __init__(self, document: Document, ask: Ask, settings: PipelineSettings, is_known: IsKnown) -> None:
        self.document = document
        self.settings = settings
        self.is_known = is_known
        self.usage = NO_USAGE
        self.pairs: list[Pair] = []
        self.dropped: list[Dropped] = []
        self.rounds: list[Round] = []
        self.paraphrase: str | None = None
        self.paraphrase_faults: tuple[str, ...] = ()
        self._ask = ask
        self._asked = checks.Asked()

    async def run(self) -> Outcome:
        """All of it; a teacher's useless answer ends it early."""
        try:
            await self._simple()
            if not self.pairs:
                return self._outcome("no pairs", self._commonest_fault())
            if (coverage := self.rounds[-1].coverage) < self.settings.min_coverage:
                limit = f"{coverage:.2f} after round {len(self.rounds)}, below {self.settings.min_coverage:g}"
                return self._outcome("coverage", limit)
            if self.settings.complex:
                await self._complex()
            if self.settings.paraphrase:
                await self._reword()
        except BadReplyError as error:
            self.usage += error.usage
            return self._outcome("refused" if "refused" in str(error) else "bad reply", str(error))
        return self._outcome()

    async def _simple(self) -> None:
        """Rounds of questions, until every fact is asked about or a round gives nothing new."""
        missing: list[str] = []
        for number in range(1, self.settings.max_rounds + 1):
            asked = [pair.question for pair in self.pairs] + [one.question for one in self.dropped]
            value = await self._value("simple_questions", missing=missing, asked=asked)
            drafts = [_Draft(question, "simple", number) for question in value["questions"]]
            kept = await self._answered(drafts)
            facts = (await self._value("coverage", pairs=self._plain_pairs()))["facts"] if self.pairs else []
            missing = [fact["fact"] for fact in facts if not fact["covered"]]
            coverage = 1 - len(missing) / len(facts) if facts else 0.0
            self.rounds.append(Round(len(drafts), kept, coverage))
            if not kept or not missing:
                return

    async def _complex(self) -> None:
        value = await self._value("complex_questions", pairs=self._plain_pairs())
        drafts = []
        for item in value["questions"]:
            draft = _Draft(item["question"], item["type"], len(self.rounds) + 1)
            if fault := checks.evidence_fault(item["evidence"], self.document.content):
                self._drop(draft, reason=fault, detail=" | ".join(item["evidence"]))
            else:
                drafts.append(draft)
        await self._answered(drafts)

    async def _answered(self, drafts: Sequence[_Draft]) -> int:
        """Answer, check and keep; returns how many were kept."""
        new = [draft for draft in drafts if self._is_new(draft)]
        answers = await _together(self._answer(draft) for draft in new)
        candidates = [(draft, text) for draft, text in zip(new, answers, strict=True) if text is not None]
        if not candidates:
            return 0
        value = await self._value("validate", pairs=[_plain(draft.question, text) for draft, text in candidates])
        verdicts = {verdict["number"]: verdict for verdict in value["verdicts"]}
        before = len(self.pairs)
        for number, (draft, text) in enumerate(candidates, start=1):
            self._judge(draft, text, verdicts.get(number))
        return len(self.pairs) - before

    def _is_new(self, draft: _Draft) -> bool:
        fault = checks.question_fault(draft.question)
        if fault is None and not self._asked.is_new(draft.question):
            fault = "repeated"
        if fault is None and self.is_known(draft.question):
            fault = "asked by an evaluation"
        if fault is not None:
            self._drop(draft, reason=fault)
        return fault is None

    async def _answer(self, draft: _Draft) -> str | None:
        """An answer that passes what can be checked by itself, or none."""
        try:
            value = await self._value("answer", question=draft.question)
        except BadReplyError as error:
            self.usage += error.usage
            self._drop(draft, reason="no usable answer", detail=str(error))
            return None
        answer = str(value["answer"])
        fault = (
            checks.answer_fault(draft.question, answer, may_repeat=draft.type != "simple")
            if value["answerable"]
            else "no answer in the document"
        )
        if fault is not None:
            self._drop(draft, answer, reason=fault)
        return answer if fault is None else None

    def _judge(self, draft: _Draft, answer: str, verdict: Mapping[str, Any] | None) -> None:
        if verdict is None:
            self._drop(draft, answer, reason="no verdict")
        elif not verdict["supported"]:
            self._drop(draft, answer, reason="not supported", detail=verdict["reason"])
        elif self._asked.overlaps(draft.question, answer):
            self._drop(draft, answer, reason="overlaps another")
        else:
            found: Found = "exact" if checks.stands_in(answer, self.document.content) else "teacher"
            self.pairs.append(Pair(draft.question, answer, draft.type, found, draft.round))

    async def _reword(self) -> None:
        faults: list[str] = []
        for _ in range(self.settings.paraphrase_attempts):
            try:
                text = str((await self._value("paraphrase", faults=faults))["paraphrase"])
                faults = checks.paraphrase_faults(self.document.content, text) or await self._other_facts(text)
            except BadReplyError as error:  # the questions are there, and worth keeping without it
                self.usage += error.usage
                faults = [str(error)]
                break
            if not faults:
                self.paraphrase = text
                break
        self.paraphrase_faults = tuple(faults)

    async def _other_facts(self, paraphrase: str) -> list[str]:
        found = await self._value("validate_paraphrase", paraphrase=paraphrase)
        return [f"missing: {fact}" for fact in found["missing"]] + [f"added: {fact}" for fact in found["added"]]

    async def _value(self, task: TaskName, **fields: Any) -> Mapping[str, Any]:
        reply = await self._ask(Request(task, self.document, fields))
        self.usage += reply.usage
        return reply.value

    def _plain_pairs(self) -> list[dict[str, str]]:
        return [_plain(pair.question, pair.answer) for pair in self.pairs]

    def _drop(self, draft: _Draft, answer: str = "", *, reason: str, detail: str = "") -> None:
        self.dropped.append(Dropped(draft.question, answer, draft.type, reason, detail, draft.round))

    def _commonest_fault(self) -> str:
        reasons = [one.reason for one in self.dropped]
        if not reasons:
            return "the teacher asks nothing"
        commonest = max(dict.fromkeys(reasons), key=reasons.count)
        return f"questions dropped: {len(reasons)}, most of them: {commonest}"

    def _outcome(self, reason: Reason | None = None, detail: str = "") -> Outcome:
        content = self.document.content
        texts = [text for pair in self.pairs for text in (pair.question, pair.answer)]
        return Outcome(
            key=document_key(self.document),
            id=self.document.id,
            document=content,
            pairs=tuple(self.pairs),
            paraphrase=self.paraphrase,
            paraphrase_faults=self.paraphrase_faults,
            rounds=tuple(self.rounds),
            word_coverage=checks.word_coverage(content, texts),
            dropped=tuple(self.dropped),
            reason=reason,
            detail=detail,
            usage=self.usage,
        )


async def _together(awaited: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Results in order, of several things that go on at once; the first failure ends the others."""
    tasks = [asyncio.ensure_future(one) for one in awaited]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _plain(question: str, answer: str) -> dict[str, str]:
    return {"question": question, "answer": answer}


async def synthesize_document(
    document: Document, ask: Ask, settings: PipelineSettings, *, is_known: IsKnown = lambda question: False
) -> Outcome:
    """Questions, answers and a paraphrase of one document, checked.

    Args:
        document: the document.
        ask: puts a request to the teacher.
        settings: what is made of it.
        is_known: whether a question belongs to an evaluation, and must not be trained on.

    Returns:
        What became of it; a teacher's useless answers are a rejection and no error.

    Raises:
        UnavailableError: the teacher did not answer; the document can be tried again.
        ClaraError: the teacher will not answer anything.
    """
    return await _DocumentWork(document, ask, settings, is_known).run()
