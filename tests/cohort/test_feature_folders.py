"""Features of TRIDENT, CLAM and STAMP, in the units of each, and files that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from cohort.h5files import features_of, write_clam, write_stamp, write_trident

from her2qp.cohort import Cohort, CohortRow
from her2qp.cohort.bags import load_features
from her2qp.errors import CohortError, Her2qpError, ModelError
from her2qp.features import extractor_info

NAMES = ("a.x.svs", "b.svs")
COHORT = Cohort((CohortRow("P1", NAMES[0], "0"), CohortRow("P2", NAMES[1], "3+")), ("0", "1+", "2+", "3+"))


def steps(positions: np.ndarray) -> set[float]:
    return {float(step) for axis in positions.T for step in np.diff(np.unique(axis)).round(6)}


def test_trident_by_its_magnification_or_by_the_true_tile_size(tmp_path: Path) -> None:
    for k, stem in enumerate(("a.x", "b")):
        write_trident(tmp_path / f"{stem}.h5", features_of(5 + k, seed=k))
    found = load_features(COHORT, tmp_path)
    assert [len(bag) for bag in found.bags] == [5, 6] and [bag.name for bag in found.bags] == [*NAMES]
    np.testing.assert_array_equal(found.bags[1].features, features_of(6, seed=1))
    assert found.bags[0].tile_um == 128 and steps(found.bags[0].positions_um) == {128}
    assert found.bags[0].positions_um[0].tolist() == [1000 * 0.25 + 64, 2000 * 0.25 + 64]
    assert (found.features.extractor, found.features.dimension, found.features.tile_px, found.features.mpp) == (
        "uni_v1", 6, 256, 0.5,
    )  # fmt: skip
    truly = load_features(COHORT, tmp_path, tile_um=129.28).bags[0]
    assert truly.tile_um == pytest.approx(129.28) and steps(truly.positions_um) == {129.28}
    by_pixel = load_features(COHORT, tmp_path, mpp=0.2525).bags[0]
    np.testing.assert_allclose(by_pixel.positions_um, truly.positions_um)


@pytest.mark.parametrize("with_attributes", [True, False])
def test_clam_needs_to_be_told_the_tile_size(tmp_path: Path, with_attributes: bool) -> None:
    for stem in ("a.x", "b"):
        write_clam(tmp_path / "resnet50" / "h5_files" / f"{stem}.h5", features_of(6), with_attributes=with_attributes)
        write_clam(tmp_path / "resnet50" / "patches" / f"{stem}.h5", features_of(6))
    with pytest.raises(CohortError, match="CLAM file does not say how large a tile is in µm"):
        load_features(COHORT, tmp_path / "resnet50")
    found = load_features(COHORT, tmp_path / "resnet50", tile_um=128)
    assert found.bags[0].tile_um == 128 and steps(found.bags[0].positions_um) == {128}
    assert found.features.extractor == "resnet50" and found.features.mpp * found.features.tile_px == 128


def test_stamp_counts_in_micrometres(tmp_path: Path) -> None:
    for stem in ("a.x", "b"):
        write_stamp(tmp_path / f"{stem}.h5", features_of(6))
    found = load_features(COHORT, tmp_path)
    assert found.bags[0].tile_um == 256 and steps(found.bags[0].positions_um) == {256}
    assert found.bags[0].features.dtype == np.float32 and found.features.extractor == "ctranspath"
    assert found.features.mpp == pytest.approx(256 / 224) and "STAMP" in found.source


def test_the_extractor_that_the_user_names_makes_a_full_description(tmp_path: Path) -> None:
    info = extractor_info()
    for stem in ("a.x", "b"):
        write_trident(tmp_path / f"{stem}.h5", features_of(5, info.dimension), encoder="efficientnet")
    found = load_features(COHORT, tmp_path, extractor=info.id)
    assert found.features.preprocessing_sha256 == info.fingerprint and found.features.mean == info.mean
    write_trident(tmp_path / "b.h5", features_of(5, 7), encoder="efficientnet")
    write_trident(tmp_path / "a.x.h5", features_of(5, 7), encoder="efficientnet")
    with pytest.raises(CohortError, match=f"{info.id} cannot have made this: dimension 7, not {info.dimension}"):
        load_features(COHORT, tmp_path, extractor=info.id)


def spoil_nan(folder: Path) -> None:
    values = features_of(5)
    values[3, 2] = np.nan
    write_trident(folder / "b.h5", values)


def spoil_keys(folder: Path) -> None:
    with h5py.File(folder / "b.h5", "w") as file:
        file["patches"] = np.zeros(3)


def spoil_truncate(folder: Path) -> None:
    file = folder / "b.h5"
    file.write_bytes(file.read_bytes()[:300])


def spoil_claim(folder: Path) -> None:
    with h5py.File(folder / "b.h5", "w") as file:
        file.create_dataset("features", shape=(1 << 31, 1024), dtype="f4", chunks=(256, 1024))
        file["coords"] = np.zeros((3, 2), np.int64)


@pytest.mark.parametrize(
    ("spoil", "error", "sentence"),
    [
        (spoil_nan, ModelError, "b.svs: the features of 1 of 5 tiles are not finite"),
        (spoil_keys, CohortError, "no feature file of TRIDENT, CLAM, STAMP or her2qp: it holds patches"),
        (spoil_truncate, CohortError, "b.h5: the feature file cannot be read"),
        (spoil_claim, CohortError, "b.h5: the feature file cannot be read"),
        (lambda f: (f / "b.h5").unlink(), CohortError, "there is no feature file of slide b.svs"),
        (lambda f: write_trident(f / "b.h5", features_of(0)), CohortError, "the slide has no tile"),
        (lambda f: write_trident(f / "b.h5", features_of(5, 7)), CohortError, "different dimensions: 6 in a.x.h5, 7"),
        (lambda f: write_trident(f / "b.h5", features_of(5), encoder="plip"), CohortError, "extractors: uni_v1 in a"),
        (lambda f: write_stamp(f / "b.h5", features_of(5)), CohortError, "different extractors: uni_v1 in a.x.h5"),
        (lambda f: write_trident(f / "b.h5", features_of(5), target_magnification=10, patch_size_level0=1024),
         CohortError, "different sizes: 128 µm in a.x.svs, 256 µm in b.svs"),
    ],
)  # fmt: skip
def test_bad_features_get_one_sentence(
    tmp_path: Path, spoil: Callable[[Path], None], error: type[Her2qpError], sentence: str
) -> None:
    for stem in ("a.x", "b"):
        write_trident(tmp_path / f"{stem}.h5", features_of(5))
    spoil(tmp_path)
    with pytest.raises(error) as caught:
        load_features(COHORT, tmp_path)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_all_missing_slides_are_counted(tmp_path: Path) -> None:
    write_trident(tmp_path / "c.h5", features_of(5))
    with pytest.raises(CohortError, match=r"slide a\.x\.svs \(and 1 more of the 2 slides cannot be used\)"):
        load_features(COHORT, tmp_path)
    with pytest.raises(CohortError, match="no such folder"):
        load_features(COHORT, tmp_path / "nowhere")


def test_without_a_project_the_store_knows_no_slide() -> None:
    with pytest.raises(CohortError, match=r"does not say which image of a QuPath project shows slide a\.x\.svs"):
        load_features(COHORT)
