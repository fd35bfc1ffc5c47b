"""Memory tokens: what the compressor reads after a document, and how hidden states become memory.

Shapes: N texts, T tokens, L memory tokens, D hidden size, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from clara_lightning.backbone.salience import WordScorer, WordsRead
from clara_lightning.backbone.words import BUCKETS, Words
from clara_lightning.errors import ClaraError

MemoryKind = Literal["published", "calibrated", "anchors", "words", "learned"]
OF_WORDS = ("words", "learned")
ANCHORED = ("anchors", *OF_WORDS)
_LAST = 64.0  # no rarity is so large
_UNASKED = -30.0  # a logit; with it no word is worth less than one without letters
_PIECES = 8  # tokens of a word that stand together at most: an address in the web is not read from a sum


@dataclass(frozen=True)
class MemoryConfig:
    """What a memory is; fixed when a compressor is first trained, and handed on with its adapters.

    Args:
        tokens: memory tokens per document (l).
        document_tokens: a document is cut after so many tokens; the compression rate is ``document_tokens / tokens``.
        kind: ``published`` (the raw last hidden states), ``calibrated`` (brought to the scale of input embeddings),
            ``anchors`` (embeddings of the document's rarest tokens plus a calibrated correction), ``words`` (the same
            with the tokens of its rarest words, each word whole and once) or ``learned`` (with those of the words that
            are most likely asked for, as the answers of the training data tell).
        nested: numbers of memory tokens that one compressor is trained for, all at once; ``tokens`` may then be any
            number between the smallest and the largest. Empty: ``tokens`` alone.
        layer: the hidden states are taken behind so many layers of the backbone, and those above neither run nor carry
            an adapter when something is compressed; ``None``: behind all.
        mlp: hidden width of an MLP on the standardised hidden states, which adds to the memory; 0: none.
        words_per_token: of kinds ``words`` and ``learned``, so many whole words stand together on a memory token at
            most, as the sum of their tokens' embeddings; 0: each token of a word stands on a memory token of its own.
    """

    tokens: int = 16
    document_tokens: int = 256
    kind: MemoryKind = "words"
    nested: tuple[int, ...] = ()
    layer: int | None = None
    mlp: int = 0
    words_per_token: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "nested", tuple(sorted(set(self.nested))))
        if self.kind not in get_args(MemoryKind):
            kinds = ", ".join(get_args(MemoryKind))
            raise ClaraError(f"model.init_args.memory must be one of {kinds}, got {self.kind!r}")
        if self.tokens < 1:
            raise ClaraError(f"model.init_args.memory_tokens must be >= 1, got {self.tokens}")
        if self.nested and self.nested[-1] > self.document_tokens:
            raise ClaraError(
                f"model.init_args.nested must be numbers <= document_tokens ({self.document_tokens}), got "
                f"{self.nested[-1]}"
            )
        if self.document_tokens < self.tokens:
            raise ClaraError(
                f"model.init_args.document_tokens must be >= memory_tokens ({self.tokens}), got {self.document_tokens}"
            )
        if not self.holds(self.tokens):
            raise ClaraError(
                f"model.init_args.memory_tokens must be between {self.nested[0]} and {self.nested[-1]}, the ends of "
                f"model.init_args.nested, got {self.tokens}"
            )
        if self.layer is not None and self.layer < 1:
            raise ClaraError(f"model.init_args.memory_layer must be >= 1, got {self.layer}")
        if self.mlp < 0 or (self.mlp and self.kind == "published"):
            must = "be >= 0" if self.mlp < 0 else "be 0 for memory published, which is the hidden state as it is"
            raise ClaraError(f"model.init_args.memory_mlp must {must}, got {self.mlp}")
        if self.words_per_token < 0 or (self.words_per_token and not self.is_of_words):
            must = "be >= 0" if self.words_per_token < 0 else f"be 0 for memory {self.kind}, which is not of words"
            raise ClaraError(f"model.init_args.words_per_token must {must}, got {self.words_per_token}")
        if self.nested and self.nested[0] < 1:
            raise ClaraError(f"model.init_args.nested must be numbers >= 1, got {self.nested[0]}")

    def holds(self, tokens: int) -> bool:
        """Whether the compressor makes memories of so many tokens."""
        return self.nested[0] <= tokens <= self.nested[-1] if self.nested else tokens == self.tokens

    @property
    def lengths(self) -> str:
        """The numbers of memory tokens that it makes, in words."""
        return f"{self.nested[0]} to {self.nested[-1]} memory tokens" if self.nested else f"{self.tokens} memory tokens"

    @property
    def width(self) -> int:
        """Memory tokens that the compressor has; it uses the first ``tokens`` of them."""
        return max(self.nested, default=self.tokens)

    @property
    def compression_rate(self) -> float:
        """``document_tokens / memory_tokens``."""
        return self.document_tokens / self.tokens

    @property
    def is_anchored(self) -> bool:
        """Whether each place of the memory stands on a token of the document."""
        return self.kind in ANCHORED

    @property
    def is_of_words(self) -> bool:
        """Whether words are chosen whole."""
        return self.kind in OF_WORDS

    @property
    def of_questions(self) -> MemoryConfig:
        """The memory that a question is read into: which of a document's words are asked for says nothing about it."""
        return replace(self, kind="words") if self.kind == "learned" else self


