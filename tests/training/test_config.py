"""A configuration is read whole, goes back into the same YAML, and errors name field and line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from her2qp.errors import TrainingError
from her2qp.models.kat import KATConfig
from her2qp.training.config import TrainingConfig, make_config, read_config

EXAMPLES = Path(__file__).parents[2] / "examples"
FULL = """\
cohort: tables/cohort.csv
features: features
output: out
name: my-model
model:
  architecture: kat
  preset: faithful
  hyperparameters:
    depth: 3
    anchors: {area_um2: 1.0e6}
fit: {epochs: 40, learning_rate: 1e-3, drop_tiles: 0.5}
protocol: du2025
external:
  cohort: /elsewhere/cohort.csv
judging:
  clinical: [ER, PR]
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "run.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_paths_are_taken_from_the_folder_of_the_file(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, FULL))
    assert config.cohort == tmp_path / "tables" / "cohort.csv"
    assert config.output == tmp_path / "out"
    assert config.external is not None and config.external.cohort == Path("/elsewhere/cohort.csv")


def test_what_is_echoed_reads_back_as_the_same(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, FULL))
    echo = tmp_path / "echo.yaml"
    echo.write_text(config.to_yaml(), encoding="utf-8")
    assert read_config(echo) == config
    assert "patience: 15" in config.to_yaml(), "defaults are echoed too"


def test_a_preset_is_the_published_model_with_what_differs(tmp_path: Path) -> None:
    built = read_config(written(tmp_path, FULL)).model.build(512, 4).config
    published = KATConfig.faithful(512)
    anchors = published.anchors.model_copy(update={"area_um2": 1e6})
    assert built == published.model_copy(update={"depth": 3, "anchors": anchors})


def test_kat_is_compact_unless_another_preset_is_named() -> None:
    settings = make_config(cohort="a.csv", output="out").model
    assert (settings.architecture, settings.preset) == ("kat", "compact")
    assert settings.build(512, 4).config.width == 64
    assert make_config(cohort="a.csv", output="out", model={"architecture": "abmil"}).model.preset is None


def test_options_count_in_place_of_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, FULL)
    config = read_config(file, fit={"epochs": 2}, protocol={"kind": "crossval", "folds": 3})
    assert (config.fit.epochs, config.fit.learning_rate) == (2, 1e-3)
    assert (config.protocol.kind, config.protocol.folds) == ("crossval", 3)
    assert read_config(file, protocol={"folds": 3}).protocol.kind == "du2025"


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("epochs: 40", "epochs: none", 11, "fit.epochs: Input should be a valid integer"),
        ("epochs: 40", "epoch: 40", 11, "fit.epoch: there is no such setting"),
        ("drop_tiles: 0.5", "drop_tiles: .nan", 11, "fit.drop_tiles"),
        ("output: out\n", "", None, "output: is missing"),
        ("  cohort: /elsewhere/cohort.csv", "  features: f", 13, "external.cohort: is missing"),
        ("du2025", "du2024", 12, "protocol: Input tag 'du2024'"),
        ("protocol: du2025", "protocol:\n  kind: nested\n  folds: 1", 14, "protocol.folds"),
        ("faithful", "original", 5, "model: kat has no preset 'original'; known are compact, corrected, faithful"),
        ("depth: 3", "depth: 1", 5, "model: hyperparameters of kat: depth"),
        ("depth: 3", "classes: 3", 5, "model: classes comes from the data"),
        ("architecture: kat", "architecture: cnn", 5, "model: cnn has no preset"),
        ("name: my-model", "name: ../x", 4, "name: String should match"),
        ("name: my-model", "cohort: other.csv", 4, "cohort is given twice"),
        ("name: my-model", "name: &n x\nartificial: *n", 5, "a configuration has no place for an alias"),
        ("name: my-model", "name: [", 6, "not YAML"),
        ("name: my-model", "name: 2001-99-99", None, "not YAML"),
        ("name: my-model", "name: !!python/object/apply:os.system [id]", 4, "not YAML"),
        ("name: my-model", "name: " + "[" * 30 + "]" * 30, 4, "a configuration has no place for too deep"),
    ],
)
def test_errors_name_field_and_line(tmp_path: Path, old: str, new: str, line: int | None, says: str) -> None:
    file = written(tmp_path, FULL.replace(old, new))
    with pytest.raises(TrainingError) as caught:
        read_config(file)
    where = f"{file}" if line is None else f"{file}, line {line}"
    assert str(caught.value).startswith(f"{where}: {says}" if says != "not YAML" else where), str(caught.value)
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"- a\n- b\n", b"just words", b"\xff\xfe\xff", b"a: \x00", b"#" * (1 << 20) + b"#"]
)
def test_what_is_no_configuration_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "run.yaml"
    file.write_bytes(data)
    with pytest.raises(TrainingError, match=r"run\.yaml"):
        read_config(file)


def test_a_configuration_without_a_file() -> None:
    config = make_config(cohort="a.csv", output="out", protocol="nested")
    assert isinstance(config, TrainingConfig) and config.protocol.kind == "nested"
    with pytest.raises(TrainingError, match=r"fit.epochs: .*greater"):
        make_config(cohort="a.csv", output="out", fit={"epochs": 0})
    with pytest.raises(TrainingError, match="Known are kat, abmil"):
        make_config(cohort="a.csv", output="out", model={"architecture": "cnn"})


def fields_of(values: object) -> object:
    return {name: fields_of(value) for name, value in values.items()} if isinstance(values, dict) else None


def test_the_example_names_every_setting_with_its_default() -> None:
    example = read_config(EXAMPLES / "crossval.yaml")
    folder = EXAMPLES.absolute()
    defaults = make_config(cohort=folder / "cohort.csv", features=folder / "features", output=folder / "run")
    assert example == defaults
    assert fields_of(yaml.safe_load((EXAMPLES / "crossval.yaml").read_text())) == fields_of(
        yaml.safe_load(defaults.to_yaml())
    )


def test_the_example_of_du_et_al_is_the_published_model_and_protocol() -> None:
    example = read_config(EXAMPLES / "du2025.yaml")
    assert example.model.build(512, 4).config == KATConfig.faithful(512)
    assert (example.protocol.kind, example.protocol.folds, example.fit.drop_tiles) == ("du2025", 5, 0.5)
