"""The published recipe, written down plainly: transformers and PEFT as they come, nothing left out and nothing reused.

- LoRA layers are PEFT's, in the backbone's dtype; the active adapter is switched with ``set_adapter``.
- Every document is padded to the document length, every prompt to the longest of its batch.
- The whole causal LM runs over documents and prompts: all layers' hidden states are kept, and the LM head makes logits
  of every position.
- The loss is transformers' own, from ``labels``.
- Stage 3 compresses all candidates anew in every step; encoding takes documents in their order, in fixed batches.

It starts from the same adapter folder as our path and computes the same loss; ``tests/benchmarks/test_plain.py`` holds
both together, loss and gradients.

Shapes: N texts, B prompts, S document and memory tokens with padding, T prompt tokens, L memory tokens, D hidden size,
V vocabulary.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.ours import MSE_WEIGHT, TEMPERATURE, joint_prompts, reading_prompts
from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara_lightning.backbone.folder import MEMORY_FILE, AdapterFolder
from clara_lightning.data.examples import ReadingExample
from clara_lightning.data.prompts import Prompt, PromptEncoder, pad_token_id
from clara_lightning.data.readers import read_documents
from clara_lightning.data.records import Question
from clara_lightning.objectives.scores import score
from clara_lightning.objectives.topk import StraightThroughTopK, mix

ENCODED_AT_A_TIME = 16
VALUES = ("tokens_LD", "gain_D", "bias_D", "scale")  # of a memory head, those that are trained


class Read(NamedTuple):
    """What reading texts gives: as :class:`clara_lightning.backbone.backbone.Compressed`."""

    memory_NLD: Tensor
    text_mean_ND: Tensor
    memory_mean_ND: Tensor
    weights_NL: Tensor


class MemoryTokens(nn.Module):
    """Memory tokens of one adapter with anchors and calibration, as an adapter folder holds them."""

    tokens_LD: Tensor
    gain_D: Tensor
    bias_D: Tensor
    scale: Tensor
    centre_D: Tensor
    hidden_mean_D: Tensor
    hidden_std_D: Tensor
    document_frequency_V: Tensor
    question_frequency_V: Tensor
    num_documents: Tensor
    num_questions: Tensor

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        for key, value in tensors.items():
            if key in VALUES:
                self.register_parameter(key, nn.Parameter(value))
            else:
                self.register_buffer(key, value)

    def rarest(self, ids: Sequence[int], special: set[int]) -> Tensor:
        """Places of a text's rarest tokens, in reading order."""
        places = torch.tensor([place for place, token in enumerate(ids) if token not in special], dtype=torch.long)
        tokens = torch.tensor(ids, dtype=torch.long)[places]
        frequency = self.document_frequency_V.cpu()[tokens]
        return places[frequency.sort(stable=True).indices[: self.tokens_LD.shape[0]]].sort().values

    def query_weight(self, ids: Tensor) -> Tensor:
        """Inverse frequency over documents and questions."""
        frequency = (self.document_frequency_V + self.question_frequency_V)[ids]
        return torch.log1p((self.num_documents + self.num_questions).float()) - torch.log1p(frequency.float())

    def memory(self, hidden_NLD: Tensor, anchor_NLD: Tensor) -> Tensor:
        """Memory from last hidden states."""
        calibrated_NLD = (hidden_NLD.float() - self.hidden_mean_D) / self.hidden_std_D * self.gain_D + self.bias_D
        return anchor_NLD + self.scale * calibrated_NLD