class MemoryHead(nn.Module):
    """The memory tokens of one adapter and the map from last hidden states to memory.

    - ``published``: memory is the hidden state as it is (paper, section 3.1).
    - ``calibrated``: each dimension is standardised over a few dozen documents and mapped to the spread of the
      embedding table by a learned gain and bias. Without it an untrained memory lies so far from any input
      embedding that it destroys the language model (cross-entropy 10.7 instead of 2.8 for SmolLM2-135M).
    - ``anchors``: the embeddings of the document's L rarest tokens, in their order, plus ``scale`` times the
      calibrated hidden state. The anchor's embedding is also added to the memory token that the compressor reads, so
      that the correction at place j is about anchor j.
    - ``words``: as ``anchors``, with the tokens of the document's rarest words. Pieces of a rare word, and the digits
      of a number, are common tokens: taken by themselves they are not chosen, and the word cannot be read. Of a word
      that stands more than once the first place is taken. (Cross-entropy of the untrained SmolLM2-135M on held-out
      answers, 64 anchors of 256 tokens: 2.81, by tokens 3.06, the text 1.79, nothing 4.07; docs/recipes.md.)
    - ``learned``: as ``words``, with the words that are worth most a memory token: the chance that the word is asked
      for, times its rarity, over its number of tokens.

    Memory of all kinds but the first is centred: the mean of the embedding table is taken off, and added again where
    the generator reads it (``centre_D``). All embeddings share that mean, so with it every cosine would be alike.

    An MLP begins with nothing to add, so it needs no small scale before it: ``scale`` is on the way of the gradient
    too, and was trained down from 0.05 to 0.02, where the correction adds nothing (docs/recipes.md).

    All its parameters are float32; ``memory`` returns float32.

    Args:
        config: kind and sizes.
        embedding_mean_D: mean of the backbone's input embeddings.
        embedding_std_D: their spread.
        vocab_size: V.
    """

    hidden_mean_D: Tensor
    hidden_std_D: Tensor
    centre_D: Tensor
    document_frequency_V: Tensor
    num_documents: Tensor
    question_frequency_V: Tensor
    num_questions: Tensor
    document_frequency_W: Tensor
    question_frequency_W: Tensor

    def __init__(
        self, config: MemoryConfig, *, embedding_mean_D: Tensor, embedding_std_D: Tensor, vocab_size: int
    ) -> None:
        super().__init__()
        self.config = config
        dim = embedding_mean_D.shape[0]
        noise_LD = torch.randn(config.width, dim, generator=torch.Generator().manual_seed(0))
        self.tokens_LD = nn.Parameter(embedding_mean_D + embedding_std_D.mean() * 0.1 * noise_LD)
        published = config.kind == "published"
        self.register_buffer("centre_D", torch.zeros(dim) if published else embedding_mean_D.clone())
        if not published:
            self.gain_D = nn.Parameter(embedding_std_D.clone())
            self.bias_D = nn.Parameter(torch.zeros(dim))
            self.register_buffer("hidden_mean_D", torch.zeros(dim))
            self.register_buffer("hidden_std_D", torch.ones(dim))
        self.mlp = zero_init_mlp(dim, config.mlp) if config.mlp else None
        if config.is_anchored:
            # What an untrained correction adds is noise: retained of an untrained SmolLM2-135M .61 without, .52 at 0.2.
            start = 0.2 if config.kind == "anchors" else 0.05
            self.scale = nn.Parameter(torch.tensor([start]))  # FSDP2 takes no parameter without a dimension
        for what in ("document", "question"):
            self.register_buffer(f"{what}_frequency_V", torch.zeros(vocab_size, dtype=torch.int32))
            self.register_buffer(f"num_{what}s", torch.zeros((), dtype=torch.int64))
        self.scorer = WordScorer(dim) if config.kind == "learned" else None
        if config.is_of_words:
            for what in ("document", "question"):
                self.register_buffer(f"{what}_frequency_W", torch.zeros(BUCKETS, dtype=torch.int32))

    @torch.no_grad()
    def calibrate(self, hidden_XD: Tensor) -> None:
        """Measure mean and spread of last hidden states ``(X, D)``; a no-op for published memory.

        A single state shows no spread over states: its spread over dimensions stands in.
        """
        if self.config.kind == "published":
            return
        hidden_XD = hidden_XD.float()
        spread = hidden_XD.std(0) if hidden_XD.shape[0] > 1 else hidden_XD.std()
        self.hidden_mean_D.copy_(hidden_XD.mean(0))
        self.hidden_std_D.copy_(spread.clamp_min(1e-6))

    @torch.no_grad()
    def count_tokens(self, documents: Iterable[list[int]], questions: Iterable[list[int]]) -> None:
        """Count in how many documents, and in how many questions, each token occurs: this decides what is rare."""
        for texts, frequency_V, total in (
            (documents, self.document_frequency_V, self.num_documents),
            (questions, self.question_frequency_V, self.num_questions),
        ):
            frequency_V.zero_()
            total.zero_()
            for ids in texts:
                frequency_V[torch.tensor(sorted(set(ids)), dtype=torch.long, device=frequency_V.device)] += 1
                total += 1

    def rarity(self, ids: Tensor) -> Tensor:
        """Inverse document frequency ``log((1 + n) / (1 + df))`` of token ids, any shape; 0 for a ubiquitous token."""
        return _inverse_frequency(self.document_frequency_V[ids], self.num_documents)

    def query_weight(self, ids: Tensor, words: Words | None = None) -> Tensor:
        """Inverse frequency over documents and questions together, any shape.

        A word that every question holds ("which") says nothing about what is asked, however rare it is in documents. Of
        kind ``words`` it is the word's frequency, and marks and repeated words count nothing.
        """
        if words is not None:
            of_words = self.document_frequency_W[words.bucket_NT] + self.question_frequency_W[words.bucket_NT]
            counted = words.spoken_NT & ~words.again_NT
            return _inverse_frequency(of_words, self.num_documents + self.num_questions) * counted
        frequency = self.document_frequency_V[ids] + self.question_frequency_V[ids]
        return _inverse_frequency(frequency, self.num_documents + self.num_questions)

    @torch.no_grad()
    def count_words(self, documents: Iterable[Tensor], questions: Iterable[Tensor]) -> None:
        """Count in how many documents, and in how many questions, each word occurs.

        Args:
            documents: of each document the buckets of its words, any shape, any order.
            questions: of each question the same.
        """
        for texts, frequency_W in ((documents, self.document_frequency_W), (questions, self.question_frequency_W)):
            frequency_W.zero_()
            for buckets in texts:
                frequency_W[buckets.unique()] += 1

    def choice(self, ids_NT: Tensor, words: Words | None, asked_NT: Tensor | None = None) -> Tensor:
        """How much each token is worth as an anchor ``(N, T)``.

        Of words all tokens are worth the same: the word's rarity, or what ``asked`` found in its place. What has
        neither letter nor digit comes behind all words, a word that stood before behind that.
        """
        if words is None:
            return self.rarity(ids_NT)
        worth_NT = self._word_rarity(words) if asked_NT is None else asked_NT
        return worth_NT - _LAST * (~words.spoken_NT).float() - 2 * _LAST * words.again_NT.float()

    def asked(self, embedded_NTD: Tensor, ordinary_NT: Tensor, words: Words) -> Tensor | None:
        """Of kind ``learned`` how much each token's word is worth ``(N, T)``: a logarithm, of its expected information.

        That is the chance that the word is asked for, times what it says (its rarity), for each memory token that it
        takes.

        Args:
            embedded_NTD: input embeddings of texts.
            ordinary_NT: False on padding and special tokens.
            words: the tokens' words.
        """
        if self.scorer is None:
            return None
        read = self.words_read(embedded_NTD, ordinary_NT, words)
        found = self.scorer(read)
        worth_NT = logsigmoid(found.logit_NT.clamp_min(_UNASKED)) + read.rarity_NT.clamp_min(1e-6).log()
        return worth_NT if self.config.words_per_token else worth_NT - found.tokens_NT.clamp_min(1).log()

    def words_read(self, embedded_NTD: Tensor, ordinary_NT: Tensor, words: Words) -> WordsRead:
        """Texts as the learned choice sees them; arguments as of ``asked``."""
        return WordsRead(embedded_NTD, words, self._word_rarity(words), ordinary_NT)

    def _word_rarity(self, words: Words) -> Tensor:
        return _inverse_frequency(self.document_frequency_W[words.bucket_NT], self.num_documents)

    def places(
        self,
        ids_NT: Tensor,
        candidates_NT: Tensor,
        words: Words | None = None,
        asked_NT: Tensor | None = None,
        *,
        length: int | None = None,
    ) -> Tensor:
        """The place of the memory that each token stands on ``(N, T)``; L for a token that stands on none.

        The chosen ones fill the places in reading order. Where whole words stand together, a text with no more words
        than places gives each a place of its own, and one with more spreads them evenly.

        Args:
            ids_NT: token ids.
            candidates_NT: True where a token may be chosen (no padding, no special token).
            words: the tokens' words; required where words are chosen whole.
            asked_NT: what ``asked`` found; required for the kind ``learned``.
            length: L where it is not the configuration's.

        Returns:
            places below L; a text with fewer candidates than L leaves its last places empty. Ties go to the earlier
            token, so padding changes nothing.
        """
        length, together = length or self.config.tokens, self.config.words_per_token
        first_NT = candidates_NT  # what is chosen: tokens, or words by their first tokens
        if words is not None and together:
            first_NT = candidates_NT & (words.place_NT == 0) & words.spoken_NT & ~words.again_NT
        worth_NT = self.choice(ids_NT, words, asked_NT).masked_fill(~first_NT, -math.inf)
        order_NT = worth_NT.sort(dim=1, descending=True, stable=True).indices[:, : length * max(1, together)]
        chosen_NT = torch.zeros_like(candidates_NT).scatter(1, order_NT, True) & first_NT
        place_NT = chosen_NT.cumsum(1) - 1
        if words is not None and together:
            count_N1 = chosen_NT.sum(1, keepdim=True)
            place_NT = torch.where(count_N1 > length, place_NT * length // count_N1.clamp_min(1), place_NT)
            start_NT = torch.arange(ids_NT.shape[1], device=ids_NT.device) - words.place_NT
            chosen_NT = chosen_NT.gather(1, start_NT) & candidates_NT & (words.place_NT < _PIECES)
            place_NT = place_NT.gather(1, start_NT)
        return torch.where(chosen_NT, place_NT, length)

    def memory(self, hidden_NLD: Tensor, anchor_NLD: Tensor | None) -> Tensor:
        """Memory ``(N, L, D)`` from the last hidden states at the memory positions.

        Args:
            hidden_NLD: last hidden states.
            anchor_NLD: sum of the input embeddings that stand on each place, centred; required where the memory is
                anchored.
        """
        hidden_NLD = hidden_NLD.float()
        if self.config.kind == "published":
            return hidden_NLD
        standard_NLD = (hidden_NLD - self.hidden_mean_D) / self.hidden_std_D
        calibrated_NLD = standard_NLD * self.gain_D + self.bias_D
        memory_NLD = calibrated_NLD if anchor_NLD is None else anchor_NLD + self.scale * calibrated_NLD
        return memory_NLD if self.mlp is None else memory_NLD + self.gain_D * self.mlp(standard_NLD)

    def weights(self, hidden_NLD: Tensor, weights_NL: Tensor) -> Tensor:
        """How much each place counts in late interaction ``(N, L)``.

        Args:
            hidden_NLD: last hidden states.
            weights_NL: the rarity of what stands there; ones without anchors.
        """
        return weights_NL


def zero_init_mlp(dim: int, width: int) -> nn.Sequential:
    """Two layers ``(D, width)`` and ``(width, D)``; the second begins with zeros, so that at first nothing is added."""
    first, last = nn.Linear(dim, width), nn.Linear(width, dim)
    nn.init.normal_(first.weight, std=dim**-0.5, generator=torch.Generator().manual_seed(1))
    for zeros in (first.bias, last.weight, last.bias):
        nn.init.zeros_(zeros)
    return nn.Sequential(first, nn.GELU(), last)


def _inverse_frequency(frequency: Tensor, total: Tensor) -> Tensor:
    return torch.log1p(total.to(torch.float32)) - torch.log1p(frequency.to(torch.float32))
