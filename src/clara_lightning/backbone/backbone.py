"""One causal LM with adapters: it compresses documents, reasons about questions, and answers from memory.

Shapes: N texts, B prompts, K documents a prompt, T tokens, P positions of all sequences, L memory tokens, X chosen
positions, D hidden size, V vocabulary.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from clara_lightning.backbone.adapters import (
    COMPRESSOR,
    GENERATOR,
    QUERY_REASONER,
    LoraSettings,
    active_adapter,
    adapted_names,
    adapter_parameters,
    add_adapters,
    copy_adapter,
    lora_layers,
    set_trainable,
    use_adapter,
)
from clara_lightning.backbone.depth import check_depth, only_first
from clara_lightning.backbone.generation import PrefixCache, Reading
from clara_lightning.backbone.kernels import quicken
from clara_lightning.backbone.likelihood import AnswerLoss, TokenLosses
from clara_lightning.backbone.memory import MemoryConfig, MemoryHead
from clara_lightning.backbone.packing import Sequences
from clara_lightning.backbone.query import QueryConfig, QueryHead
from clara_lightning.backbone.runner import Runner
from clara_lightning.backbone.salience import MOST_DOCUMENTS, WordScorer, WordsRead, asked_share
from clara_lightning.backbone.words import Spelling, Words
from clara_lightning.data.prompts import (
    IGNORED,
    Prompt,
    PromptBatch,
    PromptEncoder,
    PromptTemplate,
    document_ids,
    pad_token_id,
)
from clara_lightning.errors import ClaraError

log = logging.getLogger(__name__)

TOKENS_AT_ONCE = 4096  # read without gradients


class Tokens(NamedTuple):
    """Tokenized texts, padded on the right.

    Attributes:
        ids_NT: token ids.
        ordinary_NT: True on tokens that may be anchors.
        words: the tokens' words, where the kind of memory asks for them.
        lengths: of each text, cut.
        num_cut: how many were cut.
    """

    ids_NT: Tensor
    ordinary_NT: Tensor
    words: Words | None
    lengths: tuple[int, ...]
    num_cut: int

    def to(self, device: torch.device) -> Tokens:
        """The same on a device."""
        words = self.words and Words(*(value.to(device) for value in self.words))
        return self._replace(ids_NT=self.ids_NT.to(device), ordinary_NT=self.ordinary_NT.to(device), words=words)

    def of(self, number: int) -> list[int]:
        """The token ids of one text."""
        ids: list[int] = self.ids_NT[number, : self.lengths[number]].tolist()
        return ids


class Compressed(NamedTuple):
    """The result of reading texts with memory tokens behind them.

    Attributes:
        memory_NLD: the memory, float32.
        text_mean_ND: mean last hidden state over the text's tokens, float32.
        memory_mean_ND: mean last hidden state over the memory tokens, float32.
        weights_NL: how much each place counts in late interaction: its anchor's rarity (ones without anchors), or what
            a query reasoner learned.
        num_cut: how many texts were longer than the limit.
        num_tokens: tokens that the LM ran over, of distinct texts and their memory.
        num_padding: positions beside them that it ran over.
    """

    memory_NLD: Tensor
    text_mean_ND: Tensor
    memory_mean_ND: Tensor
    weights_NL: Tensor
    num_cut: int
    num_tokens: int = 0
    num_padding: int = 0

    @classmethod
    def join(cls, parts: Sequence[Compressed]) -> Compressed:
        """Of all parts' texts, in order."""
        return cls(
            memory_NLD=torch.cat([part.memory_NLD for part in parts]),
            text_mean_ND=torch.cat([part.text_mean_ND for part in parts]),
            memory_mean_ND=torch.cat([part.memory_mean_ND for part in parts]),
            weights_NL=torch.cat([part.weights_NL for part in parts]),
            num_cut=sum(part.num_cut for part in parts),
            num_tokens=sum(part.num_tokens for part in parts),
            num_padding=sum(part.num_padding for part in parts),
        )

    def of(self, numbers_N: Tensor, *, num_cut: int) -> Compressed:
        """Some of the texts, in any order and as often as they are named."""
        return Compressed(
            memory_NLD=self.memory_NLD[numbers_N],
            text_mean_ND=self.text_mean_ND[numbers_N],
            memory_mean_ND=self.memory_mean_ND[numbers_N],
            weights_NL=self.weights_NL[numbers_N],
            num_cut=num_cut,
            num_tokens=self.num_tokens,
            num_padding=self.num_padding,
        )


