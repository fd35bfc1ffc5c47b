"""The adapter folder: what one stage hands to the next, and what users exchange.

    clara.yaml                  backbone, memory, prompt, stage, parent, fingerprint
    memory_tokens.safetensors   memory tokens and calibration of every adapter that has them
    ADAPTER/adapter_config.json, ADAPTER/adapter_model.safetensors      one folder per adapter, as PEFT writes them
    README.md                   the model card, where a run wrote the folder

Nothing in it is a pickle.
"""

from __future__ import annotations

import copy
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.distributed.tensor import DTensor

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER, LoraSettings
from clara_lightning.backbone.backbone import ClaraBackbone, embedding_table
from clara_lightning.backbone.loading import BackboneConfig, is_in_package, load_pretrained, package_path
from clara_lightning.backbone.memory import MemoryConfig
from clara_lightning.backbone.query import QueryConfig, QueryHead
from clara_lightning.data.prompts import PromptTemplate
from clara_lightning.errors import ClaraError
from clara_lightning.objectives.scores import ScoreName

FORMAT = 1
HEADER = "clara.yaml"
MEMORY_FILE = "memory_tokens.safetensors"
WEIGHTS_FILE = "adapter_model.safetensors"
TOKENS = "tokens_LD"
CONFIG_FILE = "adapter_config.json"  # PEFT's
ARCHITECTURE = ("model_type", "hidden_size", "num_hidden_layers", "vocab_size")
IN_RUN = "adapters"  # where a run folder keeps its adapter folder


@dataclass(frozen=True)
class RetrievalConfig:
    """How documents are found for a set of adapters.

    Args:
        score: ``maxsim`` (late interaction over memory tokens), ``flat`` (cosine of the flattened memory) or ``mean``
            (cosine of the mean memory vectors).
        top_k: documents that the generator reads.
        temperature: tau of the soft choice that they were trained with.
        hybrid_weight: BM25's part in the score that they were trained with; 0: none.
        standardise: whether the scores were divided by their spread over a question's candidates.
    """

    score: ScoreName = "maxsim"
    top_k: int = 5
    temperature: float = 0.02
    hybrid_weight: float = 0.0
    standardise: bool = False

    @classmethod
    def default(cls, memory: MemoryConfig) -> RetrievalConfig:
        """Before any retrieval training: late interaction for anchors, the method's flattened cosine otherwise."""
        return cls(score="maxsim" if memory.is_anchored else "flat")


