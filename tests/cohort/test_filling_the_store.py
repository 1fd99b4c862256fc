"""`her2qp features` on a project with real pixels: what it keeps, and what scoring and training find there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support import contents, run

import her2qp
from her2qp.cohort import Cohort, CohortRow
from her2qp.cohort.bags import load_features
from her2qp.errors import CohortError, ExtractorError, RegionError
from her2qp.features import FeatureStore, extract, extract_features, extractor_info, load_extractor
from her2qp.features.extractor import Extractor
from her2qp.scoring.image import plan_tiles
from her2qp.scoring.result import Status
from her2qp.scoring.settings import TileSettings
from her2qp.slides.slide import Slide


def refuse(*args: object, **more: object) -> None:
    raise AssertionError("a pixel was read")


def cohort_of(example: Path) -> Cohort:
    """The example's slide, and another that no project shows, for there to be two classes."""
    row = CohortRow("P1", "slide ä 1.svs", "2+", None, example / "project" / "project.qpproj", "slide ä 1.svs")
    return Cohort((row, CohortRow("P2", "none.svs", "0")), ("0", "1+", "2+", "3+"))


def test_features_once_then_score_and_training_read_no_pixel(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, cache = contents(example), {"cache_folder": tmp_path / "cache"}
    ((path, outcome),) = her2qp.fill_features([example / "project"], **cache).outcomes
    assert path == example / "project" / "project.qpproj" and outcome.status is Status.EXTRACTED
    assert outcome.added == outcome.planned > 4 and contents(example) == before
    for name in ("read_region", "read_tiles", "overview"):
        monkeypatch.setattr(Slide, name, refuse)
    ((_, again),) = her2qp.fill_features([example / "project"], **cache).outcomes
    assert (again.status, again.added, again.planned) == (Status.EXTRACTED, 0, outcome.planned)
    scored = her2qp.score(example / "project", backend="native", **cache).outcomes[0]
    assert scored.score is not None and len(scored.score.tiles) == outcome.planned

    other = tmp_path / "h5"
    other.mkdir()
    (file,) = (tmp_path / "cache" / "features").rglob("*.h5")
    shutil.copy(file, other / "slide ä 1.svs.h5")
    shutil.copy(file, other / "none.h5")
    from_folder = load_features(cohort_of(example), other)
    assert from_folder.features.preprocessing_sha256 == extractor_info().fingerprint
    assert from_folder.features.weights_sha256 == extractor_info().weights_sha256
    with pytest.raises(CohortError, match=r"which image of a QuPath project shows slide none\.svs"):
        load_features(cohort_of(example), **cache)
    twice = Cohort((*cohort_of(example).rows[:1], CohortRow("P2", "b", "0", None, path, "1")), ("0", "1+", "2+", "3+"))
    first, second = load_features(twice, **cache).bags
    stored = from_folder.bags[0]
    in_store = {tuple(p): f for p, f in zip(stored.positions_um.round(3), stored.features.tolist(), strict=True)}
    assert {tuple(p): f for p, f in zip(first.positions_um.round(3), first.features.tolist(), strict=True)} == in_store
    assert first.tile_um == stored.tile_um == 128 and len(second) == outcome.planned
    with pytest.raises(CohortError, match=r"are not in the store.*\(and 1 more.*Run `her2qp features`"):
        load_features(twice, **cache, stride_px=100)
    with pytest.raises(CohortError, match=r"the slide has no tile: .*Stroma"):
        load_features(twice, **cache, classes=["Stroma"])


def test_a_killed_extraction_goes_on_where_it_kept(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract, "READ_TILES", 4)
    monkeypatch.setattr(extract, "KEEP_TILES", 8)
    extractor, store, seen = load_extractor(), FeatureStore(tmp_path / "store"), 0

    def stops(tiles: np.ndarray) -> np.ndarray:
        nonlocal seen
        seen += len(tiles)
        if seen > 12:
            raise ExtractorError("stopped")
        return extractor(tiles)

    stopping = Extractor(extractor.info, "test", stops, 4, "test")
    info = extractor.info
    with her2qp.open_project(example / "project") as project, plan_tiles(
        project.images[0], TileSettings(whole_tissue=True), tile_px=info.tile_px, mpp=info.mpp
    ) as plan:  # fmt: skip
        assert len(plan.tiles) > 16
        with pytest.raises(ExtractorError, match="stopped"):
            extract_features(plan.slide, plan.tiles, stopping, store=store)
        known = store.load(plan.slide, info, plan.tiles.bounds).found
        assert known[:8].all() and not known[8:].any()
        computed: list[int] = []
        rest = extract_features(plan.slide, plan.tiles, extractor, store=store, progress=computed.append).features
        assert computed[0] == 8 and sum(computed) == len(plan.tiles)
        np.testing.assert_allclose(rest, extract_features(plan.slide, plan.tiles, extractor).features, atol=1e-4)


def test_a_bad_image_is_reported_and_the_others_are_done(example: Path, tmp_path: Path) -> None:
    with her2qp.open_project(example / "project", "r+") as project:
        project.add_image(tmp_path / "gone.svs", size=(3072, 3072), mpp=(0.25, 0.25))
    done = run("features", example / "project", "--json", "--whole-tissue")
    assert done.returncode == 1, done.stderr
    images = json.loads(done.stdout)["images"]
    assert [image["status"] for image in images] == ["extracted", "failed"]
    assert images[0]["tiles"] > 0 and "the slide file was not found" in images[1]["reason"]
    spoken = run("features", example / "project", "--image", "slide*")
    assert spoken.returncode == 0 and "tiles of 1 images, 0 of them computed now" in spoken.stdout
    missing = run("features", example / "project", "--image", "x*")
    assert missing.returncode == 2 and "no image is named like 'x*'" in missing.stderr


def test_a_store_that_keeps_nothing_is_an_error_here(example: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "features").write_text("in the way")
    ((_, outcome),) = her2qp.fill_features([example / "project"], cache_folder=tmp_path / "cache").outcomes
    assert outcome.status is Status.FAILED and "the features cannot be kept" in outcome.reason
    with pytest.raises(RegionError, match="no annotation has the class 'Stroma'"):
        her2qp.fill_features([example / "project"], classes=["Stroma"])
