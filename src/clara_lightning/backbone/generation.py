"""Answers without reading anything twice: the words that all prompts begin with, and prompts that are scored as well.

Every prompt begins with the same tokens (chat template, system text, the words before the background). Their keys and
values are computed once, and a batch continues from them: its prompts stand as [prefix][padding][rest]. What was read
of the prompts is kept likewise, so that answering them and scoring other answers to them reads them once.

Shapes: B prompts, T places of the longest prompt, S places that are read now, A of the longest answer, D hidden size,
V vocabulary, X answer tokens of all prompts.
"""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache, GenerationConfig, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from clara_lightning.backbone.likelihood import AnswerLoss, TokenLosses
from clara_lightning.backbone.runner import contiguous_at_head, only_at, takes_positions
from clara_lightning.data.prompts import IGNORED, Prompt

if TYPE_CHECKING:
    from clara_lightning.backbone.backbone import ClaraBackbone

# Share of the places that a prefix must have to be kept: queries that stand behind it need a mask, and lose the kernel
# for whole prompts, which passes over half of the scores (1,300 places, of them 24 of the prefix: a quarter slower).
WORTHWHILE = 1 / 16


class Reading:
    """Prompts that are answered, scored, or both; what one of these has read of them the other does not read again.

    Where a family cannot continue from what was read (:func:`room`), each of them reads the whole prompts.

    Args:
        backbone: reads.
        prompts: B prompts; those that are scored with an answer each.
        memory: see :meth:`ClaraBackbone.splice`.
        max_new_tokens: an answer ends there at the latest.
        adapter: who reads; ``None`` is the bare backbone.
    """

    @torch.no_grad()
    def __init__(
        self,
        backbone: ClaraBackbone,
        prompts: Sequence[Prompt],
        memory: Tensor | None,
        *,
        max_new_tokens: int,
        adapter: str | None,
    ) -> None:
        self.backbone, self.max_new_tokens, self.adapter = backbone, max_new_tokens, adapter
        self._labels_BA = backbone.prompts.encode_answers(prompts).to(backbone.device)
        asked = [replace(prompt, answer=None) for prompt in prompts]
        limit = room(backbone)
        prefix = backbone.prompts.prefix(asked) if limit else ()
        batch = backbone.prompts.encode(asked, padding_side="left", before_padding=len(prefix))
        places = batch.ids.shape[1] + max(max_new_tokens, self._labels_BA.shape[1])
        if len(prefix) < WORTHWHILE * batch.ids.shape[1]:
            prefix = ()
            batch = backbone.prompts.encode(asked, padding_side="left")
        self._past = backbone.prefixes.read(backbone, prefix, adapter=adapter) if places < limit else None
        if prefix and self._past is None:
            batch = backbone.prompts.encode(asked, padding_side="left")
        self._embeddings_BTD = backbone.splice(batch, memory)
        self._attention_BT = batch.attention.to(backbone.device)

    @torch.no_grad()
    def answers(self) -> list[str]:
        """Greedy answers."""
        encoder = self.backbone.prompts
        settings = GenerationConfig(
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            use_cache=True,
            eos_token_id=encoder.stop_ids or None,
            pad_token_id=encoder.pad_id,
        )
        with self._continued() as past, contiguous_at_head(self.backbone.causal_lm):
            ids = cast(Any, self.backbone.causal_lm).generate(
                inputs_embeds=self._embeddings_BTD,  # transformers passes over those that are in the cache
                attention_mask=self._attention_BT,
                past_key_values=past,
                generation_config=settings,
                synced_gpus=self.backbone.is_sharded,
            )
        # Not every end of turn, nor the padding behind it, is a special token that the tokenizer would leave out.
        stops = set(encoder.stop_ids)
        answers = [list(takewhile(lambda token: token not in stops, row)) for row in ids.tolist()]
        return [text.strip() for text in encoder.tokenizer.batch_decode(answers, skip_special_tokens=True)]

    @torch.no_grad()
    def token_losses(self) -> TokenLosses:
        """Negative log-likelihood of each token of the prompts' own answers; the LM head runs at these alone."""
        real_BA = self._labels_BA != IGNORED
        ids_BA = self._labels_BA.masked_fill(~real_BA, self.backbone.prompts.pad_id)
        attention_BT = torch.cat([self._attention_BT, real_BA.long()], dim=1)
        with self._continued() as past:
            start = 0 if past is None else past.get_seq_length()
            embeddings_BSD = torch.cat([self._embeddings_BTD[:, start:], self.backbone.embed(ids_BA)], dim=1)
            answers_from = embeddings_BSD.shape[1] - ids_BA.shape[1]
            labels_BS = F.pad(self._labels_BA, (answers_from - 1, 1), value=IGNORED)  # what each position predicts
            keep_BS = labels_BS != IGNORED
            with only_at(self.backbone.causal_lm, keep_BS.flatten().nonzero()[:, 0]):
                logits_1XV = forward(self.backbone.causal_lm, embeddings_BSD, attention_BT, past).logits
        ids_X = labels_BS[keep_BS]
        losses_X = F.cross_entropy(logits_1XV[0].float(), ids_X, reduction="none")
        return TokenLosses(losses_X, keep_BS.nonzero()[:, 0], ids_X)

    def answer_loss(self) -> AnswerLoss:
        """As :meth:`token_losses`, added up for each prompt."""
        return self.token_losses().by_prompt(len(self._attention_BT))

    @contextmanager
    def _continued(self) -> Iterator[DynamicCache | None]:
        """Scope of the reader, with a cache to continue from: all places but the last are kept of what it reads."""
        past = None if self._past is None else fork(self._past, rows=len(self._attention_BT))
        with self.backbone.evaluating(), self.backbone.use_adapter(self.adapter):
            yield past
        if past is not None:
            past.crop(self._attention_BT.shape[1] - 1 - past.get_seq_length())
            self._past = past


