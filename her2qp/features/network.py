"""From pixels to features in one graph: cast, resample, normalise, network.

The whole preprocessing is part of the network, so every runtime is handed the same bytes (uint8, as read from the
slide) and no runtime can differ from another by its preprocessing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from her2qp.features.info import ExtractorInfo


class TileNetwork(nn.Module):
    """A network that takes tiles as they come from the slide.

    Parameters
    ----------
    info
        Gives normalisation and sizes.
    backbone
        Maps normalised float32 images (n, 3, side, side) to features (n, dimension).
    """

    scale: Tensor
    offset: Tensor
    resampling: Tensor | None

    def __init__(self, info: ExtractorInfo, backbone: nn.Module) -> None:
        super().__init__()
        mean, std = torch.tensor(info.mean), torch.tensor(info.std)
        self.register_buffer("scale", (1.0 / (255.0 * std)).view(1, 3, 1, 1))
        self.register_buffer("offset", (-mean / std).view(1, 3, 1, 1))
        resized = info.input_px is not None and info.input_px != info.tile_px
        self.register_buffer("resampling", _resampling_matrix(info.tile_px, info.input_px or 0) if resized else None)
        self.backbone = backbone

    def forward(self, tiles: Tensor) -> Tensor:
        """Features of tiles.

        Parameters
        ----------
        tiles
            uint8 (n, tile_px, tile_px, 3), RGB.

        Returns
        -------
        Tensor
            float32 (n, dimension).
        """
        images = tiles.permute(0, 3, 1, 2).to(torch.float32)
        if self.resampling is not None:
            # Image libraries resample to bytes; rounding here keeps to what the network was trained on.
            images = (self.resampling @ images @ self.resampling.T).round().clamp(0.0, 255.0)
        features: Tensor = self.backbone(images * self.scale + self.offset)
        return features


def _resampling_matrix(side: int, new_side: int) -> Tensor:
    """Weights (new_side, side) of antialiased bicubic resampling along one axis.

    Resampling is linear and separable, so PyTorch's own resampling of the identity gives its matrix; two matrix
    products then do in any runtime what few runtimes have as an operator.
    """
    identity = torch.eye(side).view(1, 1, side, side)
    columns = functional.interpolate(identity, size=(new_side, side), mode="bicubic", antialias=True)
    return columns[0, 0]
