"""This project's path through every measurement, as its training stages and ``clara predict`` take it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from clara_lightning.backbone.adapters import COMPRESSOR, QUERY_REASONER
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.corpus.candidates import GivenCandidates, StoredPassages
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.corpus import CorpusDataModule
from clara_lightning.data.examples import ReadingExample
from clara_lightning.data.prompts import MEMORY, Prompt, PromptEncoder
from clara_lightning.data.records import Question
from clara_lightning.modules.base import adamw
from clara_lightning.objectives.losses import compression_mse
from clara_lightning.objectives.scores import score
from clara_lightning.objectives.topk import StraightThroughTopK, mix

MSE_WEIGHT = 0.1
TEMPERATURE = 0.02


class Ours:
    """Losses, encoding and answers of :class:`ClaraBackbone`.

    Args:
        backbone: with the three adapters.
        store: memory of the candidates; without it they are compressed on the spot.
    """

    name = "ours"

    def __init__(self, backbone: ClaraBackbone, store: LatentStore | None = None) -> None:
        self.backbone = backbone
        self.candidates = GivenCandidates(backbone, None if store is None else StoredPassages(store))

    @property
    def vocabulary(self) -> int:
        """Rows of the LM head."""
        return len(cast(nn.Linear, self.backbone.causal_lm.get_output_embeddings()).weight)

    def train_only(self, names: Sequence[str]) -> None:
        """Let exactly these adapters, with their memory tokens, take gradients."""
        self.backbone.train_only(names)

    def trained(self) -> list[nn.Parameter]:
        """What takes gradients."""
        return [parameter for parameter in self.backbone.parameters() if parameter.requires_grad]

    def optimizer(self) -> torch.optim.Optimizer:
        """The training stages' own."""
        return adamw(self.trained())

    def reading_loss(self, examples: Sequence[ReadingExample]) -> Tensor:
        """Stages 1 and 2: cross-entropy of the answers + 0.1 x distance of document and memory."""
        read = self.backbone.read([text for row in examples for text in row.documents], adapter=COMPRESSOR)
        prompts = reading_prompts(examples, self.backbone.prompts)
        answers = self.backbone.answer_loss(prompts, read.memory_NLD)
        return answers.mean + MSE_WEIGHT * compression_mse(read.text_mean_ND, read.memory_mean_ND)

    def joint_loss(self, questions: Sequence[Question], *, top_k: int) -> Tensor:
        """Stage 3: cross-entropy of the answers from the candidates that the query reasoner chooses."""
        query = self.backbone.read([row.question for row in questions], adapter=QUERY_REASONER)
        candidates = self.candidates(questions, query)
        scores_BN = score("maxsim", query.memory_NLD, candidates.memory_BNLD, query.weights_NL)
        chosen = StraightThroughTopK(k=top_k, temperature=TEMPERATURE)(scores_BN, candidates.mask_BN)
        memory_BKLD = mix(chosen.selection_BKN, candidates.memory_BNLD)
        return self.backbone.answer_loss(joint_prompts(questions, self.backbone.prompts, top_k), memory_BKLD).mean

    @torch.inference_mode()
    def encode(self, documents: Path) -> Tensor:
        """Memory of a file of documents, in their order, in batches as ``clara predict`` makes them."""
        corpus = CorpusDataModule(str(documents))
        corpus.setup("predict")
        places, parts = [], []
        for batch in corpus.batches(frozenset(range(corpus.num_shards))):
            texts = [document.content for document in batch.documents]
            parts.append(self.backbone.read(texts, adapter=COMPRESSOR).memory_NLD.to(torch.bfloat16))
            places += [batch.shard * corpus.rows_per_shard + place for place in batch.places]
        return torch.cat(parts)[torch.tensor(places).argsort()]


def reading_prompts(examples: Sequence[ReadingExample], encoder: PromptEncoder) -> list[Prompt]:
    """What stages 1 and 2 ask of the generator."""
    found = []
    for row in examples:
        background = (MEMORY,) * len(row.documents)
        if row.task == "question":
            found.append(encoder.ask(row.question, background, answer=row.answer))
        else:
            found.append(Prompt(getattr(encoder.template, row.task), background, row.answer))
    return found


def joint_prompts(questions: Sequence[Question], encoder: PromptEncoder, top_k: int) -> list[Prompt]:
    """What stage 3 asks of the generator."""
    return [encoder.ask(row.question, (MEMORY,) * top_k, answer=row.answers[0]) for row in questions]