@dataclass(frozen=True)
class AdapterFolder:
    """The header of an adapter folder.

    Attributes:
        path: the folder.
        backbone: name and revision of the pretrained weights.
        architecture: model type and sizes; adapters fit every backbone that has the same.
        memory: kind and size of the memory.
        lora: settings of the adapters.
        prompt: the words they were trained with.
        stage: class name of the module that wrote them.
        adapters: which there are.
        retrieval: how documents are found for them.
        fingerprint: sha256 over the compressor's weights; a store is tied to it.
        parent: fingerprint of the folder that the stage started from.
        query: what is learned of a question's vectors beside the query reasoner.
    """

    path: Path
    backbone: dict[str, Any]
    architecture: dict[str, Any]
    memory: MemoryConfig
    lora: LoraSettings
    prompt: PromptTemplate
    stage: str
    adapters: tuple[str, ...]
    retrieval: RetrievalConfig
    fingerprint: str
    parent: str | None
    query: QueryConfig = field(default_factory=QueryConfig)

    @classmethod
    def open(cls, path: str | Path, *, setting: str = "--adapters") -> AdapterFolder:
        """Read the header of ``path``, an adapter folder or a run folder with one inside.

        Args:
            path: the folder, or ``package://PACKAGE/FOLDER`` for one that an installed Python package carries.
            setting: what an error names.

        Raises:
            ClaraError: there is no such folder, or its header is not ours.
        """
        folder = locate(path, setting=setting)
        header = folder / HEADER
        if not header.is_file():
            raise ClaraError(f"{setting}: {folder} is no adapter folder (it has no {HEADER})")
        try:
            values = yaml.safe_load(header.read_text(encoding="utf-8"))
            if values["format"] != FORMAT:
                raise ClaraError(f"{header}: format: {values['format']} is not supported, this version reads {FORMAT}")
            return cls(
                path=folder,
                backbone=values["backbone"],
                architecture=values["architecture"],
                memory=MemoryConfig(**values["memory"]),
                lora=LoraSettings(**values["lora"]),
                prompt=PromptTemplate(**values["prompt"]),
                stage=values["stage"],
                adapters=_known_adapters(values["adapters"]),
                retrieval=RetrievalConfig(**values["retrieval"]),
                query=QueryConfig(**values.get("query", {})),  # of older folders: nothing
                fingerprint=values["fingerprint"],
                parent=values["parent"],
            )
        except (KeyError, TypeError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ClaraError(f"{header}: not a valid header: {' '.join(str(error).split())}") from error

    def write(self) -> None:
        """Write the header into ``path``."""
        header = {
            "format": FORMAT,
            "stage": self.stage,
            "fingerprint": self.fingerprint,
            "parent": self.parent,
            "backbone": self.backbone,
            "architecture": self.architecture,
            "memory": asdict(self.memory),
            "adapters": list(self.adapters),
            "retrieval": asdict(self.retrieval),
            "query": asdict(self.query),
            "lora": asdict(self.lora),
            "prompt": asdict(self.prompt),
        }
        content = yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
        (self.path / HEADER).write_text(content, encoding="utf-8")

    def of_length(self, memory_tokens: int | None) -> AdapterFolder:
        """The same for memories of another length, where the compressor was trained for it; else unchanged."""
        if memory_tokens is None or not self.memory.holds(memory_tokens):
            return self
        return replace(self, memory=replace(self.memory, tokens=memory_tokens))

    def has(self, adapter: str) -> bool:
        """Whether the folder holds ``adapter``."""
        return adapter in self.adapters


def locate(path: str | Path, *, setting: str = "--adapters") -> Path:
    """The adapter folder at ``path``, or inside it where that is a run folder; ``path`` where there is neither.

    Raises:
        ClaraError: the package that ``path`` names is not installed, or holds nothing there.
    """
    folder = package_path(path, setting=setting) if is_in_package(path) else Path(path)
    inside = folder / IN_RUN
    return inside if not (folder / HEADER).is_file() and (inside / HEADER).is_file() else folder


def _known_adapters(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each of which is also a folder's name: nothing else may stand there, least of all ``..``."""
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise TypeError(f"adapters: {twice[0]!r} stands there twice")
    unknown = [name for name in names if name not in (COMPRESSOR, GENERATOR, QUERY_REASONER)]
    if unknown or not names:
        raise TypeError(f"adapters: {unknown[0]!r} is unknown" if unknown else "adapters: none")
    return tuple(names)


def architecture_of(model: ClaraBackbone) -> dict[str, Any]:
    """What adapters must agree on with a backbone."""
    config = model.causal_lm.config
    return {
        "model_type": config.model_type,
        "hidden_size": model.hidden_size,
        "num_hidden_layers": config.get_text_config().num_hidden_layers,
        "vocab_size": embedding_table(model.causal_lm).weight.shape[0],
    }  # in the order of ARCHITECTURE


def fingerprint(backbone: ClaraBackbone, adapter: str = COMPRESSOR) -> str:
    """sha256 over everything that decides the memory an adapter makes, apart from the backbone's own weights."""
    tensors = _adapter_tensors(backbone, adapter) | _whole(backbone.heads[adapter].state_dict())
    return _fingerprint(backbone.memory_config, architecture_of(backbone), tensors)


def fingerprint_of(folder: AdapterFolder, *, weights: Mapping[str, Tensor], heads: Mapping[str, Tensor]) -> str:
    """The :func:`fingerprint` that a backbone has once these tensors are loaded; no backbone is needed.

    Args:
        folder: names memory and architecture.
        weights: of the compressor's adapter file; those in half precision count as the float32 that they become.
        heads: of the file with memory tokens and calibration, of all adapters.
    """
    own = {
        key.removeprefix(f"{COMPRESSOR}."): value for key, value in heads.items() if key.startswith(f"{COMPRESSOR}.")
    }
    loaded = {
        name: value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
        for name, value in {**weights, **own}.items()
    }
    return _fingerprint(folder.memory, {key: folder.architecture.get(key) for key in ARCHITECTURE}, loaded)


def _fingerprint(memory: MemoryConfig, architecture: dict[str, Any], tensors: Mapping[str, Tensor]) -> str:
    later = ("nested", "layer", "mlp", "words_per_token")  # a memory without them is the one that it was before them
    identity = {key: value for key, value in asdict(memory).items() if value or key not in later}
    identity["tokens"] = memory.width  # a nested compressor is the same one for all its lengths
    digest = hashlib.sha256(repr((FORMAT, identity, architecture)).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)}".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_adapters(
    backbone: ClaraBackbone,
    path: str | Path,
    *,
    config: BackboneConfig,
    stage: str,
    parent: str | None,
    retrieval: RetrievalConfig,
    write: bool = True,
    describe: Callable[[Path], None] | None = None,
) -> None:
    """Write the adapter folder; a folder that is already there is replaced as a whole or not at all.

    Args:
        backbone: what to save.
        path: the folder.
        config: names the pretrained weights.
        stage: class name of the module that trained it.
        parent: fingerprint of the folder that the stage started from.
        retrieval: how documents are found for these adapters.
        write: on in one process; where weights are in shards, the others must call this too, to give their parts.
        describe: called with the finished folder before it takes its place, to put a model card into it.
    """
    tensors = {name: _adapter_tensors(backbone, name) for name in backbone.adapters}
    heads = _whole(backbone.heads.state_dict())
    own_fingerprint = fingerprint(backbone)
    if not write:
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".{target.name}-*"):  # of a run that was killed while it wrote
        shutil.rmtree(left, ignore_errors=True)
    working = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        for name in backbone.adapters:
            _save_adapter(backbone, name, tensors[name], working / name, config)
        save_file(heads, str(working / MEMORY_FILE))
        AdapterFolder(
            path=working,
            backbone={"name": config.name, "revision": config.revision},
            architecture=architecture_of(backbone),
            memory=backbone.memory_config,
            lora=backbone.lora,
            prompt=backbone.prompts.template,
            stage=stage,
            adapters=tuple(backbone.adapters),
            retrieval=retrieval,
            query=backbone.query_config(),
            fingerprint=own_fingerprint,
            parent=parent,
        ).write()
        if describe is not None:
            describe(working)
        for file in working.rglob("*"):  # safetensors writes files that their owner alone can read
            file.chmod(0o755 if file.is_dir() else 0o644)
        working.chmod(0o755)
        replace_folder(working, target)
    finally:
        shutil.rmtree(working, ignore_errors=True)


