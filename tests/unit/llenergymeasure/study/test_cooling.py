"""The pauses between the runs of a study: for a time, until the devices are cool, and never for ever."""

from types import SimpleNamespace

import psutil
import pytest
from small_studies import make, small_study

from llenergymeasure import PreFlightError
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.config.study.sections import GapsSection
from llenergymeasure.domain.study import StudyGap
from llenergymeasure.energy.sources import find_sources
from llenergymeasure.results.study.manifest import read_manifest
from llenergymeasure.results.study.runs import read_study
from llenergymeasure.results.study.summary import summarise_study
from llenergymeasure.study import cooling
from llenergymeasure.study.cooling import Cooling, processor_c, require_thermometer

CONFIG = ExperimentConfig(model="random:llama")
ON_CPU = ExperimentConfig(model="random:llama", device="cpu")


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds


@pytest.fixture
def waited():
    """Wait as `gaps` say on a clock of its own; return the record, and what was told."""

    def waited(config=ON_CPU, **gaps):
        told, clock = [], Clock()
        made = Cooling(GapsSection(**gaps), clock=clock, sleep=clock.sleep).wait(config, told.append)
        return made, told

    return waited


@pytest.fixture
def processor(monkeypatch):
    """Let the processor's sensor read these degrees one after another, the last for good."""

    def processor(*degrees):
        left = list(degrees)
        monkeypatch.setattr(cooling, "processor_c", lambda: left.pop(0) if len(left) > 1 else left[0])

    return processor


def test_without_gaps_nothing_is_waited_for(waited):
    assert waited() == (None, [])


def test_a_gap_of_a_time_lasts_as_long(waited):
    assert waited(experiment_s=5) == (StudyGap(waited_s=5.0), ["waiting 5 s"])


def test_a_gap_lasts_until_the_device_is_cool_and_the_time_is_over(waited, processor):
    processor(70.0, 60.0, 50.0)
    assert waited(until_c=50) == (
        StudyGap(waited_s=2.0, temperature_c=50.0),
        ["waiting for 50 °C, at 70 °C after 0 s of 600 s"],
    )
    processor(45.0)
    assert waited(until_c=50, experiment_s=4)[0] == StudyGap(waited_s=4.0, temperature_c=45.0)


def test_a_device_that_stays_warm_is_a_warning_with_its_temperature_and_the_study_goes_on(waited, processor):
    processor(70.0)
    gap, told = waited(until_c=50, timeout_s=65.5)
    warning = "began at 70 °C and not at 50, which was not reached in 66 s"
    assert gap == StudyGap(waited_s=65.5, temperature_c=70.0, warning=warning)
    assert [words.partition("after ")[2] for words in told] == [*(f"{s} s of 65.5 s" for s in (0, 30, 60)), ""]
    assert told[-1] == warning
    processor(None)
    assert "began at an unknown temperature and not at 50" in waited(until_c=50, timeout_s=3)[0].warning


def test_the_hottest_of_the_boards_that_a_run_uses_counts(waited, gpus, monkeypatch):
    gpus(gpus.board(temperature_c=40.0, seconds=1.0), gpus.board(uuid="GPU-2", temperature_c=80.0, seconds=1.0))
    assert waited(CONFIG, until_c=50)[0].temperature_c == 40.0
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert waited(CONFIG, until_c=50, timeout_s=2)[0].temperature_c == 80.0
    served = ExperimentConfig(model="m", backend="openai", launch=["serve"])
    assert waited(served, until_c=50, timeout_s=2)[0].temperature_c == 80.0


def test_the_processors_temperature_is_that_of_its_hottest_part(monkeypatch):
    def entries(*degrees):
        return [SimpleNamespace(current=each) for each in degrees]

    chips = {"coretemp": entries(41.0, 55.5, None), "nvme": entries(90.0)}
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: chips, raising=False)
    assert processor_c() == 55.5
    chips.pop("coretemp")
    assert processor_c() is None
    monkeypatch.delattr(psutil, "sensors_temperatures")
    assert processor_c() is None


def test_what_tells_no_temperature_is_refused_before_the_study_begins(gpus, processor):
    wants, sources = GapsSection(until_c=50), find_sources()
    require_thermometer(GapsSection(experiment_s=5), ON_CPU, sources)
    processor(None)
    with pytest.raises(PreFlightError, match=r"no sensor of the processor's temperature: leave it out, and wait for"):
        require_thermometer(wants, ON_CPU, sources)
    there = ExperimentConfig(model="m", backend="openai", openai={"base_url": "http://192.0.2.7:8000/v1"})
    with pytest.raises(PreFlightError, match=r"the server is on another machine \(192.0.2.7\)"):
        require_thermometer(wants, there, sources)
    gpus(gpus.board(seconds=1.0, gone=[[0.0, 1e9]]))
    with pytest.raises(PreFlightError, match=r"does not tell the temperature of GPU 0 \(NVIDIA L40S\)"):
        require_thermometer(wants, CONFIG, find_sources())


def test_a_stop_ends_the_wait_at_once(processor):
    def stopped(_):
        raise KeyboardInterrupt

    processor(70.0)
    with pytest.raises(KeyboardInterrupt):
        Cooling(GapsSection(until_c=50), sleep=stopped).wait(ON_CPU, lambda _: None)


def test_every_run_of_a_study_but_the_first_has_its_pause_on_record_and_warm_ones_are_a_warning(tmp_path, processor):
    gaps = "gaps: {experiment_s: 0.01, until_c: 50, timeout_s: 0.02}\n"
    study = small_study(tmp_path, "sweep: {batch_size: [1, 2]}\nstudy: {repeats: 2}\n" + gaps)
    processor(45.0, 70.0)
    make(study, tmp_path / "s")
    first, *others = (run.gap for run in read_manifest(tmp_path / "s").runs)
    assert first is None
    assert [gap.temperature_c for gap in others] == [45.0, 70.0, 70.0]
    assert [gap.warning is None for gap in others] == [True, False, False]
    assert all(gap.waited_s >= 0.01 for gap in others)
    warm = (
        "2 of 4 runs began warmer than gaps.until_c asks for: run 3 began at 70 °C and not at 50, which was not reached"
    )
    assert any(warm in each for each in summarise_study(read_study(tmp_path / "s")).warnings)


def test_a_study_that_is_stopped_in_a_pause_goes_on_with_the_run_that_waited(tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    study = small_study(tmp_path, "sweep: {batch_size: [1, 2]}\nstudy: {repeats: 1}\ngaps: {experiment_s: 0.01}\n")
    with monkeypatch.context() as patch:
        patch.setattr(Cooling, "wait", stopped)
        with pytest.raises(KeyboardInterrupt):
            make(study, tmp_path / "s")
    assert [run.state for run in read_manifest(tmp_path / "s").runs] == ["done", "waiting"]
    assert [run.state for run in make(study, tmp_path / "s").runs] == ["done", "done"]
