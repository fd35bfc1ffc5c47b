"""What a configuration says, as far as an estimate depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER, LoraSettings
from clara_lightning.backbone.folder import HEADER, AdapterFolder, locate
from clara_lightning.backbone.inheritance import inherit_backbone, inherit_memory
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.backbone.memory import MemoryConfig
from clara_lightning.backbone.quantization import is_quantized
from clara_lightning.corpus.index_entry import IndexKind
from clara_lightning.data.prompts import PromptTemplate
from clara_lightning.errors import ClaraError
from clara_lightning.objectives.estimators import DEFAULT, Estimator
from clara_lightning.objectives.scores import ScoreName

Task = Literal["pretraining", "instruction", "joint", "encoding"]
Spread = Literal["one device", "replicated", "sharded"]

_TASKS: dict[str, Task] = {
    "SCPDataModule": "pretraining",
    "InstructDataModule": "instruction",
    "QADataModule": "joint",
    "CorpusDataModule": "encoding",
}
_SHARDED = ("sharded", "ShardedStrategy")


@dataclass(frozen=True)
class Plan:
    """A run.

    Attributes:
        task: what the data asks for.
        backbone: pretrained weights.
        memory: kind and size of the memory.
        lora: settings of the adapters.
        prompt: the words around background and question.
        adapters: which adapters exist.
        trained: which of them train.
        data: settings of the DataModule.
        batch_size: examples per device and micro-batch.
        documents: memories in a prompt.
        candidates: documents a question chooses from; 0 but in stage 3.
        candidates_compressed: whether the candidates are compressed in every step.
        reads_answers: whether a step reads answers from what was taken.
        accumulate: micro-batches of an optimizer step.
        max_steps: -1 where epochs decide.
        max_epochs: passes over the data.
        devices: as the configuration gives them: a number, or None for all.
        accelerator: ``cpu`` where the configuration says so.
        strategy: how the work is spread over several devices.
        mixed: whether the step runs under autocast.
        moments: numbers that the optimizer keeps for each trained parameter.
        index: the index that the store gets, if it gets one: its kind and the score that it is for.
        notes: what was assumed, one line each.
    """

    task: Task
    backbone: BackboneConfig
    memory: MemoryConfig
    lora: LoraSettings
    prompt: PromptTemplate
    adapters: tuple[str, ...]
    trained: tuple[str, ...]
    data: Mapping[str, Any]
    batch_size: int
    documents: int
    candidates: int
    candidates_compressed: bool
    reads_answers: bool
    accumulate: int
    max_steps: int
    max_epochs: int
    devices: int | None
    accelerator: str
    strategy: Spread
    mixed: bool
    moments: int
    index: tuple[IndexKind, ScoreName] | None
    notes: tuple[str, ...]


def _index(settings: Mapping[str, Any], parent: AdapterFolder | None) -> tuple[IndexKind, ScoreName] | None:
    kind = (settings.get("encoder") or {}).get("index")
    return (kind, parent.retrieval.score) if kind and parent else None


def read_plan(settings: Mapping[str, Any]) -> Plan:
    """Read the settings of ``clara fit`` after parsing.

    Args:
        settings: nested, with the groups ``model``, ``data``, ``trainer`` and ``encoder``.

    Raises:
        ClaraError: there is no model or data of ours in it, or a value is out of its range.
    """
    model, trainer = settings["model"]["init_args"], settings["trainer"]
    task = _task(settings)
    data: Mapping[str, Any] = settings["data"]["init_args"]
    parent, notes = _parent(model.get("init_from"))
    notes += _not_counted(task, model)
    searched = bool(model.get("candidates"))
    adapters = (COMPRESSOR, GENERATOR, QUERY_REASONER) if task == "joint" else (COMPRESSOR, GENERATOR)
    estimators, trains_generator = _estimators(model), model.get("train_generator", True)
    by_answers = trains_generator or any(each.has_rows or each.success_temperature for each in estimators)
    joint = (GENERATOR, QUERY_REASONER) if trains_generator else (QUERY_REASONER,)
    trained = {"joint": joint, "encoding": ()}.get(task, (COMPRESSOR, GENERATOR))
    return Plan(
        task=task,
        backbone=_backbone(parent, model),
        memory=inherit_memory(parent, model, resize=bool(model.get("resize"))),
        lora=parent.lora if parent else _made(LoraSettings, model.get("lora")),
        prompt=parent.prompt if parent else _made(PromptTemplate, model.get("prompt")),
        adapters=adapters,
        trained=trained,
        data=data,
        batch_size=_at_least_one(data, "batch_size"),
        documents={"instruction": data.get("documents_per_question"), "joint": model.get("top_k")}.get(task) or 1,
        candidates=int(model["num_candidates"]) if task == "joint" else 0,
        candidates_compressed=task == "joint" and not searched and not model.get("store"),
        reads_answers=task != "joint" or by_answers,
        accumulate=int(trainer["accumulate_grad_batches"]),
        max_steps=int(trainer["max_steps"]),
        max_epochs=_epochs(trainer),
        devices=_num_devices(trainer),
        accelerator=str(trainer["accelerator"]),
        strategy=_spread(trainer["strategy"]),
        mixed=str(trainer["precision"] or "").endswith("-mixed"),
        moments=_moments(model.get("optimizer")),
        index=_index(settings, parent),
        notes=tuple(notes),
    )


def _task(settings: Mapping[str, Any]) -> Task:
    """By the first class of ours that the DataModule is or comes from."""
    path = str(settings["data"]["class_path"])
    for known in type.mro(_class(path)):
        if known.__name__ in _TASKS:
            return _TASKS[known.__name__]
    raise ClaraError(f"data.class_path: {path} is no DataModule of clara_lightning: its steps are unknown")


def _parent(init_from: str | None) -> tuple[AdapterFolder | None, list[str]]:
    if not init_from:
        return None, []
    if (locate(init_from, setting="model.init_args.init_from") / HEADER).is_file():
        return AdapterFolder.open(init_from, setting="model.init_args.init_from"), []
    return None, [f"{init_from} is not there yet: memory, LoRA and prompt as configured here, or their defaults"]


def _not_counted(task: str, model: Mapping[str, Any]) -> list[str]:
    """Settings that change what a step costs and are left out, one line each."""
    notes = []
    if model.get("distill"):
        notes.append("distill: the forward pass over the documents' text, from which is learned, is not counted")
    estimators = _estimators(model) if task == "joint" else []
    for each in estimators:
        if each.has_loss and not each.needs_gold:
            whose = ", for questions without a gold document," if getattr(each, "unlabelled", False) else ""
            name = type(each).__name__
            notes.append(f"{name}: the forward pass over documents that are read one by one{whose} is not counted")
    if any(each.needs_gold for each in estimators):
        notes.append(
            "Contrastive: counted only where a step reads no answers, and there as if all candidates took part"
        )
    if model.get("query"):
        notes.append("query: what is learned beside the query reasoner's adapter is not counted")
    if model.get("nested"):
        notes.append("nested: counted as if every batch had memory_tokens; shorter memories cost less")
    if (model.get("curriculum") or {}).get("text_share"):
        notes.append("curriculum: counted as if all documents were memory from the first step on")
    return notes


def _estimators(model: Mapping[str, Any]) -> list[Estimator]:
    given = model.get("estimators")
    if not given:
        return list(DEFAULT)
    return [_class(each["class_path"])(**(each.get("init_args") or {})) for each in given]


def _class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def _backbone(parent: AdapterFolder | None, model: Mapping[str, Any]) -> BackboneConfig:
    given: BackboneConfig = inherit_backbone(parent, _made(BackboneConfig, model.get("backbone")))
    if is_quantized(given.quantization):
        raise ClaraError(
            f"model.init_args.backbone.quantization {given.quantization}: clara estimate does not know packed weights; "
            "with none it gives an upper bound"
        )
    if given.name is None and model.get("init_from"):
        raise ClaraError(
            f"model.init_args.backbone.name is required, since model.init_args.init_from ({model['init_from']}) "
            "is not there yet to name it: add a file of configs/backbone"
        )
    return given


def _made(kind: Any, given: Any) -> Any:
    """A settings class from what the parser made of it."""
    if isinstance(given, kind):
        return given
    values = dict(given or {})
    return kind(**(values.get("init_args", values)))


def _at_least_one(data: Mapping[str, Any], name: str) -> int:
    value = int(data[name])
    if value < 1:
        raise ClaraError(f"data.init_args.{name} must be >= 1, got {value}")
    return value


def _epochs(trainer: Mapping[str, Any]) -> int:
    """As Lightning has it: 1000 where neither steps nor epochs are given."""
    given = trainer["max_epochs"]
    return int(given) if given is not None else (-1 if int(trainer["max_steps"]) > 0 else 1000)


def _num_devices(trainer: Mapping[str, Any]) -> int | None:
    given, nodes = trainer["devices"], int(trainer["num_nodes"])
    if isinstance(given, list | tuple):
        return len(given) * nodes
    try:
        number = int(given)
    except (TypeError, ValueError):
        return None
    return number * nodes if number > 0 else None


def _spread(strategy: Any) -> Spread:
    """How several devices share the model; ``auto`` replicates it."""
    path = strategy if isinstance(strategy, str) else str((strategy or {}).get("class_path", ""))
    return "sharded" if path.rpartition(".")[2] in _SHARDED else "replicated"


def _moments(optimizer: Any) -> int:
    """Adam keeps two numbers a parameter, SGD none, or one with momentum."""
    given = optimizer if isinstance(optimizer, Mapping) else {}
    if str(given.get("class_path", "")).endswith(".SGD"):
        return 1 if (given.get("init_args") or {}).get("momentum") else 0
    return 2