class Plain:
    """The same losses, encoding and answers as :class:`benchmarks.ours.Ours`, the plain way.

    Args:
        model: the causal LM, loaded fresh; adapters are put into it.
        tokenizer: its tokenizer.
        folder: adapters with memory of the kind ``anchors``.
        float32_adapters: keep adapters in float32 and cast every layer's input to it, as PEFT does by default. One
            who casts the whole model to bfloat16 does not, and is faster.
    """

    name = "plain"

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        folder: AdapterFolder,
        *,
        float32_adapters: bool = False,
    ) -> None:
        self.memory = folder.memory
        self.tokenizer = tokenizer
        self.prompts = PromptEncoder(
            tokenizer,
            template=folder.prompt,
            memory_tokens=folder.memory.tokens,
            text_tokens=folder.memory.document_tokens,
        )
        first, *others = folder.adapters
        options: dict[str, Any] = {"is_trainable": True, "autocast_adapter_dtype": float32_adapters}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 reads a property that transformers 5 renamed
            self.lm = PeftModel.from_pretrained(model, folder.path / first, adapter_name=first, **options)
            for name in others:
                self.lm.load_adapter(str(folder.path / name), adapter_name=name, **options)
        tensors = load_file(folder.path / MEMORY_FILE)
        self.heads = nn.ModuleDict(
            {name: MemoryTokens(_of(tensors, name)) for name in folder.adapters if name != GENERATOR}
        )
        self.heads.to(model.device)
        self.embeddings = cast(nn.Embedding, model.get_input_embeddings())
        model.generation_config = GenerationConfig()  # what the weights come with would end answers early
        self.names: tuple[str, ...] = ()

    # --- training --------------------------------------------------------------------------------------------------

    @property
    def vocabulary(self) -> int:
        """Rows of the LM head."""
        return len(cast(nn.Linear, cast(PreTrainedModel, self.lm.get_base_model()).get_output_embeddings()).weight)

    def train_only(self, names: Sequence[str]) -> None:
        """Let exactly these adapters, with their memory tokens, take gradients."""
        self.names = tuple(names)
        for name, head in self.heads.items():
            head.requires_grad_(name in names)
        self._activate(names[0])

    def trained(self) -> list[nn.Parameter]:
        """What takes gradients."""
        parameters = [*self.lm.parameters(), *self.heads.parameters()]
        return [parameter for parameter in parameters if parameter.requires_grad]

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW as published."""
        return torch.optim.AdamW(self.trained(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.0)

    def _activate(self, name: str) -> None:
        """Switch adapters; PEFT then takes gradients from all others, so those that are trained get them back."""
        self.lm.set_adapter(name)
        for other in self.lm.peft_config:
            self.lm.set_requires_grad(other, requires_grad=other in self.names)

    def reading_loss(self, examples: Sequence[ReadingExample]) -> Tensor:
        """Stages 1 and 2; see :meth:`benchmarks.ours.Ours.reading_loss`."""
        read = self.read([text for row in examples for text in row.documents], adapter=COMPRESSOR)
        loss = self.answer_loss(reading_prompts(examples, self.prompts), read.memory_NLD)
        return loss + MSE_WEIGHT * (read.text_mean_ND - read.memory_mean_ND).square().mean()

    def joint_loss(self, questions: Sequence[Question], *, top_k: int) -> Tensor:
        """Stage 3; see :meth:`benchmarks.ours.Ours.joint_loss`."""
        query = self.read([row.question for row in questions], adapter=QUERY_REASONER, to_longest=True)
        with torch.no_grad():
            found = self.read([passage.content for row in questions for passage in row.passages], adapter=COMPRESSOR)
        memory_BNLD = found.memory_NLD.to(self.lm.dtype).unflatten(0, (len(questions), -1))
        scores_BN = score("maxsim", query.memory_NLD, memory_BNLD, query.weights_NL)
        chosen = StraightThroughTopK(k=top_k, temperature=TEMPERATURE)(scores_BN)
        return self.answer_loss(joint_prompts(questions, self.prompts, top_k), mix(chosen.selection_BKN, memory_BNLD))

    def answer_loss(self, prompts: Sequence[Prompt], memory: Tensor) -> Tensor:
        """Mean negative log-likelihood of the answers' tokens."""
        batch = self.prompts.encode(prompts)
        self._activate(GENERATOR)
        device = self.lm.device
        output = self.lm(
            inputs_embeds=self.splice(batch.ids.to(device), batch.slots.to(device), memory),
            attention_mask=batch.attention.to(device),
            labels=batch.labels.to(device),
            use_cache=False,
        )
        return cast(Tensor, output.loss)

    def splice(self, ids_BT: Tensor, slots_BT: Tensor, memory: Tensor) -> Tensor:
        """Input embeddings of prompts with memory in its places."""
        embeddings_BTD: Tensor = self.embeddings(ids_BT)
        inputs = (memory.float() + self._head(COMPRESSOR).centre_D).to(embeddings_BTD.dtype)
        return embeddings_BTD.masked_scatter(slots_BT.unsqueeze(-1), inputs)

    def _head(self, adapter: str) -> MemoryTokens:
        return cast(MemoryTokens, self.heads[adapter])

    # --- reading ---------------------------------------------------------------------------------------------------

    def read(self, texts: Sequence[str], *, adapter: str, to_longest: bool = False) -> Read:
        """Read texts with memory tokens behind them and padding behind those.

        Args:
            texts: N texts.
            adapter: who reads.
            to_longest: pad to the longest text, and not to the document length.
        """
        head, length = self._head(adapter), self.memory.tokens
        rows = self.tokenizer([f" {text}" for text in texts], split_special_tokens=True)["input_ids"]
        rows = [row[: self.memory.document_tokens] for row in rows]
        width = max(map(len, rows)) if to_longest else self.memory.document_tokens
        text_NS = torch.zeros(len(rows), width + length, dtype=torch.bool)
        memory_NS = torch.zeros_like(text_NS)
        ids_NS = torch.full(text_NS.shape, pad_token_id(self.tokenizer))
        for index, row in enumerate(rows):
            ids_NS[index, : len(row)] = torch.tensor(row, dtype=torch.long)
            text_NS[index, : len(row)] = True
            memory_NS[index, len(row) : len(row) + length] = True
        ids_NS, text_NS, memory_NS = (values.to(self.lm.device) for values in (ids_NS, text_NS, memory_NS))
        embeddings_NSD = self.embeddings(ids_NS)
        anchor_NLD, weights_NL = self._anchors(rows, head)
        tokens_NLD = (head.tokens_LD + anchor_NLD).to(embeddings_NSD.dtype)
        self._activate(adapter)
        output = self.lm(
            inputs_embeds=embeddings_NSD.masked_scatter(memory_NS.unsqueeze(-1), tokens_NLD),
            attention_mask=(text_NS | memory_NS).long(),
            output_hidden_states=True,
            use_cache=False,
        )
        hidden_NSD = output.hidden_states[-1]
        memory_NLD = hidden_NSD[memory_NS].view(len(rows), length, -1)
        real_NS1 = text_NS.unsqueeze(-1).float()
        return Read(
            memory_NLD=head.memory(memory_NLD, anchor_NLD),
            text_mean_ND=(hidden_NSD.float() * real_NS1).sum(1) / real_NS1.sum(1),
            memory_mean_ND=memory_NLD.float().mean(1),
            weights_NL=weights_NL,
        )

    def _anchors(self, rows: Sequence[Sequence[int]], head: MemoryTokens) -> tuple[Tensor, Tensor]:
        """Embeddings of each text's rarest tokens, centred ``(N, L, D)``, and their weight in a search ``(N, L)``."""
        special = set(self.tokenizer.all_special_ids)
        anchor_NLD = head.tokens_LD.new_zeros(len(rows), *head.tokens_LD.shape)
        weights_NL = anchor_NLD.new_zeros(anchor_NLD.shape[:2])
        for index, row in enumerate(rows):
            ids = torch.tensor(row, dtype=torch.long)[head.rarest(row, special)].to(anchor_NLD.device)
            anchor_NLD[index, : len(ids)] = self.embeddings(ids).float() - head.centre_D
            weights_NL[index, : len(ids)] = head.query_weight(ids)
        return anchor_NLD, weights_NL

    @torch.inference_mode()
    def encode(self, documents: Path) -> Tensor:
        """Memory of a file of documents, in their order."""
        texts = [document.content for document in read_documents(str(documents))]
        blocks = [texts[start : start + ENCODED_AT_A_TIME] for start in range(0, len(texts), ENCODED_AT_A_TIME)]
        return torch.cat([self.read(block, adapter=COMPRESSOR).memory_NLD.to(torch.bfloat16) for block in blocks])

    # --- answering -------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Prompt], memory: Tensor | None = None, *, max_new_tokens: int) -> Tensor:
        """Token ids of answers of exactly ``max_new_tokens``: the whole prompt through ``generate`` of transformers."""
        batch = self.prompts.encode(prompts, padding_side="left")
        ids, device = batch.ids.to(self.lm.device), self.lm.device
        read = (
            {"input_ids": ids}
            if memory is None
            else {"inputs_embeds": self.splice(ids, batch.slots.to(device), memory)}
        )
        self._activate(GENERATOR)
        made: Tensor = cast(Any, self.lm).generate(
            **read,
            attention_mask=batch.attention.to(device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=self.prompts.pad_id,
        )
        return made[:, -max_new_tokens:]  # without the prompt, which comes back where it was token ids


def _of(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of one adapter, without its name."""
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
