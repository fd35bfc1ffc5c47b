"""What a batch of training looks like: the tokens that are read, cut, fed and trained on. No weights are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby, islice
from typing import Any, Literal, NamedTuple

from transformers import PreTrainedTokenizerBase

from clara_lightning.data.examples import ExamplesDataModule, ReadingExample
from clara_lightning.data.prompts import IGNORED, PromptEncoder, document_ids
from clara_lightning.data.records import Question
from clara_lightning.errors import ClaraError
from clara_lightning.modules.base import ClaraModule
from clara_lightning.modules.joint import JointRAGModule

PieceKind = Literal["text", "memory", "label", "cut"]


class Piece(NamedTuple):
    """Tokens of one kind that stand together.

    Attributes:
        kind: ``text`` is read, ``memory`` are one document's places, ``label`` is trained on, ``cut`` is not read.
        text: the tokens in letters; nothing for memory.
        tokens: how many.
    """

    kind: PieceKind
    text: str
    tokens: int


@dataclass(frozen=True)
class ReadText:
    """A document, or a question that is compared with documents, as it is read.

    Attributes:
        ids: token ids that are read.
        cut_ids: those behind the limit, which are not.
        gold: whether the document holds the answer; ``None`` where that is not known.
        pieces: the same in letters.
    """

    ids: tuple[int, ...]
    cut_ids: tuple[int, ...]
    gold: bool | None
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Counts:
    """Tokens of one example.

    Attributes:
        document: of its documents, as they are read.
        cut: of its documents, not read.
        memory: places of memory in the prompt.
        prompt: all positions before the target, memory among them.
        label: trained on.
        compression: tokens of a document for each of its memory tokens, over the example; ``None`` without documents.
    """

    document: int
    cut: int
    memory: int
    prompt: int
    label: int
    compression: float | None


@dataclass(frozen=True)
class PreviewedExample:
    """One example.

    Attributes:
        task: what is asked.
        documents: what is compressed.
        query: the question, where a query reasoner reads it.
        ids: token ids that the generator reads; at memory the pad id.
        slots: where memory stands.
        labels: the target's ids at its positions, elsewhere -100.
        pieces: the same in letters.
        counts: how many tokens of each.
    """

    task: str
    documents: tuple[ReadText, ...]
    query: ReadText | None
    ids: tuple[int, ...]
    slots: tuple[bool, ...]
    labels: tuple[int, ...]
    pieces: tuple[Piece, ...]
    counts: Counts

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values, without the letters."""
        values = asdict(self)
        for each in (values, *values["documents"], *filter(None, [values["query"]])):
            del each["pieces"]
        return values


@dataclass(frozen=True)
class Preview:
    """The first examples of an epoch.

    Attributes:
        stage: class of the module.
        epoch: which.
        in_epoch: how many examples the epoch has.
        batch_size: examples per device and step.
        memory_tokens: of a document.
        document_tokens: what is read of one at most.
        notes: what is otherwise than the examples show, a line each.
        examples: the examples.
    """

    stage: str
    epoch: int
    in_epoch: int
    batch_size: int
    memory_tokens: int
    document_tokens: int
    notes: tuple[str, ...]
    examples: tuple[PreviewedExample, ...]


def preview(
    module: ClaraModule,
    data: ExamplesDataModule[Any, Any],
    tokenizer: PreTrainedTokenizerBase,
    *,
    rows: int,
    epoch: int,
) -> Preview:
    """The first examples of an epoch as one process of ``clara fit`` would feed them.

    Args:
        module: the stage; its backbone is neither needed nor loaded.
        data: set up, and looked at by the module.
        tokenizer: of the module's backbone.
        rows: how many examples.
        epoch: from 0.

    Raises:
        ClaraError: a setting is wrong.
    """
    if rows < 1:
        raise ClaraError(f"--rows must be >= 1, got {rows}")
    if epoch < 0:
        raise ClaraError(f"--epoch must be >= 0, got {epoch}")
    data.prepare = None  # memory of a store is not shown
    loader = data.train_dataloader()
    order, maker = loader.order(epoch), _Maker(module, tokenizer)
    batches = (loader.batch(number, epoch=epoch, order=order) for number in range(len(loader)))
    examples = islice((each for batch in batches for each in maker.examples(batch)), rows)
    return Preview(
        stage=type(module).__name__,
        epoch=epoch,
        in_epoch=len(loader) * loader.batch_size,
        batch_size=loader.batch_size,
        memory_tokens=module.memory_config.tokens,
        document_tokens=module.memory_config.document_tokens,
        notes=tuple(_notes(module)),
        examples=tuple(examples),
    )


