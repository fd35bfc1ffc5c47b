"""Random tokens that depend on a chat alone, and not on what it shares a batch with.

Shapes: B chats, T tokens of an answer, V vocabulary.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clara_lightning.synthesis.chat import Chat, Sampling
from clara_lightning.synthesis.teachers.local import temperature_of

if TYPE_CHECKING:
    from torch import Tensor


def seed_of(chat: Chat, *, seed: int) -> int:
    """A seed for one chat's draws: it changes with ``seed``, the attempt and the messages, and with nothing else."""
    parts = json.dumps([seed + chat.attempt, list(chat.messages)], sort_keys=True)
    return int.from_bytes(hashlib.blake2b(parts.encode(), digest_size=8).digest()) >> 1


class Draws:
    """Chooses every next token of a batch; what follows takes the likeliest, and finds only this one possible.

    Each chat has its numbers from the start, one for each token, evenly spread between 0 and 1. The number says where
    in the cumulated probabilities, likeliest token first, the draw falls: 0 is the likeliest itself.

    Args:
        chats: B of them.
        sampling: temperature, ``top_p``, ``max_tokens`` (T) and seed.
        start: length of the padded prompts.
    """

    def __init__(self, chats: Sequence[Chat], sampling: Sampling, *, start: int) -> None:
        import torch

        self._draws_BT = torch.zeros(len(chats), sampling.max_tokens)
        self._temperatures_B = torch.ones(len(chats))
        for row, chat in enumerate(chats):
            if temperature := temperature_of(chat, sampling):
                generator = torch.Generator().manual_seed(seed_of(chat, seed=sampling.seed))
                self._draws_BT[row] = torch.rand(sampling.max_tokens, generator=generator)
                self._temperatures_B[row] = temperature
        self._top_p = sampling.top_p
        self._start = start

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Logits ``(B, V)`` for the next token; all but the chosen one become impossible."""
        draws_B = self._draws_BT[:, input_ids.shape[1] - self._start].to(scores.device)
        temperatures_B = self._temperatures_B.to(scores.device)
        chosen_B = choose(scores, draws_B, temperatures_B=temperatures_B, top_p=self._top_p)
        return scores.new_full(scores.shape, float("-inf")).scatter(1, chosen_B[:, None], 0.0)


def choose(logits_BV: Tensor, draws_B: Tensor, *, temperatures_B: Tensor, top_p: float) -> Tensor:
    """One token a row, ``(B,)``: where the draw falls among the likeliest, whose probabilities reach ``top_p``.

    A token belongs to these if those likelier than it have less than ``top_p`` together.
    """
    probabilities_BV = (logits_BV.float() / temperatures_B[:, None]).softmax(-1)
    probabilities_BV, tokens_BV = probabilities_BV.sort(stable=True, descending=True)
    reached_BV = probabilities_BV.cumsum(-1)
    kept_B = (reached_BV - probabilities_BV < top_p).sum(-1).clamp_min(1)
    mass_B: Tensor = reached_BV.gather(1, kept_B[:, None] - 1)[:, 0]
    places_B: Tensor = (reached_BV <= (draws_B * mass_B)[:, None]).sum(-1)
    chosen_B1: Tensor = tokens_BV.gather(1, places_B.minimum(kept_B - 1)[:, None])
    return chosen_B1[:, 0]
