"""What runs is what is shown: the settings in effect, after every default, inheritance and override."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Trainer

if TYPE_CHECKING:
    from clara_lightning.backbone.memory import MemoryConfig
    from clara_lightning.modules.base import ClaraModule

IN_EFFECT = "settings_in_effect.yaml"  # the file of a run folder that holds them
PACKAGES = ("clara-lightning", "torch", "lightning", "transformers", "peft", "faiss-cpu")


def settings_in_effect(module: ClaraModule, trainer: Trainer) -> dict[str, str]:
    """What a training runs with, by name, for people to read.

    Args:
        module: with its backbone built.
        trainer: set up, its DataModule attached.
    """
    return {
        "stage": type(module).__name__,
        **module.in_effect(),
        **_backbone(module),
        **_adapters(module),
        **_training(module, trainer),
        **_validation(module, trainer),
        "versions": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }


def as_table(settings: dict[str, str]) -> str:
    """Two aligned columns."""
    width = max(map(len, settings))
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in settings.items())


def without_effect(module: ClaraModule, trainer: Trainer) -> list[str]:
    """One line for each setting that was given and changes nothing in this run."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    steps = int(trainer.estimated_stepping_batches)
    found = [*module.without_effect(), *getattr(data, "without_effect", list)()]
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set by a connector, unseen by mypy
        found += getattr(callback, "without_effect", _nothing)(trainer)
    every: int = getattr(trainer.checkpoint_callback, "_every_n_train_steps", 0)
    if every > steps:
        found.append(f"checkpoint.every_n_train_steps {every}: the run has {steps} steps, one checkpoint at its end")
    if not validates(trainer) and trainer.val_check_interval not in (None, 1.0):
        found.append("trainer.val_check_interval: there is no data.init_args.val to measure on")
    answers = module.answers
    if not answers.rows and answers.max_new_tokens != default_of(type(module), "max_new_tokens"):
        found.append("model.init_args.max_new_tokens: model.init_args.generate_rows is 0")
    asked, used = module.backbone_config.attention, module.backbone.attention
    if asked != used:
        found.append(f"model.init_args.backbone.attention {asked}: this backbone runs {used}")
    return found


def validates(trainer: Trainer) -> bool:
    """Whether there is anything to validate on; of a DataModule without rows Lightning learns that too late."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    return trainer.enable_validation and bool(getattr(data, "val_rows", True))


def _backbone(module: ClaraModule) -> dict[str, str]:
    config, memory, lm = module.backbone_config, module.memory_config, module.backbone.causal_lm
    frozen = sum(parameter.numel() for parameter in lm.parameters() if not parameter.requires_grad)
    revision = f" at {config.revision}" if config.revision else ""
    return {
        "backbone": f"{config.name}{revision}: {frozen / 1e6:,.1f} M frozen parameters in {lm.dtype}".replace(
            "torch.", ""
        ),
        "attention": module.backbone.attention,
        "activation checkpointing": "on" if config.gradient_checkpointing else "off",
        "memory": _memory(memory, before=module.parent.memory if module.parent else None),
        "init_from": f"{module.parent.path} ({module.parent.stage}): loaded {', '.join(module.loaded)}"
        if module.parent
        else "nothing: new adapters",
    }


def _memory(memory: MemoryConfig, *, before: MemoryConfig | None) -> str:
    text = f"{memory.kind}, {memory.document_tokens} tokens to {memory.tokens} ({memory.compression_rate:g}x)"
    if memory.nested:
        text += f", nested: {', '.join(map(str, memory.nested))}"
    if memory.layer is not None:
        text += f", behind layer {memory.layer}"
    if memory.words_per_token:
        text += f", up to {memory.words_per_token} whole words on each"
    if memory.mlp:
        text += f", through an MLP of width {memory.mlp}"
    resized = before and (before.document_tokens, before.width) != (memory.document_tokens, memory.width)
    return f"{text}, resized from {before.document_tokens} to {before.width}" if before and resized else text


def _adapters(module: ClaraModule) -> dict[str, str]:
    backbone, lora = module.backbone, module.lora
    rows = {}
    for name in backbone.adapters:
        own = backbone.own_parameters(name)
        state = "trained" if name in module.trained else "frozen"
        rows[name] = f"{sum(value.numel() for value in own) / 1e6:,.2f} M parameters, {state}, {own[0].dtype}".replace(
            "torch.", ""
        )
    layers = ", ".join(backbone.adapted_layers)
    rows["LoRA"] = f"rank {lora.rank}, alpha {lora.alpha}, dropout {lora.dropout:g} on {layers}"
    return rows


def _training(module: ClaraModule, trainer: Trainer) -> dict[str, str]:
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    optimizer = trainer.optimizers[0]
    rates = zip(("learning rate", "memory tokens", "query"), optimizer.param_groups, strict=False)
    learning = ", ".join(f"{name} {group.get('initial_lr', group['lr']):g}" for name, group in rates)
    fused = ", fused" if all(group.get("fused") for group in optimizer.param_groups) else ""
    devices, parts = trainer.world_size, trainer.accumulate_grad_batches
    size = getattr(data, "batch_size", None)
    mesh = f", {module.device_mesh}" if module.device_mesh is not None else ""
    rows = {
        "devices": f"{devices} x {trainer.strategy.root_device.type}, {type(trainer.strategy).__name__}{mesh}",
        "precision": f"{trainer.precision} around the frozen backbone's own",
        "optimizer": f"{type(optimizer).__name__}{fused}, {learning}, "
        f"gradients clipped at {trainer.gradient_clip_val or 'nothing'}",
        "steps": f"{int(trainer.estimated_stepping_batches)} optimizer steps",
        "seed": f"{module.run_seed}",
    }
    if size is not None:
        batch = f"{size} a device x {devices} x {parts} accumulated = {size * devices * parts} a step"
        rows["batch"] = batch
        rows["data"] = f"{len(data.train_rows)} rows to train on, {len(data.val_rows)} to validate on, seed {data.seed}"
    return rows


def _validation(module: ClaraModule, trainer: Trainer) -> dict[str, str]:
    answers = module.answers
    rows = {}
    if validates(trainer) and answers.rows:
        rows["answers"] = f"to the first {answers.rows} rows of validation, of at most {answers.max_new_tokens} tokens"
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set by a connector, unseen by mypy
        rows |= getattr(callback, "in_effect", dict)()
    return rows


def _nothing(trainer: Trainer) -> list[str]:
    return []


def default_of(owner: type, name: str) -> Any:
    """Default of a constructor's argument."""
    return inspect.signature(owner).parameters[name].default