class _Kept(NamedTuple):
    """Keys and values, and what they depend on."""

    circumstances: tuple[object, ...]
    weights: list[tuple[weakref.ref[nn.Parameter], int]]
    cache: DynamicCache


class PrefixCache:
    """Keys and values of the tokens that prompts begin with: for each reader the newest, while its weights stay.

    A change of weights is seen by their identity and by torch's counter of changes in place (which some fused
    optimizers pass over, and whatever is done to ``.data``). For a reader that is being trained nothing is kept: its
    next step would make it worthless. Nothing goes into copies either.
    """

    def __init__(self) -> None:
        self._kept: dict[str | None, _Kept] = {}

    def __reduce__(self) -> tuple[type[PrefixCache], tuple[()]]:
        return PrefixCache, ()

    def clear(self) -> None:
        """Forget everything, as where training begins."""
        self._kept.clear()

    @torch.no_grad()
    def read(self, backbone: ClaraBackbone, ids: Sequence[int], *, adapter: str | None) -> DynamicCache | None:
        """The cache behind ``ids``, of one row and not to be changed.

        Args:
            backbone: reads; its :func:`room` is not 0.
            ids: may be empty.
            adapter: who reads.

        Returns:
            ``None`` where the model leaves the cache that it was given empty.
        """
        model, device = backbone.causal_lm, backbone.device
        precision = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else model.dtype
        circumstances = (tuple(ids), device, model.dtype, precision)
        weights = [p for name, p in backbone.lm.named_parameters() if "lora_" not in name or f".{adapter}." in name]
        kept = self._kept.pop(adapter, None)
        if kept is not None and kept.circumstances == circumstances and unchanged(kept.weights, weights):
            self._kept[adapter] = kept
            return kept.cache
        cache = new_cache(model)
        if ids:
            embeddings_1SD = backbone.embed(torch.tensor([ids], device=device))
            with backbone.evaluating(), backbone.use_adapter(adapter):
                forward(model.base_model, embeddings_1SD, torch.ones(1, len(ids), device=device).long(), cache)
        if any(layer.get_seq_length() != len(ids) for layer in layers_of(cache)):
            return None
        # What is made in inference mode has no counter of changes.
        if not any(weight.requires_grad or weight.is_inference() for weight in weights):
            versions = [(weakref.ref(weight), weight._version) for weight in weights]
            self._kept[adapter] = _Kept(circumstances, versions, cache)
        return cache


