"""Runs a causal LM over sequences that stand one behind the other.

Shapes: P positions of all sequences, N sequences, T positions of the longest, X chosen positions, D hidden size,
V vocabulary.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from clara_lightning.backbone.packing import ATTENTION, Sequences
from clara_lightning.objectives.losses import head_cross_entropy, head_distance

log = logging.getLogger(__name__)

_WINDOWS = ("sliding_window", "attention_chunk_size")  # of a configuration: positions that a token sees at most
TORCH_ATTENTION = "sdpa"
_TRIAL = (5, 3)  # lengths of the sequences that packing is tried with


class Runner:
    """One causal LM, run on packed sequences where it can be and on padded ones elsewhere.

    Both are found out with the first call, on a few tokens: whether packed sequences give what each gives alone, and
    whether the logits are what the output layer makes of the last hidden states, with nothing done to either
    (scaling, soft caps). Where not, the model's own forward runs, whatever its family does in it.

    Args:
        model: the causal LM, with its adapters. Its attention implementation becomes one that knows sequences.
        has_values: whether outcomes can be compared; of a model without values it is only seen what runs.
    """

    def __init__(self, model: PreTrainedModel, *, has_values: bool = True) -> None:
        self.model = model
        self._has_values = has_values
        self._window = _window(model.config)
        self._packs = could_pack(model)
        self._plain_head = type(model.get_output_embeddings()) is nn.Linear
        self._tried = False
        if self._packs:
            model.set_attn_implementation(ATTENTION)

    @property
    def attention(self) -> str:
        """The attention implementation by transformers' name; ours is torch's too."""
        name = str(self.model.config._attn_implementation)
        return TORCH_ATTENTION if name == ATTENTION else name

    def hidden(self, inputs_PD: Tensor, sequences: Sequences) -> Tensor:
        """Last hidden states ``(P, D)`` of the LM without its head, from input embeddings ``(P, D)``."""
        return self._hidden(inputs_PD, sequences, packed=self.packs(sequences))

    def logits(self, inputs_PD: Tensor, sequences: Sequences, places_X: Tensor) -> Tensor:
        """Logits ``(X, V)`` of some positions, by the model's own forward; the others are taken out before its head."""
        packed = self.packs(sequences)
        with only_at(self.model, places_X if packed else sequences.padded_P[places_X]):
            return cast(Tensor, self._run(self.model, inputs_PD, sequences, packed=packed).logits[0])

    def seen(self, inputs_PD: Tensor, sequences: Sequences, places_X: Tensor) -> Tensor:
        """What decides the token behind each of some positions.

        Its last hidden state ``(X, D)``, or the logits ``(X, V)`` where more than the output layer stands behind it.
        """
        self.try_out()
        if not self._plain_head:
            return self.logits(inputs_PD, sequences, places_X)
        return self._hidden(inputs_PD, sequences, packed=self.packs(sequences))[places_X]

    def losses(self, seen: Tensor, ids_X: Tensor) -> Tensor:
        """Negative log-likelihood ``(X,)`` in nats, float32, of the tokens that follow on what was :meth:`seen`."""
        if not self._plain_head:
            return nn.functional.cross_entropy(seen.float(), ids_X, reduction="none")
        head = cast(nn.Linear, self.model.get_output_embeddings())
        return head_cross_entropy(seen, head.weight, head.bias, ids_X)

    def distances(self, seen: Tensor, teacher: Tensor) -> Tensor:
        """``KL(teacher || own)`` ``(X,)`` in nats, float32, of the tokens behind what both have :meth:`seen`."""
        if not self._plain_head:
            own_XV, wanted_XV = (logits.float().log_softmax(-1) for logits in (seen, teacher))
            return nn.functional.kl_div(own_XV, wanted_XV, log_target=True, reduction="none").sum(-1)
        head = cast(nn.Linear, self.model.get_output_embeddings())
        return head_distance(seen, teacher, head.weight, head.bias)

    def packs(self, sequences: Sequences) -> bool:
        """Whether these sequences are run without padding."""
        self.try_out()
        packing = self._packs and self.model.config._attn_implementation == ATTENTION  # the caller may change it
        return packing and max(sequences.whole.lengths) <= self._window

    def padding(self, sequences: Sequences) -> int:
        """How many positions are padding when these sequences are run."""
        lengths = sequences.whole.lengths
        return 0 if self.packs(sequences) else len(lengths) * max(lengths) - sum(lengths)

    def _hidden(self, inputs_PD: Tensor, sequences: Sequences, *, packed: bool) -> Tensor:
        hidden_BTD: Tensor = self._run(self.model.base_model, inputs_PD, sequences, packed=packed).last_hidden_state
        return hidden_BTD.flatten(0, 1) if packed else hidden_BTD.flatten(0, 1)[sequences.padded_P]

    def _run(self, module: nn.Module, inputs_PD: Tensor, sequences: Sequences, *, packed: bool) -> Any:
        if packed:
            # A mask of four dimensions is handed on as it is: none is made, and the attention does not look at it.
            return module(
                inputs_embeds=inputs_PD[None],
                attention_mask=inputs_PD.new_zeros(1, 1, 1, 1),
                position_ids=sequences.positions_P[None],
                use_cache=False,
                sequences=sequences,
            )
        attention_NT = sequences.attention_NT
        options = {"position_ids": sequences.places_NT} if takes_positions(module) else {}
        return module(inputs_embeds=sequences.pad(inputs_PD), attention_mask=attention_NT, use_cache=False, **options)

    @torch.no_grad()
    def try_out(self) -> None:
        """Compare the short cuts with the model's own way, once; every call does this first."""
        if self._tried:
            return
        self._tried = True
        was_training = self.model.training
        self.model.eval()
        try:
            self._packs = self._packs and self._packing_is_exact()
            self._plain_head = self._plain_head and (not self._has_values or self._head_is_plain())
        finally:
            self.model.train(was_training)
        if self.attention == TORCH_ATTENTION and not self._packs:
            self.model.set_attn_implementation(TORCH_ATTENTION)

    def _packing_is_exact(self) -> bool:
        both = self._trial_inputs(_TRIAL)
        try:
            packed_PD = self._hidden(*both, packed=True)
        except Exception as error:  # a family's forward may refuse in any way what it does not know
            log.debug("sequences are padded: %s", error)
            return False
        exact = not self._has_values or any(_alike(packed_PD, wanted_PD) for wanted_PD in self._one_by_one(*both))
        if not exact:
            log.info("sequences are padded: packed ones give something else")
        return exact

    def _one_by_one(self, inputs_PD: Tensor, sequences: Sequences) -> Iterator[Tensor]:
        """What transformers' own attentions make of each sequence alone.

        They are one function, but in half precision they round at different places, and thirty layers can make a third
        of the norm of that: packed sequences round like one of them, which one depends on the device.
        """
        for attention in TORCH_ATTENTION, "eager":
            self.model.set_attn_implementation(attention)
            try:
                parts = inputs_PD.split(sequences.lengths)
                alone = [self._hidden(part, Sequences((len(part),), part.device), packed=False) for part in parts]
            finally:
                self.model.set_attn_implementation(ATTENTION)
            yield torch.cat(alone)

    def _head_is_plain(self) -> bool:
        """Whether the head gets the trunk's last hidden states, and its output is handed on, whatever stands in it."""
        inputs_PD, sequences = self._trial_inputs((sum(_TRIAL),))
        seen: list[Tensor] = []

        def watch(_: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
            seen.extend((arguments[0], torch.linspace(-1e3, 1e3, output.numel()).view_as(output).to(output)))
            return seen[1]

        hook = cast(nn.Module, self.model.get_output_embeddings()).register_forward_hook(watch)
        try:
            logits_1PV = self._run(self.model, inputs_PD, sequences, packed=False).logits
        finally:
            hook.remove()
        own_PD = self._hidden(inputs_PD, sequences, packed=False)
        return torch.equal(logits_1PV.float(), seen[1].float()) and _alike(seen[0].flatten(0, 1), own_PD)

    def _trial_inputs(self, lengths: tuple[int, ...]) -> tuple[Tensor, Sequences]:
        """Some embeddings, none twice."""
        embedding = cast(nn.Embedding, self.model.get_input_embeddings())
        ids_P = torch.arange(sum(lengths), device=self.model.device) % embedding.weight.shape[0]
        return embedding(ids_P), Sequences(lengths, self.model.device)


def could_pack(model: PreTrainedModel) -> bool:
    """Whether the configuration allows it: torch's attention, positions that are told, and no state beside them."""
    stateless = not getattr(model, "_is_stateful", False)
    return stateless and model.config._attn_implementation == TORCH_ATTENTION and takes_positions(model.base_model)


def _window(config: Any) -> float:
    """Positions that a token sees at most in some layer; infinite where it sees all."""
    text = config.get_text_config()
    sizes = [getattr(text, name, None) for name in _WINDOWS]
    return min((size for size in sizes if isinstance(size, int)), default=float("inf"))


def only_at(model: PreTrainedModel, places_X: Tensor) -> AbstractContextManager[None]:
    """Scope in which the model's head runs at some positions of the flattened batch: logits are ``(1, X, V)``."""
    return _before_head(model, lambda hidden_NTD: hidden_NTD.flatten(0, 1)[places_X][None])


def contiguous_at_head(model: PreTrainedModel) -> AbstractContextManager[None]:
    """Scope in which the model's head reads contiguous states.

    The last positions of a batch are a slice of it. torch's ``matmul`` does not fold such a batch into one product with
    a frozen weight: it copies the weight of the head for each row (pytorch/pytorch#186148).
    """
    return _before_head(model, Tensor.contiguous)


@contextmanager
def _before_head(model: PreTrainedModel, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    head = cast(nn.Module, model.get_output_embeddings())
    hook = head.register_forward_pre_hook(lambda _, arguments: (change(arguments[0]),))
    try:
        yield
    finally:
        hook.remove()


def takes_positions(module: nn.Module) -> bool:
    """Whether the module's forward is told positions."""
    return "position_ids" in inspect.signature(module.forward).parameters


def _alike(found: Tensor, wanted: Tensor) -> bool:
    """Equal but for rounding; what is wrong with a short cut is wrong at large."""
    tolerance = 0.02 if wanted.element_size() < 4 else 1e-3
    found, wanted = found.float(), wanted.float()
    return bool((found - wanted).norm() <= tolerance * wanted.norm())