def _notes(module: ClaraModule) -> Iterator[str]:
    if not isinstance(module, JointRAGModule):
        return
    if module.mix:
        yield f"the documents are {module.num_candidates} of the store, by {module.mix}, anew at each step"
    if not module.reads_answers:
        yield "training reads no answer from what was taken: these prompts are those of a validation"


def _said(example: ReadingExample | Question) -> ReadingExample | Question:
    """The words of a recital are chosen by a compressor, which is not there."""
    if isinstance(example, ReadingExample) and example.is_unsaid:
        return replace(example, answer="(the words that the memory stands on)")
    return example


class _Maker:
    """Makes previews of examples, with what a backbone would make of them."""

    def __init__(self, module: ClaraModule, tokenizer: PreTrainedTokenizerBase) -> None:
        self.module = module
        self.tokenizer = tokenizer
        self.memory = module.memory_config
        self.encoder = PromptEncoder(
            tokenizer, template=module.prompt, memory_tokens=self.memory.tokens, text_tokens=self.memory.document_tokens
        )

    def examples(self, batch: Sequence[ReadingExample | Question]) -> Iterator[PreviewedExample]:
        """Of one batch, encoded together as a step does it."""
        batch = [_said(example) for example in batch]
        encoded = self.encoder.encode(self.module.requests(batch))
        for place, example in enumerate(batch):
            real_T = encoded.attention[place].bool()
            row = (values_BT[place, real_T].tolist() for values_BT in (encoded.ids, encoded.slots, encoded.labels))
            yield self._example(example, *row)

    def _example(
        self, example: ReadingExample | Question, ids: list[int], slots: list[bool], labels: list[int]
    ) -> PreviewedExample:
        if isinstance(example, Question):
            searched = isinstance(self.module, JointRAGModule) and self.module.mix is not None
            passages = () if searched else example.passages
            documents = self._read([each.content for each in passages], [each.gold for each in passages])
            (query,) = self._read([example.question], [None])
        else:
            gold = example.gold or (None,) * len(example.documents)
            documents, query = self._read(example.documents, gold), None
        return PreviewedExample(
            task=example.task if isinstance(example, ReadingExample) else "question",
            documents=documents,
            query=query,
            ids=tuple(ids),
            slots=tuple(slots),
            labels=tuple(labels),
            pieces=tuple(self._prompt_pieces(ids, slots, labels)),
            counts=self._count(documents, slots, labels),
        )

    def _read(self, texts: Sequence[str], gold: Sequence[bool | None]) -> tuple[ReadText, ...]:
        limit = self.memory.document_tokens
        found = []
        for ids, is_gold in zip(document_ids(self.tokenizer, texts), gold, strict=True):
            kinds: list[PieceKind] = ["text" if place < limit else "cut" for place in range(len(ids))]
            pieces = tuple(self._pieces(ids, kinds))
            found.append(ReadText(tuple(ids[:limit]), tuple(ids[limit:]), is_gold, pieces))
        return tuple(found)

    def _prompt_pieces(self, ids: list[int], slots: list[bool], labels: list[int]) -> Iterator[Piece]:
        kinds: list[PieceKind] = [
            "memory" if slot else "text" if label == IGNORED else "label"
            for slot, label in zip(slots, labels, strict=True)
        ]
        for piece in self._pieces(ids, kinds):
            # Memories stand behind one another where the template's separator is empty.
            each = self.memory.tokens if piece.kind == "memory" else piece.tokens
            yield from [piece._replace(tokens=each)] * (piece.tokens // each)

    def _pieces(self, ids: list[int], kinds: Sequence[PieceKind]) -> Iterator[Piece]:
        """Tokens of one kind each, in letters: what they add to the text before them, or else what they are alone."""
        end, before = 0, ""
        for kind, group in groupby(kinds):
            start, end = end, end + sum(1 for _ in group)
            text = self._decode(ids[:end])
            own = text[len(before) :] if text.startswith(before) else self._decode(ids[start:end])
            before = text
            yield Piece(kind, "" if kind == "memory" else own, end - start)

    def _decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _count(self, documents: Sequence[ReadText], slots: list[bool], labels: list[int]) -> Counts:
        read, label = sum(len(each.ids) for each in documents), sum(each != IGNORED for each in labels)
        return Counts(
            document=read,
            cut=sum(len(each.cut_ids) for each in documents),
            memory=sum(slots),
            prompt=len(labels) - label,
            label=label,
            compression=read / (len(documents) * self.memory.tokens) if documents else None,
        )
