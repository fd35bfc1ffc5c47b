#!/bin/bash
# The same command on every node, without a scheduler; torchrun starts a process per GPU.
#
#   bash configs/launch/torchrun.sh NODES THIS_NODE FIRST_NODES_ADDRESS --config configs/compressor.yaml \
#       --config configs/hardware/ddp.yaml
#
# On one node: bash configs/launch/torchrun.sh 1 0 localhost --config ... ; DEVICES sets the processes of a node (8).
set -euo pipefail
nodes=$1 rank=$2 address=$3
shift 3
torchrun --nnodes "$nodes" --node-rank "$rank" --nproc-per-node "${DEVICES:-8}" \
    --master-addr "$address" --master-port "${PORT:-29500}" \
    -m clara_lightning fit "$@" --trainer.num_nodes "$nodes" --trainer.devices "${DEVICES:-8}" --ckpt_path last
