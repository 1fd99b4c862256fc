"""Artificial cohorts: what was asked for is in them, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from her2qp.cohort import Cohort
from her2qp.cohort.bags import load_features
from her2qp.evaluation import Cases, out_of_fold, site_only, summarise
from her2qp.studies import DU_LOCAL, DU_TCGA, ArtificialCohort, CohortDesign, make_artificial_cohort
from her2qp.training.folds import stratified_folds


def made(**changes: object) -> ArtificialCohort:
    return make_artificial_cohort(CohortDesign.model_validate({"tiles": 40, "dimension": 8, **changes}))


def tile_features(cohort: ArtificialCohort, planted: bool) -> list[np.ndarray]:
    """Mean feature of the planted, or of the other, tiles of each slide."""
    masks = [mask if planted else ~mask for mask in cohort.planted]
    return [bag.features[mask].mean(axis=0) for bag, mask in zip(cohort.features.bags, masks, strict=True)]


def separation(cohort: ArtificialCohort, planted: bool) -> float:
    """Distance of the highest from the lowest grade in these tiles."""
    means, labels = np.array(tile_features(cohort, planted)), cohort.cohort.labels
    return float(np.linalg.norm(means[labels == 3].mean(axis=0) - means[labels == 0].mean(axis=0)))


def test_the_sizes_of_the_paper() -> None:
    for counts, total in ((DU_LOCAL, 350), (DU_TCGA, 502)):
        cohort = made(counts=counts, tiles=8, dimension=2).cohort
        assert np.bincount(cohort.labels).tolist() == list(counts) and len(set(cohort.patients)) == total


def test_the_same_seed_gives_the_same_cohort_and_another_seed_another() -> None:
    one, same, other = (made(seed=seed, counts=(3, 3, 3, 3)) for seed in (5, 5, 6))
    assert one.cohort == same.cohort and one.cohort != other.cohort
    for a, b in zip(one.features.bags, same.features.bags, strict=True):
        np.testing.assert_array_equal(a.features, b.features)


def test_the_signal_is_in_the_planted_tiles_alone_and_as_strong_as_asked() -> None:
    counts, quiet = (60, 10, 10, 60), {"site_shift": 0.0, "patient_spread": 0.0, "tiles": 100}
    strong = made(counts=counts, signal=3.0, **quiet)
    assert separation(strong, planted=True) == pytest.approx(3.0, abs=0.2)
    assert separation(strong, planted=False) < 0.2
    assert separation(made(counts=counts, signal=0.0, **quiet), planted=True) < 0.3
    shares = np.array([mask.mean() for mask in strong.planted])
    assert shares.min() > 0.08 and shares.max() < 0.42
    assert abs(shares[strong.cohort.labels == 3].mean() - shares[strong.cohort.labels == 0].mean()) < 0.05


def test_planted_tiles_lie_together() -> None:
    for bag, mask in zip(made(counts=(2, 2, 2, 2)).features.bags, made(counts=(2, 2, 2, 2)).planted, strict=True):
        places = bag.positions_um / bag.tile_um
        neighbours = np.linalg.norm(places[:, None] - places[None], axis=2) < 1.1
        shared = (neighbours & mask[None] & mask[:, None]).sum(axis=1)[mask]
        assert len(places) == len({tuple(p) for p in places}) and (shared.mean() > 2 or mask.sum() < 8)


@pytest.mark.parametrize(("confounding", "low", "high"), [(0.0, 0.4, 0.57), (0.6, 0.68, 0.85), (1.0, 0.97, 1.01)])
def test_confounding_lets_the_site_alone_predict_the_grade(confounding: float, low: float, high: float) -> None:
    cohort = made(confounding=confounding, signal=0.0, tiles=8).cohort
    assert cohort.sites is not None
    cases = Cases(
        labels=cohort.labels, classes=cohort.classes, patients=cohort.patients, slides=cohort.filenames,
        sites=cohort.sites,
    )  # fmt: skip
    found = out_of_fold(site_only, cases, stratified_folds(cases.labels, cases.patients), "site")
    assert low < summarise(found)["auc_macro_ovr"] < high


def test_sites_differ_by_the_shift_and_slides_of_a_patient_are_alike() -> None:
    shifted, plain = (
        made(counts=(9, 9, 9, 9), sites=4, site_shift=shift, signal=0.0, tiles=200) for shift in (6.0, 0.0)
    )

    def between_sites(cohort: ArtificialCohort) -> float:
        means = np.array([bag.features.mean(axis=0) for bag in cohort.features.bags])
        sites = np.array([row.site for row in cohort.cohort.rows])
        return float(np.var([means[sites == site].mean(axis=0) for site in np.unique(sites)], axis=0).sum())

    assert between_sites(shifted) > 20 * between_sites(plain)
    twice = made(counts=(5, 5, 5, 5), second_slides=1.0)
    assert len(twice.cohort) == 40 and len(set(twice.cohort.patients)) == 20
    external = made(counts=(9, 9, 9, 9), first_site=50, seed=1)
    assert not {row.site for row in external.cohort.rows} & {row.site for row in shifted.cohort.rows}


def test_a_written_cohort_is_read_as_any_other(tmp_path: Path) -> None:
    cohort = made(counts=(2, 2, 2, 2))
    table = cohort.write(tmp_path)
    read = Cohort.read(table)
    found = load_features(read, tmp_path / "features")
    assert read == cohort.cohort and found.features == cohort.features.features
    for ours, theirs in zip(cohort.features.bags, found.bags, strict=True):
        np.testing.assert_array_equal(ours.features, theirs.features)
        np.testing.assert_allclose(ours.positions_um, theirs.positions_um)
        assert ours.tile_um == theirs.tile_um and ours.name == theirs.name


@pytest.mark.parametrize("wrong", [{"counts": (1, 2)}, {"tumour_share": (0.5, 0.2)}, {"confounding": 1, "sites": 3}])
def test_an_impossible_design_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CohortDesign.model_validate(wrong)
