"""From a request and its background to token ids with marked places for memory.

Shapes: B prompts, T positions, l memory tokens a document.

A prompt is the same whether a document stands in it as text or as memory: only what fills its place differs. So the
conditions of an evaluation (no memory, another's memory, gold memory, gold text) differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from clara_lightning.errors import ClaraError

IGNORED = -100
# The date that Llama 3.1's template falls back to, in the pieces that templates write it with.
_DATE = {"%d %b %Y": "26 Jul 2024", "%d": "26", "%b": "Jul", "%B": "July", "%m": "07", "%Y": "2024", "%A": "Friday"}
_CONTENT = "<<<clara:content>>>"
_ANSWER = "<<<clara:answer>>>"


@dataclass(frozen=True)
class PromptTemplate:
    """The words around background and question.

    ``{background}`` is where the documents go (as memory or as text), ``{question}`` the question. A tokenizer
    without a chat template gets the system text, the user text and ``answer_cue`` as plain lines.
    """

    system: str = "Answer the question from the background, in as few words as possible."
    question: str = "Background:\n{background}\n\nQuestion: {question}"
    all_pairs: str = "Background:\n{background}\n\nWrite questions about the background, each with its answer."
    paraphrase: str = "Background:\n{background}\n\nSay what the background says in other words."
    continuation: str = "Background:\n{background}\n\nSay what follows on the background."
    reconstruction: str = "Background:\n{background}\n\nWrite out the background behind: {question}"
    recital: str = "Background:\n{background}\n\nName the words of the background, one after the other."
    separator: str = "\n"
    answer_cue: str = "\nAnswer:"

    def __post_init__(self) -> None:
        for name in ("question", "all_pairs", "paraphrase", "continuation", "reconstruction", "recital"):
            if getattr(self, name).count("{background}") != 1:
                raise ClaraError(f"model.init_args.prompt.{name} must hold {{background}} exactly once")
        for name in ("question", "reconstruction"):
            if "{question}" not in getattr(self, name):
                raise ClaraError(f"model.init_args.prompt.{name} must hold {{question}}")


@dataclass(frozen=True)
class MemorySlot:
    """A place in the prompt that takes one document's memory."""


MEMORY = MemorySlot()
Background = MemorySlot | str | tuple[int, ...]
"""A document's memory, its text, or token ids that are to stand as they are."""


@dataclass(frozen=True)
class Prompt:
    """One request to the generator.

    Attributes:
        text: user text with one ``{background}`` left open, and ``{question}`` where there is a question.
        background: what stands there, in order: :data:`MEMORY`, a document's text, or token ids.
        answer: the target, or ``None`` when it is to be generated.
        question: what stands at ``{question}``.
    """

    text: str
    background: tuple[Background, ...] = ()
    answer: str | None = None
    question: str | None = None


class PromptBatch(NamedTuple):
    """Padded prompts, ready for the generator.

    Attributes:
        ids: token ids; positions of memory hold the pad id, ``(B, T)``.
        attention: 1 on real positions, ``(B, T)``.
        slots: True where a memory vector goes, in the order of the documents, ``(B, T)``.
        labels: the answer's ids at its own positions, elsewhere ``IGNORED``, ``(B, T)``.
    """

    ids: Tensor
    attention: Tensor
    slots: Tensor
    labels: Tensor


