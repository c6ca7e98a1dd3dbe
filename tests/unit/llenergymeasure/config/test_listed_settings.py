"""A list of values in the `gpu` section of a study's file is an axis."""

import pytest

from labledger.yaml_files import read_yaml
from llenergymeasure import ConfigError
from llenergymeasure.config.loading import load_config
from llenergymeasure.config.study.loading import is_study, load_study


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write a study of random:llama with these lines."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def written(*lines):
        path = tmp_path / "x.yaml"
        path.write_text("\n".join(["model: random:llama", *lines]))
        return path

    return written


def settings(path, **flags):
    return [(cell.config.gpu.power_limit_w, cell.config.gpu.clock_mhz) for cell in load_study(path, **flags).cells]


def test_a_list_of_limits_is_an_axis_and_what_is_no_list_holds_in_every_cell(written):
    path = written("gpu: {power_limit_w: [300, 500], clock_mhz: 1410}")
    assert is_study(read_yaml(path))
    assert settings(path) == [(300.0, 1410), (500.0, 1410)]
    assert settings(path, sweep={"gpu.power_limit_w": [250]}) == [(250.0, 1410)]
    both = written("study: {name: a}", "sweep: {batch_size: [1, 2]}", "gpu: {clock_mhz: [1200, 1410]}")
    assert [cell.name for cell in load_study(both).cells][1] == "batch_size 1, gpu.clock_mhz 1410"
    assert not is_study(read_yaml(written("gpu: {power_limit_w: 300}")))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["gpu: {power_limit_w: []}"], "x.yaml:2: gpu.power_limit_w: an empty list"),
        (["gpu: {power: [300]}"], r"x.yaml:2: gpu.power: no field \(did you mean gpu.power_limit_w"),
        (["gpu:", "  power_limit_w:", "  - 300", "  - many"], "x.yaml:5: gpu.power_limit_w: .*number"),
        (
            ["sweep: {gpu.clock_mhz: [1, 2]}", "gpu: {clock_mhz: [3]}"],
            "x.yaml:3: gpu.clock_mhz: on the axis",
        ),
        (["device: cpu", "gpu: {power_limit_w: [300, 500]}"], "gpu: has no effect on device: cpu"),
    ],
)
def test_a_list_that_is_no_axis_is_refused_at_its_line(lines, message, written):
    with pytest.raises(ConfigError, match=message):
        load_study(written(*lines))


def test_a_single_experiment_has_no_lists(written):
    with pytest.raises(ConfigError, match=r"x\.yaml:2: gpu: the file is a study"):
        load_config(written("gpu: {power_limit_w: [300, 500]}"))
