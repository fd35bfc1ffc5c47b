"""Objectives: top-k estimators, scores, losses and metrics as pure functions with thin layers over them.

Import from the files (``clara_lightning.objectives.answers`` needs neither torch nor torchmetrics).
"""
