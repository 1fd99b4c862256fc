"""Where half precision is not enough."""

from __future__ import annotations

import torch
from torch import Tensor


def full_precision(tensor: Tensor) -> torch.autocast:
    """Where autocast is on, switch it off for a while; on the device of this tensor."""
    return torch.autocast(tensor.device.type, enabled=False)
