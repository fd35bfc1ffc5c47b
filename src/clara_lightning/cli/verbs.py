"""The verbs that do not train, by name."""

from __future__ import annotations

from clara_lightning.cli import asking, evaluating, preparing, synthesizing

VERBS = {verb.name: verb for verb in (*asking.VERBS, *evaluating.VERBS, *preparing.VERBS, *synthesizing.VERBS)}