class PromptEncoder:
    """Turns :class:`Prompt` objects into a :class:`PromptBatch` for one tokenizer.

    Args:
        tokenizer: any tokenizer of transformers, with or without a chat template, a system role, BOS or pad token.
        template: the words.
        memory_tokens: l, positions per memory slot.
        text_tokens: a document that stands as text is cut after so many tokens, as the compressor cuts it.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        template: PromptTemplate,
        memory_tokens: int,
        text_tokens: int,
    ) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.memory_tokens = memory_tokens
        self.text_tokens = text_tokens
        self.pad_id = pad_token_id(tokenizer)
        head, tail, end = _frame(tokenizer, template)
        self._head, self._tail, self._end = (self._ids(text, special=True) for text in (head, tail, end))
        self._end = self._end[:1]

    @property
    def stop_ids(self) -> list[int]:
        """Tokens that end an answer: the template's end of turn and the tokenizer's EOS."""
        eos = self.tokenizer.eos_token_id
        return sorted({*self._end, *([eos] if isinstance(eos, int) else [])})

    def ask(self, question: str, background: Sequence[Background], *, answer: str | None = None) -> Prompt:
        """The request that puts ``question`` to the given background."""
        return Prompt(self.template.question, tuple(background), answer, question)

    def prefix(self, prompts: Sequence[Prompt]) -> tuple[int, ...]:
        """Token ids that every one of these prompts begins with, whatever question and background fill it.

        The last of them is left out, so that something follows even where nothing fills a prompt.
        """
        starts = {prompt.text.partition("{background}")[0] for prompt in prompts}
        before = starts.pop() if len(starts) == 1 else ""
        return tuple([*self._head, *self._ids("" if "{question}" in before else before)][:-1])

    def encode(self, prompts: Sequence[Prompt], *, padding_side: str = "right", before_padding: int = 0) -> PromptBatch:
        """Tokenize and pad; the answer, where there is one, ends with the end-of-turn token.

        Args:
            prompts: B requests.
            padding_side: ``right`` for the loss, ``left`` for generation.
            before_padding: so many first tokens stand in front of padding on the left.
        """
        rows = [self._row(prompt) for prompt in prompts]
        width = max(len(ids) for ids, _, _ in rows)
        batch = PromptBatch(
            torch.full((len(rows), width), self.pad_id),
            torch.zeros(len(rows), width, dtype=torch.long),
            torch.zeros(len(rows), width, dtype=torch.bool),
            torch.full((len(rows), width), IGNORED),
        )
        for index, (ids, slots, labels) in enumerate(rows):
            place = torch.arange(len(ids))
            if padding_side == "left":
                place[before_padding:] += width - len(ids)
            batch.ids[index, place] = torch.tensor(ids)
            batch.attention[index, place] = 1
            batch.slots[index, place] = torch.tensor(slots)
            batch.labels[index, place] = torch.tensor(labels)
        return batch

    def encode_answers(self, prompts: Sequence[Prompt]) -> Tensor:
        """Ids of each prompt's answer and its end, then ``IGNORED``: ``(B, A)``, A of the longest."""
        rows = [torch.tensor(self._answer_ids(prompt), dtype=torch.long) for prompt in prompts]
        return pad_sequence(rows, batch_first=True, padding_value=IGNORED)

    def count_answer_tokens(self, prompts: Sequence[Prompt]) -> int:
        """How many positions :meth:`encode` labels in all."""
        return sum(len(self._answer_ids(prompt)) for prompt in prompts)

    def _answer_ids(self, prompt: Prompt) -> list[int]:
        return [] if prompt.answer is None else self._ids(prompt.answer) + self._end

    def _row(self, prompt: Prompt) -> tuple[list[int], list[bool], list[int]]:
        before, _, after = prompt.text.partition("{background}")  # before the question, which may spell the mark too
        if prompt.question is not None:
            before, after = (part.replace("{question}", prompt.question) for part in (before, after))
        ids = self._head + self._ids(before)
        slots = [False] * len(ids)
        for number, part in enumerate(prompt.background):
            gap = self._ids(self.template.separator) if number else []
            piece = self._piece(part)
            ids += gap + piece
            slots += [False] * len(gap) + [isinstance(part, MemorySlot)] * len(piece)
        ids += self._ids(after) + self._tail
        slots += [False] * (len(ids) - len(slots))
        answer = self._answer_ids(prompt)
        labels = [IGNORED] * len(ids) + answer
        return ids + answer, slots + [False] * len(answer), labels

    def background_positions(self, background: Sequence[Background]) -> int:
        """How many positions the documents take in a prompt, without what separates them."""
        return sum(len(self._piece(part)) for part in background)

    def _piece(self, part: Background) -> list[int]:
        if isinstance(part, MemorySlot):
            return [self.pad_id] * self.memory_tokens
        return list(part) if isinstance(part, tuple) else self._ids(part)[: self.text_tokens]

    def _ids(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids; text from outside that spells a special token (end of turn) gets the tokens of its letters."""
        if not text:
            return []
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=not special)
        return list(encoded["input_ids"])


def document_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text as compressor and query reasoner read it, before it is cut.

    A leading space gives the first word the token that it has inside a sentence; special tokens stand where the
    tokenizer adds them. A text that spells a special token (``</s>``) gets the tokens of its letters, never that token.
    """
    rows = tokenizer([f" {text}" for text in texts], split_special_tokens=True)["input_ids"] if texts else []
    return list(rows)


def pad_token_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """A token that may stand at masked positions: the pad token, else EOS, else 0 (it is never attended to)."""
    for candidate in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if isinstance(candidate, int):
            return candidate
    return 0


def _frame(tokenizer: PreTrainedTokenizerBase, template: PromptTemplate) -> tuple[str, str, str]:
    """Text before the user's words, text between them and the answer, and text that ends the answer."""
    if not tokenizer.chat_template:
        bos = tokenizer.bos_token if tokenizer.bos_token else ""
        space = " " if not template.answer_cue.endswith(" ") else ""
        return f"{bos}{template.system}\n\n", template.answer_cue + space, str(tokenizer.eos_token or "\n")
    rendered = _render(tokenizer, template.system, answer=None)
    head, found, tail = rendered.partition(_CONTENT)
    if not found:
        raise ClaraError("model.init_args.backbone.name: the chat template does not show the user's words")
    _, _, end = _render(tokenizer, template.system, answer=_ANSWER).partition(_ANSWER)
    return head, tail, end.strip() or str(tokenizer.eos_token or "\n")


def chat_options(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """What every call of the chat template gets, for ``apply_chat_template``.

    Models that can think aloud are asked not to; templates without that switch ignore it. Templates that write today's
    date get one that stands still: a prompt is the same on every day.
    """
    return {
        "enable_thinking": False,
        "date_string": _DATE["%d %b %Y"],
        "chat_template": _undated(tokenizer),
    }


def _undated(tokenizer: PreTrainedTokenizerBase) -> str:
    """The chat template, with the clock that transformers lends it replaced by a date that stands still."""
    template = tokenizer.get_chat_template()
    if "strftime_now" not in template:
        return template
    pieces = "".join(f"|replace({piece!r}, {text!r})" for piece, text in _DATE.items())
    return f"{{% macro strftime_now(format) %}}{{{{ format{pieces} }}}}{{% endmacro %}}{template}"


def _render(tokenizer: PreTrainedTokenizerBase, system: str, *, answer: str | None) -> str:
    """The chat template's text for a system text, the content mark and, where given, an answer."""
    talk = [{"role": "user", "content": _CONTENT}]
    if answer is not None:
        talk.append({"role": "assistant", "content": answer})
    options = {"tokenize": False, "add_generation_prompt": answer is None, **chat_options(tokenizer)}
    try:
        text = str(tokenizer.apply_chat_template([{"role": "system", "content": system}, *talk], **options))
        if system.strip() in text:  # some templates pass over a role that they do not know
            return text
    except Exception as error:  # a template without a system role raises what its author chose (jinja2 errors)
        if "jinja2" not in type(error).__module__:
            raise
    talk[0] = {"role": "user", "content": f"{system}\n\n{_CONTENT}"}
    return str(tokenizer.apply_chat_template(talk, **options))