def unchanged(before: Sequence[tuple[weakref.ref[nn.Parameter], int]], now: Sequence[nn.Parameter]) -> bool:
    """Whether these are the same parameters with the same values."""
    return len(before) == len(now) and all(
        ref() is weight and version == weight._version for (ref, version), weight in zip(before, now, strict=True)
    )


def room(backbone: ClaraBackbone) -> float:
    """In fewer places than these, prompts can be continued, and padding may stand behind their prefix.

    Attention windows count places, padding among them, and some rotary embeddings change every position where a text
    outgrows a length: below these neither matters. There is no room at all where layers keep other states than keys
    and values, where the model is not told positions and so counts padding too, and where processes that hold parts
    of the weights must do the same steps.
    """
    model = backbone.causal_lm
    layers = new_cache(model).layers
    if not all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
        return 0
    if not takes_positions(model) or backbone.is_sharded:
        return 0
    windows = [layer.sliding_window for layer in layers if isinstance(layer, DynamicSlidingWindowLayer)]
    return min([*windows, *_other_windows(model.config), *_rotary_limits(model.config)], default=math.inf)


def _other_windows(config: PreTrainedConfig) -> list[int]:
    """Windows that only attention knows of, and not the cache (GPT-Neo's local layers, say)."""
    return [value for name, value in vars(config).items() if name.endswith("window_size") and isinstance(value, int)]


def _rotary_limits(config: PreTrainedConfig) -> list[int]:
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope] if "rope_type" in rope else [kind for kind in rope.values() if kind]  # or one for each kind of layer
    return [
        kind.get("original_max_position_embeddings") or config.max_position_embeddings
        for kind in kinds
        if kind["rope_type"] in ("dynamic", "longrope")
    ]


def new_cache(model: PreTrainedModel) -> DynamicCache:
    """An empty cache of the kind that ``generate`` makes."""
    return DynamicCache(config=model.config.get_text_config(decoder=True))


def fork(cache: DynamicCache, *, rows: int) -> DynamicCache:
    """A cache that goes on from this one, and leaves it as it is; one row of it stands for all ``rows``.

    The tensors are shared: layers of the kinds that :func:`room` admits put new ones in their place.
    """
    forked = copy.copy(cache)
    forked.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in layers_of(forked):
        if layer.keys is not None and layer.values is not None:
            layer.keys, layer.values = (part.expand(rows, -1, -1, -1) for part in (layer.keys, layer.values))
    return forked


def layers_of(cache: DynamicCache) -> list[DynamicLayer]:
    """Layers of a cache where there is :func:`room`: all of them keep keys and values, and nothing else."""
    return cast(list[DynamicLayer], cache.layers)


def forward(module: nn.Module, embeddings_BSD: Tensor, attention_BT: Tensor, past: DynamicCache | None) -> Any:
    """Output of a model that reads the last S of T places; what ``past`` holds stands before them.

    Positions count real tokens only, in families that are told positions.
    """
    values: dict[str, Any] = {"inputs_embeds": embeddings_BSD, "attention_mask": attention_BT}
    if takes_positions(module):
        values["position_ids"] = (attention_BT.cumsum(1) - 1).clamp_min(0)[:, -embeddings_BSD.shape[1] :]
    if past is not None:
        values["past_key_values"] = past
    return module(**values, use_cache=past is not None)
