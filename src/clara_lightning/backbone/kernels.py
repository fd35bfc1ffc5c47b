"""Norms and gated MLPs of the frozen backbone, with as few passes over memory as torch's own operations allow.

What transformers writes down step by step keeps every step for the gradient, in float32 for norms. Here each is one
autograd function that keeps its inputs. A module gets such a forward only where a trial gives the very same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

Forward = Callable[[Tensor], Tensor]


@torch.no_grad()
def quicken(model: PreTrainedModel, *, has_values: bool = True) -> None:
    """Give the model's RMS norms and SiLU-gated MLPs the forwards of this file, where those compute the same.

    Args:
        model: a frozen causal LM, with its adapters.
        has_values: whether outcomes can be compared; without values every module that looks right gets them.
    """
    exact: dict[type[nn.Module], bool] = {}  # layers of one class compute the same
    for module in model.modules():
        forward = _rms_norm_of(module) or _gated_mlp_of(module)
        if forward is None:
            continue
        kind = type(module)
        if kind not in exact:
            exact[kind] = not has_values or _is_exact(module, forward, dtype=model.dtype, device=model.device)
        if exact[kind]:
            module.forward = forward


def _rms_norm_of(module: nn.Module) -> Forward | None:
    """A forward for what looks like an RMS norm."""
    weight = getattr(module, "weight", None)
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if not type(module).__name__.endswith("RMSNorm") or not isinstance(weight, nn.Parameter) or epsilon is None:
        return None
    return partial(_rms_norm, module, float(epsilon))


def _rms_norm(module: Any, epsilon: float, hidden_states: Tensor) -> Tensor:
    return _RmsNorm.apply(hidden_states, module.weight, epsilon)  # type: ignore[no-any-return, no-untyped-call]


def _gated_mlp_of(module: nn.Module) -> Forward | None:
    """A forward for what looks like an MLP that is gated by a SiLU."""
    parts = {name for name, _ in module.named_children()}
    if parts != {"gate_proj", "up_proj", "down_proj", "act_fn"} or "SiLU" not in type(module.act_fn).__name__:
        return None
    return partial(_gated_mlp, module)


def _gated_mlp(module: Any, x: Tensor) -> Tensor:
    gated = _SwiGlu.apply(module.gate_proj(x), module.up_proj(x))  # type: ignore[no-untyped-call]
    return module.down_proj(gated)  # type: ignore[no-any-return]


def _is_exact(module: Any, forward: Forward, *, dtype: torch.dtype, device: torch.device) -> bool:
    # Not by the shape of an MLP's weight, which may be packed.
    width = module.gate_proj.in_features if hasattr(module, "gate_proj") else module.weight.shape[-1]
    x = torch.randn(1, 3, width, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    was_training = module.training
    module.eval()
    try:
        return torch.equal(forward(x), module(x))
    except Exception:  # of other shapes than it looked like, or packed for another device: it keeps its own forward
        return False
    finally:
        module.train(was_training)


class _RmsNorm(torch.autograd.Function):
    """``weight * (x / rms(x))``, the quotient in float32 and rounded before the frozen weight is applied."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        wide = x.to(torch.float32)
        inverse = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
        ctx.save_for_backward(x, weight, inverse)
        return weight * (wide * inverse).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, inverse = ctx.saved_tensors
        normed = x.to(torch.float32) * inverse
        wide = (grad * weight).to(torch.float32)
        inner = (wide * normed).mean(-1, keepdim=True)
        return wide.sub_(normed.mul_(inner)).mul_(inverse).to(x.dtype), None, None


class _SwiGlu(torch.autograd.Function):
    """``silu(gate) * up``."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(grad * up, gate), F.silu(gate).mul_(grad)
