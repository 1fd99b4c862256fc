"""What a server builder shows of its slide file: QuPath's images that crop, turn, mirror or reorder another image.

Builders are wrapped in each other; the innermost, of type ``uri``, names the file. What moves whole pixels can be
followed exactly and becomes a :class:`~her2qp.slides.view.SlideView`. What makes pixels anew is refused, and said why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from her2qp.errors import UnsupportedServerError
from her2qp.qupath.serverbuilder import builder_size
from her2qp.slides.view import Crop, Flip, Reorder, SlideView, Step, Turn

_MAX_WRAPPERS = 32
"""Builders within builders that are believed; a person nests two or three."""

_TURNS = {"ROTATE_NONE": 0, "ROTATE_90": 1, "ROTATE_180": 2, "ROTATE_270": 3}
_TURNS_SHOWN = {
    "No rotation": "ROTATE_NONE",
    "Rotate 90": "ROTATE_90",
    "Rotate 180": "ROTATE_180",
    "Rotate 270": "ROTATE_270",
}
"""What QuPath's import window writes instead."""
_FLIPS = {"NONE": (False, False), "HORIZONTAL": (True, False), "VERTICAL": (False, True), "BOTH": (True, True)}

_REFUSED = {
    "affine": "by an affine transformation, which makes its pixels anew",
    "channels": "with the channels of several images put together",
    "color": "with its colours computed anew",
    "color_deconvolved": "as separated stains",
    "normalized": "with its colours normalized",
    "sliced": "as a choice of its slices or time points",
    "sparse": "as a patchwork of several images",
    "typeConvert": "with its pixels converted to another type",
    "z_concatenated": "as a stack of several images",
    "z_projected": "as a projection of its slices",
}
"""Types of builder that are known and cannot be followed; the words go on from "the image is shown"."""

_PLACING_OPTIONS = {
    "--bfOptions": "options of Bio-Formats that may place pixels anew",
    "--dims": "its dimensions in another order",
}


def slide_view(builder: object) -> SlideView:
    """What a server builder shows of the slide file that it names.

    Parameters
    ----------
    builder
        ``serverBuilder`` of an image entry.

    Raises
    ------
    UnsupportedServerError
        Its pixels cannot be placed in QuPath's coordinates.
    """
    steps: list[Step] = []
    for _ in range(_MAX_WRAPPERS):
        if not isinstance(builder, Mapping):
            break
        kind = str(builder.get("builderType"))
        if kind == "uri":
            series, own_steps = _read_arguments(builder)
            return SlideView((*own_steps, *reversed(steps)), series, builder_size(builder))
        if kind not in _STEPS:
            how = _REFUSED.get(kind, f"through a {kind!r} server builder, which is not known")
            raise UnsupportedServerError(f"the image is shown {how}; its pixels cannot be placed on the slide file")
        steps.extend(_STEPS[kind](builder))
        builder = builder.get("builder")
    raise UnsupportedServerError("the image entry has no server builder that names a slide file")


def why_unsupported(builder: object) -> str | None:
    """Why pixels behind a builder cannot be placed in QuPath's coordinates; None if they can."""
    try:
        slide_view(builder)
    except UnsupportedServerError as error:
        return error.what
    return None


def _crop(builder: Mapping[str, Any]) -> list[Step]:
    region = builder.get("region")
    sides = [region.get(name) for name in ("x", "y", "width", "height")] if isinstance(region, Mapping) else []
    x, y, width, height = (side if type(side) is int else -1 for side in sides or (None,) * 4)
    if min(x, y) < 0 or min(width, height) < 1:
        raise UnsupportedServerError(f"the image is cropped to a region that makes no sense ({region})")
    return [Crop(x, y, width, height)]


def _turn(builder: Mapping[str, Any]) -> list[Step]:
    rotation = str(builder.get("rotation"))
    if rotation not in _TURNS:
        raise UnsupportedServerError(f"the image is rotated in a way that is not known ({rotation})")
    return [Turn(_TURNS[rotation])]


def _flip(builder: Mapping[str, Any]) -> list[Step]:
    flip = str(builder.get("flip"))
    if flip not in _FLIPS:
        raise UnsupportedServerError(f"the image is flipped in a way that is not known ({flip})")
    return [Flip(*_FLIPS[flip])]


def _reorder(builder: Mapping[str, Any]) -> list[Step]:
    order = str(builder.get("order"))
    if sorted(order) != sorted("RGB"):
        raise UnsupportedServerError(f"the colours of the image are in an order that makes no sense ({order})")
    return [Reorder(order)]


def _pyramid(builder: Mapping[str, Any]) -> list[Step]:
    """Smaller levels that QuPath computes: level 0, which all coordinates refer to, is the file's."""
    return []


_STEPS: dict[str, Callable[[Mapping[str, Any]], list[Step]]] = {
    "cropped": _crop,
    "rotated": _turn,
    "flipped": _flip,
    "swapRedBlue": _reorder,
    "pyramidize": _pyramid,
}


def _read_arguments(builder: Mapping[str, Any]) -> tuple[int, list[Step]]:
    """Series and steps that a plain builder's arguments ask for.

    ``--rotate`` and ``--order`` count only where no provider is named: QuPath wraps the image for them otherwise, and
    leaves the arguments behind. ``--no-crop`` and ``--icc-profile`` move no pixel.
    """
    if not isinstance(builder.get("uri"), str):
        raise UnsupportedServerError("the server builder of the image has no URI")
    args = builder.get("args") or []
    if not isinstance(args, Sequence) or isinstance(args, str) or not all(isinstance(word, str) for word in args):
        raise UnsupportedServerError(f"the image is opened with arguments that make no sense ({args})")
    given = _values_of(args)
    for option, what in _PLACING_OPTIONS.items():
        if option in given:
            raise UnsupportedServerError(f"the image is opened with {what} ({option} {given[option]})")
    series = given.get("--series", given.get("-s"))
    if series is None and ("--name" in given or "-n" in given):
        raise UnsupportedServerError("the image is one of several in its file and chosen by name")
    if series is not None and not (series.isascii() and series.isdecimal() and len(series) < 10):
        raise UnsupportedServerError(f"the image is opened as a series that is no number ({series})")
    steps: list[Step] = []
    if builder.get("providerClassName") is None:
        if "--rotate" in given:
            rotation = given["--rotate"]
            steps += _turn({"rotation": _TURNS_SHOWN.get(rotation, rotation)})
        if "--order" in given:
            steps += _reorder({"order": given["--order"].strip().upper()})
    return int(series or 0), steps


def _values_of(args: Sequence[str]) -> dict[str, str]:
    """Each argument with the word that follows it, or that comes after its equals sign."""
    given = {}
    for word, following in zip_longest(args, args[1:], fillvalue=""):
        name, equals, value = word.partition("=")
        given[name] = value if equals else following
    return given