def _adapter_tensors(backbone: ClaraBackbone, name: str) -> dict[str, Tensor]:
    return _whole(get_peft_model_state_dict(backbone.lm, adapter_name=name))


def _whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Full tensors on the CPU; where they lie in shards, every process must call this."""
    return {name: full(value.detach()).cpu().contiguous() for name, value in tensors.items()}


def full(value: Any) -> Any:
    """The whole of a tensor whose parts lie in several processes, all of which must call this; else ``value``."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def _save_adapter(
    backbone: ClaraBackbone, name: str, tensors: dict[str, Tensor], folder: Path, config: BackboneConfig
) -> None:
    folder.mkdir()
    settings: Any = copy.copy(backbone.lm.peft_config[name])
    settings.inference_mode, settings.base_model_name_or_path = True, config.name
    if isinstance(settings.target_modules, set):
        settings.target_modules = sorted(settings.target_modules)  # a set has another order in each process
    settings.save_pretrained(str(folder))
    save_file(tensors, str(folder / WEIGHTS_FILE), metadata={"format": "pt"})


def replace_folder(working: Path, target: Path) -> None:
    """Put ``working`` in ``target``'s place; between the two renames only the old folder's name is missing."""
    if not target.exists():
        working.rename(target)
        return
    old = target.with_name(f".{target.name}-old-{working.name[-8:]}")
    target.rename(old)
    working.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def restore_folder(target: Path) -> None:
    """Undo a :func:`replace_folder` that was killed between its two renames."""
    for old in target.parent.glob(f".{target.name}-old-*"):
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(target)


def load_adapters(
    backbone: ClaraBackbone,
    folder: AdapterFolder,
    *,
    names: Mapping[str, str] | Sequence[str],
    setting: str,
    resize: bool = False,
) -> None:
    """Load adapters and their memory tokens from ``folder`` into ``backbone``.

    Args:
        backbone: a fresh backbone with these adapters.
        folder: where to load from.
        names: which adapters; a mapping gives the name in the backbone for each name in the folder.
        setting: what an error names.
        resize: take over as many memory tokens as both have; further ones stay as they were made.

    Raises:
        ClaraError: the folder's backbone has another architecture, or an adapter is missing or does not fit.
    """
    found, wanted = folder.architecture, architecture_of(backbone)
    for key in wanted:
        if found.get(key) != wanted[key]:
            raise ClaraError(
                f"{setting}: {folder.path} was trained on another backbone: {key} {found.get(key)}, here {wanted[key]}"
            )
    heads = load_tensors(folder.path / MEMORY_FILE)
    targets = names if isinstance(names, Mapping) else {name: name for name in names}
    for name, target in targets.items():
        _load_adapter(backbone, folder, name, target, setting=setting)
        if target in backbone.heads:
            own = {key.removeprefix(f"{name}."): value for key, value in heads.items() if key.startswith(f"{name}.")}
            head = backbone.head(target)
            if resize and TOKENS in own:
                own[TOKENS] = _resized(own[TOKENS], head.tokens_LD.detach())
            if isinstance(head, QueryHead) and folder.query == QueryConfig():
                own = {key: value for key, value in head.state_dict().items() if key in head.learned} | own
            try:
                head.load_state_dict(own)
            except RuntimeError as error:
                reason = " ".join(str(error).split())
                raise ClaraError(f"{setting}: {folder.path / MEMORY_FILE} does not fit {name}: {reason}") from error


