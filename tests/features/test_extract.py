"""Features of a slide: in the order of the tiles, at most once, and only from files that can be trusted."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from her2qp.errors import FeatureStoreError, SlideFormatError
from her2qp.features import Extractor, FeatureStore, extract, extract_features
from her2qp.features.feature_file import FeatureFile
from her2qp.features.info import ExtractorInfo
from her2qp.slides import Slide, open_slide
from her2qp.tiling import Tiles

COLOUR = ExtractorInfo("colour", 3, 256, 0.5, (0.5,) * 3, (0.5,) * 3, "1" * 64, "CC0-1.0", "The mean colour.")

MakeTiles = Callable[..., Tiles]


class CountingSlide(Slide):
    """A slide that counts the tiles that are read."""

    read = 0

    def read_tiles(self, bounds: NDArray[np.float64], tile_px: int) -> NDArray[np.uint8]:
        self.read += len(bounds)
        return super().read_tiles(bounds, tile_px)


@pytest.fixture
def slide(slide_file: Path) -> Iterator[CountingSlide]:
    opened = open_slide(slide_file)
    opened.__class__ = CountingSlide
    with opened as counting:
        yield counting


def mean_colour(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    return batch.mean(axis=(1, 2)).astype(np.float32)


@pytest.fixture
def colour() -> Extractor:
    """An extractor that can be recomputed by hand."""
    return Extractor(COLOUR, "eager", mean_colour, 5, "")


def by_hand(slide: Slide, tiles: Tiles) -> NDArray[np.float32]:
    regions = [slide.read_region(x0, y0, x1 - x0, y1 - y0, (256, 256)) for x0, y0, x1, y1 in tiles.bounds.tolist()]
    return np.stack([region.mean(axis=(0, 1)) for region in regions]).astype(np.float32)


def rows(tiles: Tiles, chosen: slice | NDArray[np.intp]) -> Tiles:
    columns = (tiles.bounds, tiles.region, tiles.region_fraction, tiles.tissue_fraction, tiles.grid)
    return Tiles(*(column[chosen] for column in columns))


def test_features_come_in_the_order_of_the_tiles(
    slide: CountingSlide, colour: Extractor, tiles_in_rows: MakeTiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract, "READ_TILES", 7)
    tiles = rows(tiles_in_rows(8, 6, 128.0), np.random.default_rng(0).permutation(48))
    finished: list[int] = []
    features = extract_features(slide, tiles, colour, progress=finished.append).features
    np.testing.assert_allclose(features, by_hand(slide, tiles), rtol=1e-5)
    assert features.dtype == np.float32 and sum(finished) == 48


def test_no_tiles(slide: CountingSlide, colour: Extractor, tiles_in_rows: MakeTiles, tmp_path: Path) -> None:
    features = extract_features(slide, tiles_in_rows(0, 0), colour, FeatureStore(tmp_path / "store")).features
    assert features.shape == (0, 3) and slide.read == 0


def test_reading_never_runs_far_ahead(
    slide: CountingSlide, tiles_in_rows: MakeTiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract, "READ_TILES", 5)
    done, ahead = 0, []

    def run(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        nonlocal done
        done += len(batch)
        ahead.append(slide.read - done)
        return mean_colour(batch)

    extract_features(slide, tiles_in_rows(8, 10, 64.0), Extractor(COLOUR, "eager", run, 5, ""))
    assert max(ahead) <= 5 * extract.READ_AHEAD


def test_damage_in_the_slide_is_told(slide: CountingSlide, colour: Extractor, tiles_in_rows: MakeTiles) -> None:
    damaged = slide.path
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    with pytest.raises(SlideFormatError):
        extract_features(slide, tiles_in_rows(4, 3), colour)


def test_a_second_run_reads_no_pixel(
    slide: CountingSlide, colour: Extractor, tiles_in_rows: MakeTiles, tmp_path: Path
) -> None:
    store, tiles = FeatureStore(tmp_path / "store"), tiles_in_rows(4, 3)
    first = extract_features(slide, tiles, colour, store).features
    assert slide.read == 12
    finished: list[int] = []
    np.testing.assert_array_equal(extract_features(slide, tiles, colour, store, finished.append).features, first)
    assert slide.read == 12 and sum(finished) == 12


def test_only_new_tiles_are_read(
    slide: CountingSlide, colour: Extractor, tiles_in_rows: MakeTiles, tmp_path: Path
) -> None:
    store, tiles = FeatureStore(tmp_path / "store"), tiles_in_rows(4, 3)
    extract_features(slide, rows(tiles, slice(5, 9)), colour, store)
    assert slide.read == 4
    np.testing.assert_allclose(extract_features(slide, tiles, colour, store).features, by_hand(slide, tiles), rtol=1e-5)
    assert slide.read == 12
    shuffled = rows(tiles, np.random.default_rng(1).permutation(12))
    np.testing.assert_allclose(
        extract_features(slide, shuffled, colour, store).features, by_hand(slide, shuffled), rtol=1e-5
    )
    assert slide.read == 12


@pytest.mark.parametrize("change", ["slide", "time", "weights", "normalisation", "side"])
def test_features_of_something_else_are_not_used(
    slide: CountingSlide, colour: Extractor, tiles_in_rows: MakeTiles, tmp_path: Path, change: str
) -> None:
    store, tiles = FeatureStore(tmp_path / "store"), tiles_in_rows(4, 3)
    extract_features(slide, tiles, colour, store)
    if change == "slide":
        status = slide.path.stat()
        with slide.path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\x55")
        os.utime(slide.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "time":
        os.utime(slide.path, (1e9, 1e9))
    elif change == "side":
        tiles = tiles_in_rows(4, 3, 200.0)
    else:
        changed = {"weights": {"weights_sha256": "2" * 64}, "normalisation": {"mean": (0.4,) * 3}}[change]
        colour = Extractor(replace(COLOUR, **changed), "eager", mean_colour, 5, "")
    extract_features(slide, tiles, colour, store)
    assert slide.read == 24


@pytest.mark.parametrize("damage", ["empty", "text", "half", "one bit"])
def test_a_damaged_file_costs_a_warning_and_is_made_again(
    slide: CountingSlide,
    colour: Extractor,
    tiles_in_rows: MakeTiles,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    store, tiles = FeatureStore(tmp_path / "store"), tiles_in_rows(4, 3)
    expected = extract_features(slide, tiles, colour, store).features
    path = store.path(slide, COLOUR, tiles.bounds)
    if damage == "one bit":
        with h5py.File(path, "r+") as file:
            file["features"][3, 1] += 1.0
    else:
        whole = path.read_bytes()
        path.write_bytes({"empty": b"", "text": b"features\n" * 99, "half": whole[: len(whole) // 2]}[damage])
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(extract_features(slide, tiles, colour, store).features, expected)
    assert "damaged" in caplog.text and str(path) in caplog.text
    extract_features(slide, tiles, colour, store)
    assert slide.read == 24


def test_a_file_that_claims_more_than_it_holds_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update({"her2qp_key": "k", "her2qp_checksum": "c"})
        file.create_dataset("features", shape=(1 << 40, 3), dtype="f4", chunks=(256, 3))
        file.create_dataset("bounds", shape=(1 << 40, 4), dtype="f8", chunks=(256, 4))
    with pytest.raises(FeatureStoreError, match="damaged"):
        FeatureFile.read(path)


def test_a_store_that_cannot_be_written_costs_a_warning(
    slide: CountingSlide, colour: Extractor, tiles_in_rows: MakeTiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    features = extract_features(slide, tiles_in_rows(4, 3), colour, FeatureStore(tmp_path / "store")).features
    assert len(features) == 12 and "cannot be kept" in caplog.text


def test_the_file_has_tridents_layout(
    slide: CountingSlide, colour: Extractor, tiles_in_rows: MakeTiles, tmp_path: Path
) -> None:
    store, tiles = FeatureStore(tmp_path), tiles_in_rows(4, 3, 250.4)
    features = extract_features(slide, tiles, colour, store).features
    path = store.path(slide, COLOUR, tiles.bounds)
    assert path.parent == tmp_path / "20x_256px" / "features_colour" and path.name.startswith("slide.")
    assert [file.suffix for file in path.parent.iterdir()] == [".h5"]
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["features"], features)
        np.testing.assert_array_equal(file["coords"], np.rint(tiles.bounds[:, :2]))
        assert file["coords"].dtype == np.int64 and file["features"].chunks[0] >= 256
        assert dict(file["features"].attrs)["encoder"] == "colour"
        attributes = dict(file["coords"].attrs)
    expected = {
        "name": "slide",
        "patch_size": 256,
        "patch_size_level0": 250,
        "level0_magnification": 20,
        "target_magnification": 20,
        "overlap": 0,
        "level0_width": 1024,
        "level0_height": 768,
        "savetodir": str(path.parent),
    }
    assert attributes == expected


def test_overlapping_tiles_say_so(
    slide: CountingSlide, colour: Extractor, tiles_in_rows: MakeTiles, tmp_path: Path
) -> None:
    tiles = tiles_in_rows(4, 3, 128.0)
    tiles.bounds[:, 2:] += 128.0
    store = FeatureStore(tmp_path)
    extract_features(slide, tiles, colour, store)
    with h5py.File(store.path(slide, COLOUR, tiles.bounds)) as file:
        assert file["coords"].attrs["overlap"] == 128
        assert file["coords"].attrs["patch_size_level0"] == 256


def test_the_default_extractor_end_to_end(
    slide: CountingSlide, eager: Extractor, tiles_in_rows: MakeTiles, tmp_path: Path
) -> None:
    tiles = tiles_in_rows(2, 3)
    features = extract_features(slide, tiles, eager, FeatureStore(tmp_path)).features
    pixels = slide.read_tiles(tiles.bounds, 256)
    np.testing.assert_array_equal(features, eager(pixels))
    np.testing.assert_array_equal(extract_features(slide, tiles, eager, FeatureStore(tmp_path)).features, features)
