"""A linear layer with its LoRA update in one autograd function, in the dtype of the frozen weight.

PEFT's own layer computes the update in the adapters' dtype, float32, and lets autograd keep each of its parts: beside a
bfloat16 weight the update, of a hundredth of the operations, then takes as long as the layer itself. Here the update
is computed where the layer is, on bfloat16 copies of the float32 adapters, as autocast does it; the gradients of the
adapters are float32. Beside a float32 weight nothing is rounded anywhere.

Shapes: X positions, I inputs, O outputs, R rank.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from peft.tuners import lora
from torch import Tensor, nn


class LoraLinear(lora.Linear):
    """PEFT's layer, with a forward of its own where one plain adapter is active on a plain linear layer."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """As PEFT's; ``x`` is ``(..., I)``."""
        if self.disable_adapters and not self.merged:
            return cast(Tensor, self.base_layer(x, *args, **kwargs))
        base, active = self.base_layer, self.active_adapters
        plain = (
            len(active) == 1
            and active[0] in self.lora_A
            and active[0] not in self.lora_variant
            and not (args or kwargs or self.merged)
            and type(base) is nn.Linear
            and base.weight.dtype == x.dtype
            and not torch.is_autocast_enabled(x.device.type)
        )
        if not plain:
            return super().forward(x, *args, **kwargs)
        down, up = self.lora_A[active[0]], self.lora_B[active[0]]
        if down.bias is not None or up.bias is not None:
            return super().forward(x)
        dropout = self.lora_dropout[active[0]]
        share = dropout.p if isinstance(dropout, nn.Dropout) and dropout.training else 0.0
        flat_XI = x.reshape(-1, x.shape[-1])
        scale = float(self.scaling[active[0]])
        y_XO = _LoraLinear.apply(flat_XI, base.weight, base.bias, down.weight, up.weight, scale, share)
        return y_XO.view(*x.shape[:-1], -1)


class _LoraLinear(torch.autograd.Function):
    """``x W' + b + scale (dropout(x) A') B'``; the weight and the bias are frozen."""

    @staticmethod
    def forward(
        ctx: Any,
        x_XI: Tensor,
        weight_OI: Tensor,
        bias_O: Tensor | None,
        down_RI: Tensor,
        up_OR: Tensor,
        scale: float,
        dropout: float,
    ) -> Tensor:
        scale /= 1.0 - dropout  # of what is kept
        down, up = down_RI.to(x_XI.dtype), (up_OR * scale).to(x_XI.dtype)
        keep_XI = keep_mask(x_XI, 1.0 - dropout) if dropout else None
        hidden_XR = _kept(x_XI, keep_XI) @ down.t()
        y_XO = F.linear(x_XI, weight_OI, bias_O)
        torch.addmm(y_XO, hidden_XR, up.t(), out=y_XO)
        ctx.save_for_backward(x_XI, weight_OI, down_RI, up_OR, hidden_XR, keep_XI)
        ctx.scale = scale
        return y_XO

    @staticmethod
    def backward(ctx: Any, grad_XO: Tensor) -> Any:
        x_XI, weight_OI, down_RI, up_OR, hidden_XR, keep_XI = ctx.saved_tensors
        down, up = down_RI.to(x_XI.dtype), (up_OR * ctx.scale).to(x_XI.dtype)
        hidden_grad_XR = grad_XO @ up
        x_grad_XI = down_grad_RI = up_grad_OR = None
        if ctx.needs_input_grad[0]:
            x_grad_XI = grad_XO @ weight_OI
            if keep_XI is None:
                torch.addmm(x_grad_XI, hidden_grad_XR, down, out=x_grad_XI)
            else:
                x_grad_XI += _kept(hidden_grad_XR @ down, keep_XI)
        if ctx.needs_input_grad[3]:
            down_grad_RI = (hidden_grad_XR.t() @ _kept(x_XI, keep_XI)).to(down_RI.dtype)
        if ctx.needs_input_grad[4]:
            up_grad_OR = (grad_XO.t() @ hidden_XR).to(up_OR.dtype) * ctx.scale
        return x_grad_XI, None, None, down_grad_RI, up_grad_OR, None, None


def keep_mask(like: Tensor, share: float) -> Tensor:
    """True with probability ``share``, drawn from torch's generator, in the shape of ``like``.

    On a CPU each draw of 64 bits decides four values, to one part in 65536: drawing is what dropout costs there.
    """
    if like.device.type != "cpu":
        return torch.empty_like(like, dtype=torch.bool).bernoulli_(share)
    draws = torch.empty(-(-like.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    limit = min(round(share * 65536), 65535) - 32768
    return (draws.view(torch.int16)[: like.numel()] < limit).view(like.shape)


def _kept(x_XI: Tensor, keep_XI: Tensor | None) -> Tensor:
    """Zeros where nothing is kept; a product with numbers is several times as fast as with truth values."""
    return x_XI if keep_XI is None else x_XI * keep_XI.view(torch.uint8).to(x_XI.dtype)
