"""Which server builders can be followed to the pixels of a slide file, and what each of them shows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from her2qp.errors import UnsupportedServerError
from her2qp.qupath.serverview import slide_view, why_unsupported
from her2qp.slides.view import Crop, Flip, Reorder, SlideView, Turn

OPENSLIDE = "qupath.lib.images.servers.openslide.OpenslideServerBuilder"
BIOFORMATS = "qupath.lib.images.servers.bioformats.BioFormatsServerBuilder"
PLAIN = {
    "builderType": "uri",
    "providerClassName": OPENSLIDE,
    "uri": "file:/a.svs",
    "args": [],
    "metadata": {"width": 2220, "height": 2967},
}


def opened(*args: str, provider: str | None = BIOFORMATS) -> dict[str, Any]:
    return {**PLAIN, "providerClassName": provider, "args": list(args)}


def wrapped(kind: str, builder: object = PLAIN, **fields: object) -> dict[str, Any]:
    """As QuPath writes it: the wrapped builder, the wrapper's own fields, the metadata of what comes out."""
    return {"builderType": kind, "builder": builder, **fields, "metadata": {"width": 1, "height": 1}}


def cropped(builder: object = PLAIN, **region: object) -> dict[str, Any]:
    return wrapped("cropped", builder, region={"x": 301, "y": 205, "width": 1403, "height": 1102, "z": 0, **region})


@pytest.mark.parametrize(
    ("builder", "steps"),
    [
        (PLAIN, ()),
        ({"builderType": "uri", "uri": "file:/a"}, ()),
        (cropped(), (Crop(301, 205, 1403, 1102),)),
        (wrapped("rotated", rotation="ROTATE_NONE"), (Turn(0),)),
        (wrapped("rotated", rotation="ROTATE_90"), (Turn(1),)),
        (wrapped("rotated", cropped(), rotation="ROTATE_270"), (Crop(301, 205, 1403, 1102), Turn(3))),
        (cropped(wrapped("rotated", rotation="ROTATE_180")), (Turn(2), Crop(301, 205, 1403, 1102))),
        (wrapped("flipped", flip="HORIZONTAL"), (Flip(across=True, down=False),)),
        (wrapped("flipped", flip="VERTICAL"), (Flip(across=False, down=True),)),
        (wrapped("swapRedBlue", order="BGR"), (Reorder("BGR"),)),
        (wrapped("pyramidize"), ()),
        (opened("--no-crop", "--icc-profile", provider=OPENSLIDE), ()),
        (opened("--rotate", "ROTATE_90", "--order", "BGR"), ()),
        (opened("--rotate", "ROTATE_90", "--order", "bgr", provider=None), (Turn(1), Reorder("BGR"))),
        (opened("--rotate", "Rotate 180", provider=None), (Turn(2),)),
    ],
)
def test_what_moves_whole_pixels_is_followed(builder: dict[str, Any], steps: tuple[object, ...]) -> None:
    view = slide_view(builder)
    assert view.steps == steps
    assert view.series == 0
    assert view.file_size in ((2220, 2967), None)


@pytest.mark.parametrize("args", [("--series", "2"), ("--series=2",), ("-s", "2"), ("--name", "x", "--series", "2")])
def test_the_series_is_that_of_the_arguments(args: tuple[str, ...]) -> None:
    assert slide_view(opened(*args)) == SlideView(series=2, file_size=(2220, 2967))


def nested(depth: int) -> object:
    builder: object = PLAIN
    for _ in range(depth):
        builder = wrapped("rotated", builder, rotation="ROTATE_90")
    return builder


@pytest.mark.parametrize(
    ("builder", "reason"),
    [
        (wrapped("affine", transform={"m00": 2.0}), "affine"),
        (wrapped("channels", channels=[]), "channels of several images"),
        (wrapped("sparse", regions=[]), "patchwork"),
        (wrapped("rotated", wrapped("normalized"), rotation="ROTATE_90"), "normalized"),
        (wrapped("hologram"), "'hologram' server builder, which is not known"),
        (cropped(x=-1), "region that makes no sense"),
        (cropped(width=0), "region that makes no sense"),
        (cropped(height=1.5), "region that makes no sense"),
        (wrapped("cropped"), "region that makes no sense"),
        (wrapped("rotated", rotation="ROTATE_45"), "ROTATE_45"),
        (wrapped("rotated"), "rotated in a way"),
        (wrapped("flipped", flip=None), "flipped in a way"),
        (wrapped("swapRedBlue", order="RRB"), "RRB"),
        (wrapped("rotated", None, rotation="ROTATE_90"), "no server builder"),
        (nested(1000), "no server builder"),
        (opened("--series", "two"), "no number"),
        (opened("--series", "-1"), "no number"),
        (opened("--name", "macro"), "chosen by name"),
        (opened("--dims", "XYZCT"), "--dims XYZCT"),
        (opened("--bfOptions", "zeissczi.autostitch=false"), "options of Bio-Formats"),
        (opened("--rotate", "sideways", provider=None), "sideways"),
        ({**PLAIN, "args": "--series"}, "arguments that make no sense"),
        ({**PLAIN, "args": [1]}, "arguments that make no sense"),
        ({"builderType": "uri"}, "no URI"),
        ({}, "not known"),
        (None, "no server builder"),
        ("x", "no server builder"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_the_reason(builder: object, reason: str) -> None:
    assert reason in str(why_unsupported(builder))


leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["--series", "3", "RGB", "ROTATE_90"])
)
kinds = st.sampled_from(["uri", "cropped", "rotated", "flipped", "swapRedBlue", "pyramidize", "affine"])
fields = ("builder", "region", "rotation", "flip", "order", "uri", "args", "metadata", "x", "width")
builders = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.fixed_dictionaries({"builderType": kinds | inner}, optional=dict.fromkeys(fields, inner))
    ),
)


@given(builders)
def test_any_builder_is_followed_or_refused(builder: object) -> None:
    try:
        view = slide_view(builder)
    except UnsupportedServerError:
        assert why_unsupported(builder)
    else:
        assert view.series >= 0