def _load_adapter(backbone: ClaraBackbone, folder: AdapterFolder, name: str, target: str, *, setting: str) -> None:
    if not folder.has(name):
        raise ClaraError(f"{setting}: {folder.path} holds no adapter {name!r}, only {', '.join(folder.adapters)}")
    tensors = load_tensors(folder.path / name / WEIGHTS_FILE)
    try:
        result: Any = set_peft_model_state_dict(backbone.lm, tensors, adapter_name=target)
    except RuntimeError as error:  # a tensor of another shape
        raise ClaraError(f"{setting}: {folder.path}/{name} does not fit: {' '.join(str(error).split())}") from error
    missing = [key for key in result.missing_keys if f".{target}." in key]
    if missing or result.unexpected_keys:
        key = [*missing, *result.unexpected_keys][0]
        raise ClaraError(f"{setting}: {folder.path}/{name} does not fit the adapter's settings (first: {key})")


def _resized(found_LD: Tensor, fresh_LD: Tensor) -> Tensor:
    """The memory tokens found, cut to as many as there are to be, or followed by fresh ones."""
    return torch.cat([found_LD, fresh_LD[found_LD.shape[0] :]])[: fresh_LD.shape[0]]


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of an adapter folder.

    Raises:
        ClaraError: it is missing or cannot be read.
    """
    if not path.is_file():
        raise ClaraError(f"{path}: missing from the adapter folder")
    try:
        return load_file(str(path))
    except SafetensorError as error:
        raise ClaraError(f"{path}: no readable safetensors file: {error}") from error


def build_from_folder(
    folder: AdapterFolder,
    *,
    backbone: BackboneConfig | None = None,
    reasoners: Mapping[str, AdapterFolder] | None = None,
    setting: str = "--adapters",
) -> ClaraBackbone:
    """The backbone that an adapter folder names, with all its adapters loaded: ready to compress and answer.

    Args:
        folder: an opened folder.
        backbone: settings other than the name (dtype, attention); its name, where given, replaces the folder's.
        reasoners: query reasoners of other folders, to be loaded beside it under names of their own.
        setting: what an error names.
    """
    config = backbone or BackboneConfig()
    config = replace(
        config,
        name=config.name or folder.backbone["name"],
        revision=config.revision or folder.backbone["revision"],
    )
    others = reasoners or {}
    queries = {QUERY_REASONER: folder.query, **{name: other.query for name, other in others.items()}}
    model, tokenizer = load_pretrained(config)
    result = ClaraBackbone(
        model,
        tokenizer,
        memory=folder.memory,
        lora=folder.lora,
        prompt=folder.prompt,
        adapters=(*folder.adapters, *others),
        queries=queries,
    )
    load_adapters(result, folder, names=folder.adapters, setting=setting)
    for name, other in others.items():
        load_adapters(result, other, names={QUERY_REASONER: name}, setting=f"--reasoner {name}")
    return result.eval().requires_grad_(False)


def weights_sha256(folder: AdapterFolder) -> str:
    """sha256 over the weights of all adapters and memory tokens of a folder, as they lie on disk."""
    digest = hashlib.sha256()
    for path in [folder.path / MEMORY_FILE, *(folder.path / name / WEIGHTS_FILE for name in folder.adapters)]:
        if not path.is_file():
            raise ClaraError(f"{path}: missing from the adapter folder")
        digest.update(path.read_bytes())
    return digest.hexdigest()


def reasoner_of(folder: AdapterFolder) -> str:
    """Who turns questions into queries: the query reasoner, or before stage 3 the compressor it starts from."""
    return QUERY_REASONER if folder.has(QUERY_REASONER) else COMPRESSOR
