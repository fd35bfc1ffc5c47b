"""The verbs that do not train, by name."""

from __future__ import annotations

from clara_lightning.cli import asking, data_files, evaluating, preparing, publishing, storing, synthesizing

VERBS = {
    verb.name: verb
    for verb in (
        *asking.VERBS,
        *evaluating.VERBS,
        *preparing.VERBS,
        *data_files.VERBS,
        *synthesizing.VERBS,
        *storing.VERBS,
        *publishing.VERBS,
    )
}
