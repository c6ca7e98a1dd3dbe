"""The table of energy sources, and what is made from it."""

import dataclasses
import json
from pathlib import Path
from typing import get_args

import pytest
from powercap_trees import tree
from typer.testing import CliRunner

from llenergymeasure import measure_energy
from llenergymeasure.cli.main import app
from llenergymeasure.config.energy_sources import ENERGY_SOURCES, SETTINGS, SourceName, basis_of, sources_of
from llenergymeasure.config.models import EnergyConfig, UserConfig
from llenergymeasure.energy.sources import SOURCES, choose_meter, find_sources
from llenergymeasure.energy.window import EnergyWindow, MeteredEnergy
from llenergymeasure.errors import MeterError

DOCS = Path(__file__).parents[4] / "docs" / "energy.md"


def test_every_source_that_a_configuration_can_name_has_facts_a_meter_and_a_row_in_the_docs():
    names = list(get_args(SourceName))
    assert list(ENERGY_SOURCES) == list(SOURCES) == names
    rows = [line.split("`")[1] for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    assert set(names) <= set(rows)


def test_the_help_and_the_schema_name_every_source():
    shown = CliRunner().invoke(app, ["config", "schema"])
    described = json.loads(shown.stdout)["$defs"]["EnergyConfig"]["properties"]["source"]
    assert described["enum"] == ["auto", *SOURCES]
    assert all(f"{name}: {facts.summary}" in described["description"] for name, facts in ENERGY_SOURCES.items())
    helped = CliRunner().invoke(app, ["meter", "--help"], env={"COLUMNS": "200"}).stdout
    assert all(name in helped for name in SOURCES)


@pytest.mark.parametrize("source", SOURCES)
def test_settings_that_a_source_does_not_heed_have_no_effect(source):
    without = EnergyConfig(source=source).without_effect
    assert set(without) == set(SETTINGS) - set(ENERGY_SOURCES[source].heeds)


def test_a_source_that_is_not_in_the_table_is_taken_for_a_sensor():
    assert [basis_of(name) for name in ("steady", None, "rapl", "estimate", "none")] == [
        "sensor",
        "sensor",
        "sensor",
        "estimate",
        "nothing",
    ]


def test_the_kinds_that_a_source_is_said_to_read_are_those_of_its_meter(gpus, tmp_path):
    gpus(gpus.board(seconds=1.0))
    tree(tmp_path)
    found = find_sources(powercap=tmp_path)
    for name, facts in ENERGY_SOURCES.items():
        if found.unavailable(name) is None:
            meter = choose_meter(EnergyConfig(source=name), UserConfig(), found).meter
            assert meter.source == name
            assert meter.is_measurement == (facts.basis == "sensor")
            assert meter.measured_kinds <= set(facts.kinds)


def test_of_two_sources_of_one_kind_of_device_the_first_is_preferred(gpus):
    gpus(gpus.board(seconds=1.0))
    found = find_sources()
    assert sources_of("gpu")[:2] == ["nvml_counter", "nvml_power"]
    assert found.best("gpu") == "nvml_counter"


def test_a_window_has_every_figure_as_a_property_once_it_has_ended():
    with measure_energy(source="none") as window, pytest.raises(MeterError, match="has not ended"):
        _ = window.energy_j
    for field in dataclasses.fields(MeteredEnergy):
        assert getattr(window, field.name) == getattr(window.found, field.name)
        assert isinstance(getattr(EnergyWindow, field.name), property)
    with pytest.raises(AttributeError):
        _ = window.energy_joules