@dataclass(frozen=True, eq=False)
class Placed:
    """Texts with memory tokens behind them, as the LM reads them.

    Attributes:
        inputs_PD: input embeddings.
        sequences: each text with its memory tokens.
        anchor_NLD: the embeddings that stand on each place, added up, centred; ``None`` without anchors.
        weights_NL: see :class:`Compressed`.
    """

    inputs_PD: Tensor
    sequences: Sequences
    anchor_NLD: Tensor | None
    weights_NL: Tensor

    @cached_property
    def memory_NL(self) -> Tensor:
        """Positions of the memory tokens."""
        ends_N1 = torch.tensor([[end] for _, end in self.sequences.bounds])
        return (ends_N1 + torch.arange(-self.weights_NL.shape[1], 0)).to(self.inputs_PD.device)

    def text_mean(self, hidden_PD: Tensor) -> Tensor:
        """Mean over each text's own tokens ``(N, D)``, float32; zeros for a text without a token."""
        mean_NP = torch.zeros(len(self.sequences.lengths), len(hidden_PD))
        for row, (start, end) in enumerate(self.sequences.bounds):
            last = end - self.weights_NL.shape[1]
            mean_NP[row, start:last] = 1.0 / max(1, last - start)
        return mean_NP.to(hidden_PD.device) @ hidden_PD.float()


