"""Which pixel size counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from her2qp.errors import PixelSizeError
from her2qp.slides import open_slide, resolve_mpp


@pytest.mark.parametrize(
    ("project", "file", "override", "expected"),
    [
        ((0.25, 0.25), (0.5, 0.5), None, 0.25),
        ((0.25, 0.25), (352.8, 352.8), None, 0.25),
        ((None, None), (0.5, 0.5), None, 0.5),
        (None, (0.499, 0.499), None, 0.499),
        ((0.25, 0.25), (0.5, 0.5), 0.3, 0.3),
        ((0.25, 9.0), None, 0.3, 0.3),
        ((0.25, 0.252), None, None, (0.25 * 0.252) ** 0.5),
    ],
)
def test_the_user_beats_the_project_beats_the_file(
    project: tuple[float | None, float | None] | None,
    file: tuple[float, float] | None,
    override: float | None,
    expected: float,
) -> None:
    assert resolve_mpp(project, file, override, where="image") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("project", "file", "override", "said"),
    [
        (None, None, None, "neither"),
        ((None, None), None, None, "neither"),
        ((0.25, None), (0.25, 0.25), None, "only one side"),
        ((0.25, 0.253), None, None, "not square.*0.25 x 0.253"),
        (None, (352.78, 352.78), None, "slide file cannot be right.*352.8"),
        ((0.01, 0.01), (0.25, 0.25), None, "QuPath project cannot be right.*0.01"),
        ((float("nan"), float("nan")), None, None, "cannot be right.*nan"),
        ((0.25, 0.25), None, 25.0, "--mpp cannot be right.*25"),
        (None, None, float("inf"), "--mpp cannot be right.*inf"),
    ],
)
def test_an_absurd_pixel_size_names_its_value_and_the_way_out(
    project: tuple[float | None, float | None] | None,
    file: tuple[float, float] | None,
    override: float | None,
    said: str,
) -> None:
    with pytest.raises(PixelSizeError, match=f"case 7.*{said}.*--mpp") as raised:
        resolve_mpp(project, file, override, where="case 7")
    assert raised.value.where == "case 7"


def test_real_fields_with_wrong_tags_are_refused(shared: Path) -> None:
    for path in sorted((shared / "data" / "brca_tiles").glob("*.tif")):
        with open_slide(path) as slide, pytest.raises(PixelSizeError, match="--mpp"):
            resolve_mpp(None, slide.mpp, None, where=path.name)
