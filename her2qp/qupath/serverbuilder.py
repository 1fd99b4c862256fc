"""Server builders: what a project says about how to open an image, and how large it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from her2qp.qupath.calibration import MICROMETRE
from her2qp.qupath.classes import pack_rgb
from her2qp.qupath.uris import file_uri

OPENSLIDE_PROVIDER = "qupath.lib.images.servers.openslide.OpenslideServerBuilder"

_RGB_CHANNELS = (("Red", pack_rgb(255, 0, 0)), ("Green", pack_rgb(0, 255, 0)), ("Blue", pack_rgb(0, 0, 255)))


def nested_uri_builders(builder: object) -> Iterator[dict[str, Any]]:
    """Every plain ``uri`` builder inside a builder, outermost first, whatever wraps it."""
    stack = [builder]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if item.get("builderType") == "uri" and isinstance(item.get("uri"), str):
                yield item
            else:
                stack.extend(reversed(list(item.values())))
        elif isinstance(item, list):
            stack.extend(reversed(item))


def with_uris(builder: Any, new_uri: Callable[[str], str]) -> Any:
    """Copy of a builder with the URI of every nested plain builder mapped."""
    if isinstance(builder, list):
        return [with_uris(item, new_uri) for item in builder]
    if not isinstance(builder, dict):
        return builder
    if builder.get("builderType") == "uri" and isinstance(builder.get("uri"), str):
        return {**builder, "uri": new_uri(builder["uri"])}
    return {key: with_uris(item, new_uri) for key, item in builder.items()}


def builder_size(builder: object) -> tuple[int, int] | None:
    """Width and height in pixels at full resolution, where the builder's metadata says so."""
    metadata = builder.get("metadata") if isinstance(builder, Mapping) else None
    if not isinstance(metadata, Mapping):
        return None
    width, height = metadata.get("width"), metadata.get("height")
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        return width, height
    return None


def new_uri_builder(
    slide_path: Path,
    *,
    name: str,
    size: tuple[int, int] | None,
    mpp: tuple[float, float] | None,
    levels: Sequence[tuple[int, int]],
    magnification: float | None,
    tile_size: tuple[int, int],
) -> dict[str, Any]:
    """Builder of a brightfield RGB slide that QuPath opens with OpenSlide.

    Parameters
    ----------
    slide_path
        The slide file.
    name
        Name of the image; the same as the entry's, so that QuPath 0.6 need not open the slide to read objects.
    size
        Width and height at full resolution. None leaves the whole metadata to QuPath.
    mpp
        Pixel width and height in µm.
    levels
        Width and height of every pyramid level, full resolution first. Must be those of the file: QuPath trusts them.
    magnification
        Of the objective.
    tile_size
        Width and height of the tiles in the file.
    """
    builder: dict[str, Any] = {
        "builderType": "uri",
        "providerClassName": OPENSLIDE_PROVIDER,
        "uri": file_uri(slide_path),
        "args": [],
    }
    if size is not None:
        builder["metadata"] = _rgb_metadata(name, size, mpp, levels or [size], magnification, tile_size)
    return builder


def _rgb_metadata(
    name: str,
    size: tuple[int, int],
    mpp: tuple[float, float] | None,
    levels: Sequence[tuple[int, int]],
    magnification: float | None,
    tile_size: tuple[int, int],
) -> dict[str, Any]:
    """What QuPath would record about an RGB image with one plane, in its order."""
    unit = "px" if mpp is None else MICROMETRE
    pixel_width, pixel_height = mpp or (1.0, 1.0)
    metadata: dict[str, Any] = {
        "name": name,
        "width": size[0],
        "height": size[1],
        "sizeZ": 1,
        "sizeT": 1,
        "channelType": "DEFAULT",
        "isRGB": True,
        "pixelType": "UINT8",
        "levels": [
            {"downsample": (size[0] / width + size[1] / height) / 2, "width": width, "height": height}
            for width, height in levels
        ],
        "channels": [{"name": channel, "color": color} for channel, color in _RGB_CHANNELS],
        "pixelCalibration": {
            "pixelWidth": {"value": float(pixel_width), "unit": unit},
            "pixelHeight": {"value": float(pixel_height), "unit": unit},
            "zSpacing": {"value": 1.0, "unit": "z-slice"},
            "timeUnit": "SECONDS",
            "timepoints": [],
        },
    }
    if magnification is not None:
        metadata["magnification"] = float(magnification)
    metadata["preferredTileWidth"], metadata["preferredTileHeight"] = tile_size
    return metadata