class ClaraBackbone(nn.Module):
    """A frozen causal LM, one LoRA adapter per role, and the memory tokens.

    Args:
        model: a causal LM of transformers.
        tokenizer: its tokenizer.
        memory: kind and size of the memory.
        lora: settings of every adapter.
        prompt: the words around background and question.
        adapters: which adapters exist; all but ``generator`` have memory tokens of their own.
        gradient_checkpointing: recompute activations in the backward pass.
        queries: what is learned of a question's vectors beside the adapter, by the name of the query reasoner.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        memory: MemoryConfig,
        lora: LoraSettings,
        prompt: PromptTemplate,
        adapters: Sequence[str] = (COMPRESSOR, GENERATOR),
        gradient_checkpointing: bool = False,
        queries: Mapping[str, QueryConfig] | None = None,
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.memory_config = memory
        self.lora = lora
        self.adapters = tuple(adapters)
        self.prompts = PromptEncoder(
            tokenizer, template=prompt, memory_tokens=memory.tokens, text_tokens=memory.document_tokens
        )
        check_depth(model, memory.layer)
        mean_D, std_D = embedding_statistics(model)
        vocab_size = embedding_table(model).weight.shape[0]
        self.queries = dict(queries or {})
        sizes: dict[str, Any] = {"embedding_mean_D": mean_D, "embedding_std_D": std_D, "vocab_size": vocab_size}
        self.lm: PeftModel = add_adapters(model, names=self.adapters, settings=lora, depth=memory.layer)
        self.heads = nn.ModuleDict(
            {
                name: MemoryHead(memory, **sizes)
                if name == COMPRESSOR
                else QueryHead(memory.of_questions, query=self.query_config(name), **sizes)
                for name in self.adapters
                if name != GENERATOR
            }
        )
        self._layers = lora_layers(self.lm)
        quicken(self.causal_lm)
        self._runner = Runner(self.causal_lm)
        self.prefixes = PrefixCache()
        self._spelling = Spelling(tokenizer, vocab_size)
        self._special_ids = torch.tensor(sorted(set(tokenizer.all_special_ids)), dtype=torch.long)
        # What the weights come with (repetition penalty, sampling) would join in where we leave something open.
        self.causal_lm.generation_config = GenerationConfig()
        if gradient_checkpointing:
            self._enable_gradient_checkpointing()

    def query_config(self, reasoner: str = QUERY_REASONER) -> QueryConfig:
        """What is learned of a question's vectors beside the adapter of a query reasoner."""
        return self.queries.get(reasoner, QueryConfig())

    # --- parts of the LM -------------------------------------------------------------------------------------------

    @property
    def causal_lm(self) -> PreTrainedModel:
        """The transformers model inside PEFT's wrapper."""
        return cast(PreTrainedModel, self.lm.get_base_model())

    @property
    def hidden_size(self) -> int:
        """D."""
        return int(embedding_table(self.causal_lm).weight.shape[1])

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.causal_lm.device

    @property
    def attention(self) -> str:
        """The attention implementation, as ``backbone.attention`` names it."""
        return self._runner.attention

    @property
    def pads(self) -> bool:
        """Whether short texts of a batch are filled up to its longest, as of families that do not run packed."""
        longest = self.memory_config.document_tokens + self.memory_config.tokens
        return not self._runner.packs(Sequences((longest,), self.device))

    @property
    def is_quantized(self) -> bool:
        """Whether the frozen weights are packed in 8 or 4 bits: such weights cannot be cut into shards."""
        return bool(getattr(self.causal_lm, "is_quantized", False))

    @property
    def is_sharded(self) -> bool:
        """Whether the weights lie in parts in several processes, which then must run every layer together."""
        return isinstance(next(cast(nn.Module, self._layers[0]).parameters()), DTensor)

    @property
    def adapted_layers(self) -> list[str]:
        """What the adapted layers are called within theirs (``q_proj``), each once, sorted."""
        return adapted_names(self.lm)

    def embed(self, ids: Tensor) -> Tensor:
        """Input embeddings of token ids, in the backbone's dtype."""
        return cast(Tensor, embedding_table(self.causal_lm)(ids))

    def head(self, adapter: str) -> MemoryHead:
        """Memory tokens and calibration of an adapter."""
        return cast(MemoryHead, self.heads[adapter])

    def own_parameters(self, adapter: str) -> list[nn.Parameter]:
        """Everything that can be trained of an adapter: its LoRA weights, and where it has them its memory tokens."""
        lora = [value for _, value in adapter_parameters(self.lm, adapter)]
        return [*lora, *(self.heads[adapter].parameters() if adapter in self.heads else ())]

    def use_adapter(self, name: str | None) -> AbstractContextManager[None]:
        """Scope in which the adapter ``name`` (``None``: the bare backbone) is active.

        Raises:
            ValueError: there is no such adapter; PEFT's layers would pass over it in silence.
        """
        if name is not None and name not in self.adapters:
            raise ValueError(f"no adapter {name!r}, only {', '.join(self.adapters)}")
        return use_adapter(self._layers, name)

    @contextmanager
    def _compressing(self, adapter: str) -> Iterator[None]:
        """Scope in which the trunk is as deep as memory is taken from."""
        self._runner.try_out()
        with only_first(self.causal_lm, self.memory_config.layer), self.use_adapter(adapter):
            yield

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Scope without dropout or activation checkpointing; the mode is restored after it."""
        was_training = self.lm.training
        self.lm.eval()
        try:
            yield
        finally:
            self.lm.train(was_training)

    @contextmanager
    def shortened(self, tokens: int) -> Iterator[None]:
        """Scope in which memories have so many tokens: one of those that a nested compressor is trained for."""
        before, self.prompts.memory_tokens = self.prompts.memory_tokens, tokens
        try:
            yield
        finally:
            self.prompts.memory_tokens = before

    @property
    def memory_tokens(self) -> int:
        """L of the memories that are made and read now."""
        return self.prompts.memory_tokens

    def train_only(self, names: Sequence[str]) -> None:
        """Let exactly these adapters, with their memory tokens, take gradients."""
        set_trainable(self.lm, names)
        self.prefixes.clear()
        for name, head in self.heads.items():
            head.requires_grad_(name in names)

    def start_query_reasoner(self) -> None:
        """Make the query reasoner a copy of the compressor (paper, section 3.3)."""
        copy_adapter(self.lm, source=COMPRESSOR, target=QUERY_REASONER)
        own = self.heads[QUERY_REASONER].state_dict()
        found = self.heads[COMPRESSOR].state_dict()
        self.heads[QUERY_REASONER].load_state_dict({name: found.get(name, value) for name, value in own.items()})

    # --- reading ---------------------------------------------------------------------------------------------------

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """Token ids of texts, cut at the document length; special tokens as the tokenizer adds them."""
        return self._tokens(self._token_rows(texts))

    def _tokens(self, rows: Sequence[list[int]]) -> Tokens:
        limit = self.memory_config.document_tokens
        lengths = tuple(min(len(row), limit) for row in rows)
        ids_NT = torch.full((len(rows), max(1, *lengths)), pad_token_id(self.tokenizer))
        real_NT = torch.zeros(ids_NT.shape, dtype=torch.bool)
        for number, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            ids_NT[number, :length] = torch.tensor(row[:length], dtype=torch.long)
            real_NT[number, :length] = True
        ordinary_NT = real_NT & ~torch.isin(ids_NT, self._special_ids)
        num_cut = sum(len(row) > limit for row in rows)
        words = self._spelling.words(ids_NT, ordinary_NT) if self.memory_config.is_of_words else None
        return Tokens(ids_NT, ordinary_NT, words, lengths, num_cut).to(self.device)

    def _token_rows(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, not cut."""
        return document_ids(self.tokenizer, texts)

    def count_cut(self, texts: Sequence[str]) -> int:
        """How many texts are longer than the document length, so that their tail is not read."""
        return sum(len(row) > self.memory_config.document_tokens for row in self._token_rows(texts))

    def standing_tokens(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Ids of the tokens that each text's memory stands on, in their order."""
        tokens, head = self.tokenize(texts), self.head(COMPRESSOR)
        places_NT = self._places(tokens, head, self.embed(tokens.ids_NT))
        standing_NT = places_NT < self.memory_tokens
        return [tuple(ids[standing].tolist()) for ids, standing in zip(tokens.ids_NT, standing_NT, strict=True)]

    def standing_words(self, texts: Sequence[str]) -> list[str]:
        """The words that each text's memory stands on, in order, with spaces between them (of memory of words)."""
        tokens, head = self.tokenize(texts), self.head(COMPRESSOR)
        words, places_NT = tokens.words, self._places(tokens, head, self.embed(tokens.ids_NT))
        assert words is not None
        standing_NT = (places_NT < self.memory_tokens) & words.spoken_NT
        found: list[str] = []
        for ids_T, standing_T, place_T in zip(tokens.ids_NT, standing_NT, words.place_NT, strict=True):
            starts = (place_T[standing_T] == 0).nonzero()[:, 0].tolist()
            spelt = ids_T[standing_T].tensor_split(starts[1:]) if starts else ()
            found.append(" ".join(str(self.tokenizer.decode(word)).strip() for word in spelt))
        return found

    def read(self, texts: Sequence[str], *, adapter: str) -> Compressed:
        """Read texts followed by memory tokens, through the trunk alone (no LM head).

        A text's memory depends on that text alone: neither on its batch nor on padding (to rounding). A text that
        occurs more than once is read once. Without gradients a long list is read in parts, so that what lives at once
        does not grow with it.
        """
        number_of = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        rows = self._token_rows(list(number_of))
        parts = [self._read(self._tokens(part), adapter=adapter) for part in self._in_parts(rows)]
        read = parts[0] if len(parts) == 1 else Compressed.join(parts)
        if len(number_of) == len(texts):
            return read
        numbers_N = torch.tensor([number_of[text] for text in texts], device=self.device)
        num_cut = sum(len(rows[number_of[text]]) > self.memory_config.document_tokens for text in texts)
        return read.of(numbers_N, num_cut=num_cut)

    def _in_parts(self, rows: list[list[int]]) -> Iterator[list[list[int]]]:
        """Texts in their order, so many at once as fit; all, where processes or gradients must stay together."""
        if torch.is_grad_enabled() or self.is_sharded:
            yield rows
            return
        part: list[list[int]] = []
        tokens = 0
        for row in rows:
            size = min(len(row), self.memory_config.document_tokens) + self.memory_config.tokens
            if part and tokens + size > TOKENS_AT_ONCE:
                yield part
                part, tokens = [], 0
            part, tokens = [*part, row], tokens + size
        yield part

    def _read(self, tokens: Tokens, *, adapter: str) -> Compressed:
        head = self.head(adapter)
        placed = self._place_memory(tokens, head)
        with self._compressing(adapter):
            hidden_PD = self._runner.hidden(placed.inputs_PD, placed.sequences)
        memory_NLD = hidden_PD[placed.memory_NL]
        return Compressed(
            memory_NLD=head.memory(memory_NLD, placed.anchor_NLD),
            text_mean_ND=placed.text_mean(hidden_PD),
            memory_mean_ND=memory_NLD.float().mean(1),
            weights_NL=head.weights(memory_NLD, placed.weights_NL),
            num_cut=tokens.num_cut,
            num_tokens=sum(placed.sequences.lengths),
            num_padding=self._runner.padding(placed.sequences),
        )

    def compress(self, documents: Sequence[str]) -> Tensor:
        """Memory of documents ``(N, L, D)`` in the backbone's dtype, made by the compressor."""
        return self.read(documents, adapter=COMPRESSOR).memory_NLD.to(self.causal_lm.dtype)

    def reason(self, questions: Sequence[str]) -> Tensor:
        """Query vectors of questions ``(N, L, D)`` in float32, made by the query reasoner (paper, section 3.3)."""
        return self.read(questions, adapter=QUERY_REASONER).memory_NLD

    def memory_logits(self, texts: Sequence[str], *, adapter: str) -> Tensor:
        """What the LM's own head makes of the last hidden states at the memory positions ``(N, L, V)``, float32."""
        placed = self._place_memory(self.tokenize(texts), self.head(adapter))
        with self._compressing(adapter):
            logits_XV = self._runner.logits(placed.inputs_PD, placed.sequences, placed.memory_NL.flatten())
        return logits_XV.float().view(len(texts), self.memory_tokens, -1)

    def _places(self, tokens: Tokens, head: MemoryHead, text_NTD: Tensor) -> Tensor:
        """The place of the memory that each token stands on ``(N, T)``; L for a token that stands on none."""
        words, ordinary_NT = tokens.words, tokens.ordinary_NT
        asked_NT = head.asked(text_NTD.detach(), ordinary_NT, words) if words is not None else None
        return head.places(tokens.ids_NT, ordinary_NT, words, asked_NT, length=self.memory_tokens)

    def _place_memory(self, tokens: Tokens, head: MemoryHead) -> Placed:
        """Texts with memory tokens behind them, each with its anchor where there are anchors."""
        (count, width), length = tokens.ids_NT.shape, self.memory_tokens
        text_NTD = self.embed(tokens.ids_NT)
        memory_NLD = head.tokens_LD[:length].expand(count, -1, -1)
        anchor_NLD, weights_NL = None, torch.ones(count, length, device=text_NTD.device)
        if head.config.is_anchored:
            places_NT = self._places(tokens, head, text_NTD)
            row_X, token_X = (places_NT < length).nonzero(as_tuple=True)
            centred_XD = text_NTD[row_X, token_X].float() - head.centre_D
            # An empty place is the mean embedding, which is zero here.
            anchor_MD = centred_XD.new_zeros(count * length, centred_XD.shape[1])
            anchor_MD.index_add_(0, row_X * length + places_NT[row_X, token_X], centred_XD)
            anchor_NLD = anchor_MD.view(count, length, -1)
            weights_NT = head.query_weight(tokens.ids_NT, tokens.words)
            weights_NL = weights_NT.new_zeros(count, length + 1).scatter_reduce(1, places_NT, weights_NT, "amax")
            weights_NL = weights_NL[:, :length]
            memory_NLD = memory_NLD + anchor_NLD
        both_NSD = torch.cat([text_NTD, memory_NLD.to(text_NTD.dtype)], dim=1)
        places_NS = torch.arange(count * (width + length)).view(count, -1)
        kept = [torch.cat([row[:n], row[width:]]) for row, n in zip(places_NS, tokens.lengths, strict=True)]
        inputs_PD = both_NSD.flatten(0, 1)[torch.cat(kept).to(text_NTD.device)]
        sequences = Sequences(tuple(n + length for n in tokens.lengths), text_NTD.device)
        return Placed(inputs_PD, sequences, anchor_NLD, weights_NL)

    # --- answering -------------------------------------------------------------------------------------------------

    def splice(self, batch: PromptBatch, memory_XLD: Tensor | None) -> Tensor:
        """Input embeddings of prompts with the memory in its places ``(B, T, D)``.

        Args:
            batch: encoded prompts, on any device.
            memory_XLD: one memory per slot, over all prompts in order ``(X, L, D)`` (or any shape of as many values).

        Raises:
            ValueError: there are more or fewer memory vectors than places for them.
        """
        return self._splice(batch.ids, batch.slots, memory_XLD)

    def _splice(self, ids: Tensor, slots: Tensor, memory_XLD: Tensor | None) -> Tensor:
        """The same for ids and slots of any shape, on the CPU; the embeddings have one dimension more."""
        embeddings = self.embed(ids.to(self.device))
        places, given = int(slots.sum()), 0 if memory_XLD is None else memory_XLD.numel() // self.hidden_size
        if places != given:
            raise ValueError(f"the prompts have places for {places} memory vectors, got {given}")
        if memory_XLD is None:
            return embeddings
        inputs_XLD = (memory_XLD.float() + self.head(COMPRESSOR).centre_D).to(embeddings.dtype)
        return embeddings.masked_scatter(slots.to(self.device).unsqueeze(-1), inputs_XLD)

    def answer_loss(
        self, prompts: Sequence[Prompt], memory: Tensor | None = None, *, adapter: str | None = GENERATOR
    ) -> AnswerLoss:
        """Negative log-likelihood of each prompt's answer.

        Args:
            prompts: B prompts with an answer each.
            memory: see :meth:`splice`.
            adapter: who reads; ``None`` is the bare backbone.
        """
        return self.token_losses(prompts, memory, adapter=adapter).by_prompt(len(prompts))

    def token_losses(
        self,
        prompts: Sequence[Prompt],
        memory: Tensor | None = None,
        *,
        adapter: str | None = GENERATOR,
        teacher: Tensor | None = None,
    ) -> TokenLosses:
        """As :meth:`answer_loss`, token by token; the LM head runs at answer positions alone.

        The tokens that all prompts begin with are read once.

        Args:
            prompts: see :meth:`answer_loss`.
            memory: the same.
            adapter: the same.
            teacher: what :meth:`teach` made of prompts with the same answers.
        """
        seen, rows_X, ids_X = self._see_answers(prompts, memory, adapter=adapter)
        distances_X = None if teacher is None else self._runner.distances(seen, teacher)
        return TokenLosses(self._runner.losses(seen, ids_X), rows_X, ids_X, distances_X)

    @torch.no_grad()
    def teach(self, prompts: Sequence[Prompt]) -> Tensor:
        """What the bare backbone expects at the answers of prompts, to be learned from; for :meth:`token_losses`."""
        with self.evaluating():
            return self._see_answers(prompts, None, adapter=None)[0]

    def _see_answers(
        self, prompts: Sequence[Prompt], memory: Tensor | None, *, adapter: str | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What the LM sees in front of each answer token, that token's prompt, and its id."""
        batch = self.prompts.encode(prompts)
        shared = len(self.prompts.prefix(prompts)) if len(prompts) > 1 else 0
        real_BT = batch.attention.bool()
        real_BT[1:, :shared] = False
        labels_P = nn.functional.pad(batch.labels[:, 1:], (0, 1), value=IGNORED)[real_BT]  # what each position predicts
        places_X = (labels_P != IGNORED).nonzero()[:, 0]
        rows_X = real_BT.nonzero()[:, 0][places_X].to(self.device)
        ids_X = labels_P[places_X].to(self.device)
        sequences = Sequences(tuple(real_BT.sum(1).tolist()), self.device, shared)
        inputs_PD = self._splice(batch.ids[real_BT], batch.slots[real_BT], memory)
        with self.use_adapter(adapter):
            seen = self._runner.seen(inputs_PD, sequences, places_X.to(self.device))
        return seen, rows_X, ids_X

    def reading(
        self,
        prompts: Sequence[Prompt],
        memory: Tensor | None = None,
        *,
        max_new_tokens: int = 32,
        adapter: str | None = GENERATOR,
    ) -> Reading:
        """Prompts that are to be answered, scored, or both, without reading anything twice; nothing trains on it.

        Args:
            prompts: B prompts; those that are scored with an answer each.
            memory: see :meth:`splice`.
            max_new_tokens: an answer ends there at the latest.
            adapter: who reads; ``None`` is the bare backbone.
        """
        return Reading(self, prompts, memory, max_new_tokens=max_new_tokens, adapter=adapter)

    def generate(
        self,
        prompts: Sequence[Prompt],
        memory: Tensor | None = None,
        *,
        max_new_tokens: int = 32,
        adapter: str | None = GENERATOR,
    ) -> list[str]:
        """Greedy answers, batched, with KV cache; arguments as for :meth:`reading`."""
        return self.reading(prompts, memory, max_new_tokens=max_new_tokens, adapter=adapter).answers()

    # --- preparation -----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def calibrate(
        self,
        documents: Sequence[str],
        questions: Sequence[str] = (),
        answers: Sequence[tuple[str, str]] = (),
        *,
        sample: int = 48,
    ) -> None:
        """Fit the compressor's memory head to the backbone: rarity over all texts, scale over a sample.

        Called once, before the first stage; later stages inherit the result with the adapters.

        Args:
            documents: training documents.
            questions: training questions.
            answers: documents, each with the answer to a question about it; memory ``learned`` needs them.
            sample: documents over which mean and spread of the hidden states are measured.

        Raises:
            ClaraError: there are no answers, and the memory is ``learned``.
        """
        head = self.head(COMPRESSOR)
        rows, asked = self._token_rows(documents), self._token_rows(questions)
        head.count_tokens(rows, asked)
        if head.config.is_of_words:
            head.count_words(self._buckets(rows), self._buckets(asked))
        if head.scorer is not None:
            self._learn_asked(head, head.scorer, answers)
        chosen = spread(documents, sample)
        states = []
        for start in range(0, len(chosen), 8):
            placed = self._place_memory(self.tokenize(chosen[start : start + 8]), head)
            with self._compressing(COMPRESSOR):
                hidden_PD = self._runner.hidden(placed.inputs_PD, placed.sequences)
            states.append(hidden_PD[placed.memory_NL.flatten()].float())
        head.calibrate(torch.cat(states))

    def _learn_asked(self, head: MemoryHead, scorer: WordScorer, answers: Sequence[tuple[str, str]]) -> None:
        answers_of: dict[str, list[str]] = {}
        for document, answer in answers:
            answers_of.setdefault(document, []).append(answer)
        texts, wanted = [], []
        for text in spread(list(answers_of), MOST_DOCUMENTS):
            buckets = self._buckets(self._token_rows(answers_of[text]))
            if share := asked_share([bucket_X.tolist() for bucket_X in buckets]):
                texts.append(text)
                wanted.append(share)
        if not wanted:
            raise ClaraError(
                "model.init_args.memory must not be learned where no training document comes with a question and a "
                "short answer: answers tell which words to keep"
            )
        rows = self._token_rows(texts)

        def read(numbers: Sequence[int]) -> WordsRead:
            tokens = self._tokens([rows[number] for number in numbers])
            assert tokens.words is not None
            return head.words_read(self.embed(tokens.ids_NT), tokens.ordinary_NT, tokens.words)

        log.info("learning which words are asked for from the answers to %d documents", len(texts))
        scorer.fit(read, wanted)

    def _buckets(self, rows: Iterable[list[int]]) -> Iterator[Tensor]:
        """The words of each text, not cut."""
        for row in rows:
            ids_1T = torch.tensor([row], dtype=torch.long)
            ordinary_1T = ~torch.isin(ids_1T, self._special_ids)
            yield self._spelling.words(ids_1T, ordinary_1T).bucket_NT[ordinary_1T].to(self.device)

    def _enable_gradient_checkpointing(self) -> None:
        """Recompute each layer under the adapter of its forward.

        Recomputation runs inside ``backward``, when another adapter may be active: the loss would be right and the
        gradients wrong. ``context_fn`` is called in the forward, where it notes the adapter.
        """
        layers = self._layers

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), use_adapter(layers, active_adapter(layers))

        lm: Any = self.causal_lm
        # transformers 5 renamed the method along the way; the old name warns and ends with version 6.
        enable = getattr(lm, "activation_checkpointing_enable", None) or lm.gradient_checkpointing_enable
        enable({"use_reentrant": False, "context_fn": contexts})


def spread(texts: Sequence[str], most: int) -> list[str]:
    """So many texts at most, taken evenly from all."""
    return list(texts[:: max(1, len(texts) // most)][:most])


def embedding_table(model: PreTrainedModel) -> nn.Embedding:
    """The input embedding layer."""
    return cast(nn.Embedding, model.get_input_embeddings())


@torch.no_grad()
def embedding_statistics(model: PreTrainedModel) -> tuple[Tensor, Tensor]:
    """Mean and spread of every dimension over the input embeddings, as the model's layers see them ``(D,)``."""
    embedding = embedding_table(model)
    ids = torch.arange(embedding.weight.shape[0], device=embedding.weight.device)
    table_VD = torch.cat([embedding(part).float() for part in ids.split(16384)])
    return table_VD.mean(0), table_VD.std(0)
