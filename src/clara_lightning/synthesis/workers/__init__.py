"""Documents to outcomes in several processes: of this machine, or of a Ray cluster."""

from clara_lightning.synthesis.workers.cluster import in_ray
from clara_lightning.synthesis.workers.processes import in_processes
from clara_lightning.synthesis.workers.work import Work, WorkFactory

__all__ = ["Work", "WorkFactory", "in_processes", "in_ray"]
