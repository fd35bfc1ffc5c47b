"""What a stage takes from the adapter folder that it starts from, and what must agree with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from clara_lightning.backbone.folder import AdapterFolder
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.backbone.memory import MemoryConfig
from clara_lightning.backbone.query import QueryConfig
from clara_lightning.errors import ClaraError

NAMES = {  # the stages' settings
    "tokens": "memory_tokens",
    "document_tokens": "document_tokens",
    "kind": "memory",
    "nested": "nested",
    "layer": "memory_layer",
    "mlp": "memory_mlp",
    "words_per_token": "words_per_token",
}
FIXED = ("kind", "layer", "mlp", "words_per_token")  # what resizing does not change


def inherit_memory(parent: AdapterFolder | None, given: Mapping[str, Any], *, resize: bool) -> MemoryConfig:
    """The parent's memory where there is a parent; what is given must agree, unless it is to be resized.

    Args:
        parent: where the stage starts from.
        given: settings of a stage by name, None where they are left open.
        resize: let the numbers of tokens differ.

    Raises:
        ClaraError: it does not.
    """
    chosen = {key: given[name] for key, name in NAMES.items() if given.get(name) is not None}
    if "nested" in chosen:
        chosen["nested"] = tuple(sorted(set(chosen["nested"])))
    if parent is None:
        return MemoryConfig(**chosen)
    for key, value in chosen.items():
        own = getattr(parent.memory, key)
        if key == "tokens" and parent.memory.holds(value):
            continue
        if value != own and not (resize and key not in FIXED):
            mend = "" if key in FIXED else "; model.init_args.resize true adapts them"
            raise ClaraError(
                f"model.init_args.{NAMES[key]} is {value}, but the adapters in {parent.path} were trained with "
                f"{own}{mend}"
            )
    return replace(parent.memory, **chosen)


def inherit(own: Any, given: Any, default: Any, name: str) -> Any:
    """The parent's value where there is a parent; a given one must agree.

    Raises:
        ClaraError: it does not.
    """
    if own is None or own is False:
        return given or default
    if given is not None and given != own:
        raise ClaraError(f"model.init_args.{name} differs from that of model.init_args.init_from: leave it out")
    return own


def inherit_query(parent: AdapterFolder | None, given: QueryConfig | None) -> QueryConfig:
    """The parent's where it has learned something; else what is given, or nothing.

    Raises:
        ClaraError: something else is given.
    """
    own = QueryConfig() if parent is None else parent.query
    return (given or own) if own == QueryConfig() else inherit(own, given, own, "query")


def inherit_backbone(parent: AdapterFolder | None, given: BackboneConfig) -> BackboneConfig:
    """The given backbone, named by the parent where it has no name of its own."""
    if parent is None or given.name is not None:
        return given
    return replace(given, name=parent.backbone["name"], revision=given.revision or parent.backbone["revision"])
