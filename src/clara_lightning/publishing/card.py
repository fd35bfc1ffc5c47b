"""The model card of an adapter folder: YAML for the Hub in front, and Markdown for people."""

from __future__ import annotations

from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from clara_lightning.backbone.folder import AdapterFolder, reasoner_of
from clara_lightning.publishing import figures
from clara_lightning.publishing.base_model import BaseModel, base_model
from clara_lightning.publishing.escaping import inline, one_line
from clara_lightning.publishing.training import SHORT, Training

FILE = "README.md"
FENCE = "---"
TEMPLATE = "card.md"
TAGS = ("clara_lightning", "lora", "retrieval-augmented-generation", "context-compression")
REWRITTEN = (
    "The run that trained these adapters writes this file anew at each of its checkpoints; "
    "`clara export` copies it as it stands."
)
"""Last line of a card that a run wrote."""

_LICENSE_MISSING = "# license: not given (card.license of clara fit)"
_BASE_MISSING = {
    "package": "# base_model: the backbone came in a package; clara export --base-model OWNER/NAME puts a hub id here",
    "local": "# base_model: the backbone was a local one; clara export --base-model OWNER/NAME puts a hub id here",
}


def model_card(folder: AdapterFolder, *, training: Training | None = None) -> str:
    """The card of a folder. The same folder and training give the same text.

    Args:
        folder: its header says what the adapters are.
        training: what is known of how they were trained.
    """
    base = base_model(folder.backbone["name"], folder.backbone["revision"])
    told = training or Training({}, 0)
    monitor, mode = told.monitor or ("val/loss", "min")
    return render(
        TEMPLATE,
        front_matter=Markup(front_matter(base, training)),
        folder=folder,
        base=base,
        reads_questions=reasoner_of(folder),
        training=training,
        figures=figures.newest(told.metrics),
        best=figures.best(told.metrics, name=monitor, mode=mode),
        best_is=("highest" if mode == "max" else "lowest"),
        curve=figures.curve(told.metrics),
        measured={name for row in told.metrics for name in row},
        rewritten=Markup(REWRITTEN),
        short=SHORT,
    )


def front_matter(base: BaseModel, training: Training | None) -> str:
    """The Hub's metadata; what is not known is a comment, or left out."""
    lines = [_yaml({"base_model": base.hub_id, "base_model_relation": "adapter"})] if base.hub_id else []
    lines += [_BASE_MISSING[base.kind]] if not base.hub_id else []
    lines += [_yaml({"library_name": "peft", "pipeline_tag": "text-generation", "tags": list(TAGS)})]
    data_set = training.train.hub_id if training and training.train else None
    lines += [_yaml({"datasets": [data_set]})] if data_set else []
    lines += [_yaml({"license": training.license}) if training and training.license else _LICENSE_MISSING]
    return "\n".join(lines)


def render(template: str, **values: Any) -> str:
    """A template of this package, with its texts escaped for Markdown; the filter ``code`` is for those within code."""
    environment = Environment(
        loader=PackageLoader("clara_lightning.publishing"),
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = lambda text: Markup(one_line(str(text)).replace("`", "'"))
    return environment.get_template(template).render(**values)


def _shown(value: Any) -> Any:
    return inline(value) if type(value) is str else value  # a Markup is ready as it is


def _yaml(values: dict[str, Any]) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000).rstrip("\n")
