#!/bin/bash
# A SLURM job that survives preemption: two nodes with eight GPUs each.
#
#   sbatch configs/launch/slurm.sh --config configs/compressor.yaml --config configs/hardware/ddp.yaml
#
# 120 s before the job's time is over, or when it is preempted, SLURM sends SIGUSR1 or SIGTERM. clara ends the step in
# work, saves, and puts the job back into the queue (preemption.requeue); it then goes on with --ckpt_path last, which
# starts from the beginning where nothing was saved yet. Not run on a cluster.
#
#SBATCH --job-name=clara
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=SIGUSR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=clara-%j.log
set -euo pipefail
source .venv/bin/activate
srun clara fit "$@" --trainer.num_nodes "$SLURM_NNODES" --trainer.devices 8 --ckpt_path last
