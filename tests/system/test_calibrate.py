"""`llem calibrate` from the measurement to later runs, on drawn boards in simulated time."""

import contextlib
import errno
import json
import os
import re

import pytest
from drawn_boards import drawn_board
from meter_curves import missing
from typer.testing import CliRunner

from labledger.schema_versions import FROM_FILE
from llenergymeasure.cli.main import app
from llenergymeasure.energy.calibration import gpu_bench, stored
from llenergymeasure.energy.calibration.bench import LoadTrace
from llenergymeasure.energy.calibration.stored import (
    Calibration,
    calibration_path,
    load_calibration,
    save_calibration,
)
from llenergymeasure.energy.samples import SensorSample

needs_recordings = pytest.mark.skipif(missing() is not None, reason=missing() or "")
PART_TIME, LOW_PASS = 58, 17


@pytest.fixture
def llem(tmp_path, monkeypatch):
    """Return what `llem` prints, and its exit code, for a user with a configuration of their own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.fixture
def drawn(gpus, monkeypatch):
    """Put a drawn board in the place of the first GPU: `drawn(seed)` returns it."""

    def install(seed, **keys):
        gpus(gpus.board(seconds=1.0, **keys))
        board = drawn_board(seed)
        monkeypatch.setattr(gpu_bench, "open_bench", lambda *_: contextlib.nullcontext(board))
        return board

    return install


def moments(hold):
    return f"{hold['start']}:{hold['end']}"


def plain(text):
    return " ".join(text.split())


@needs_recordings
def test_a_board_is_calibrated_then_scaled_by_a_meter_and_later_runs_use_it(llem, drawn):
    truth = drawn(PART_TIME).truth
    done = llem("calibrate", "--json", "--quiet", "--hold", "30")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["power_is_part_time"] is True
    assert found["counter_is_part_time"] is True
    assert load_calibration("GPU-1").period_s == found["period_s"]
    assert found["power_scale"] is None

    idle, busy = found["holds"]
    joules = [30.0 * watts for watts in (truth.deep_idle_w, truth.load_w)]
    readings = [f"--meter={j}:{moments(hold)}" for j, hold in zip(joules, (idle, busy), strict=True)]
    scaled = llem("calibrate", *readings)
    assert scaled.exit_code == 0, scaled.output
    scale = load_calibration("GPU-1").power_scale
    assert scale.gain == pytest.approx(1 / truth.gain, rel=0.1)
    assert f"{scale.gain:.4f} x its watts" in plain(scaled.stdout)

    again = llem("calibrate", "--quiet", "--hold", "0")
    assert again.exit_code == 0, again.output
    assert load_calibration("GPU-1").power_scale == scale
    assert "calibrated on" in plain(llem("doctor").stdout)


@needs_recordings
def test_the_report_says_what_was_found_what_was_not_and_what_to_do_next(llem, drawn, tmp_path):
    truth = drawn(LOW_PASS).truth
    done = llem("calibrate", "--hold", "10", "--trace", str(tmp_path / "trace"))
    assert done.exit_code == 0, done.output
    shown = plain(done.stdout)
    assert "power sees not found: the answer is slow, which may be the board or the sensor" in shown
    assert "each value not found: no load was found to which there is surely no response" in shown
    assert "counter sees not found: there is no counter" in shown
    assert "no gain and offset: no meter's readings were given" in shown
    assert "--meter JOULES:START:END --meter JOULES:START:END" in shown
    assert "square loads" in done.stderr
    assert len(list((tmp_path / "trace").glob("*.parquet"))) == len(list((tmp_path / "trace").glob("*.json"))) > 10
    times = [re.search(rf"{state} from (\S+) to ([^\s;]+?)[;.]", shown).groups() for state in ("idle", "busy")]
    joules = [10 * watts for watts in (truth.deep_idle_w, truth.load_w)]
    readings = [f"--meter={j}:{start}:{end}" for j, (start, end) in zip(joules, times, strict=True)]
    assert llem("calibrate", *readings).exit_code == 0  # the times can be given as they were printed
    again = llem("calibrate", "--trace", str(tmp_path / "trace"))
    assert (again.exit_code, again.stdout) == (2, "")
    assert "name a new folder" in again.stderr


class Unfound:
    """A board of which nothing is found out: its power never changes."""

    uuid, limit_w = "GPU-1", None

    def record(self, seconds, busy=()):
        samples = [SensorSample("GPU-1", 0.01 * n, 0.01 * n, power_w=70.0) for n in range(int(seconds * 100))]
        return LoadTrace(0.0, seconds, tuple(busy), tuple(samples))


@pytest.mark.parametrize("as_json", [True, False])
def test_where_nothing_is_found_the_calibration_of_before_stays(llem, gpus, monkeypatch, as_json):
    gpus(gpus.board(seconds=1.0))
    kept = {"schema_version": "1", "calibration_uuid": "GPU-1", "measured_at": "2026-11-30T00:00:00Z"}
    before = save_calibration(Calibration.model_validate(kept, context=FROM_FILE)).read_bytes()
    monkeypatch.setattr(gpu_bench, "open_bench", lambda *_: contextlib.nullcontext(Unfound()))
    ended = llem("calibrate", "--quiet", *(["--json"] if as_json else []))
    assert ended.exit_code == 1
    assert "the moments at which the power changes lie on no grid" in plain(ended.stdout)
    assert ended.stderr == "error: nothing to keep was found out about GPU 0; what was kept before stays\n"
    assert calibration_path("GPU-1").read_bytes() == before
    if as_json:
        assert json.loads(ended.stdout)["path"] is None


@needs_recordings
def test_what_was_measured_is_printed_also_where_it_cannot_be_kept(llem, drawn, tmp_path):
    drawn(PART_TIME)
    (tmp_path / "config").write_text("in the way")
    ended = llem("calibrate", "--quiet", "--json")
    assert ended.exit_code == 1
    assert json.loads(ended.stdout)["power_is_part_time"] is True
    assert "Not a directory" in ended.stderr


@needs_recordings
def test_readings_are_not_taken_for_holds_of_before_the_last_calibration(llem, drawn, tmp_path, monkeypatch):
    drawn(PART_TIME)
    holds = json.loads(llem("calibrate", "--json", "--quiet", "--hold", "10").stdout)["holds"]
    readings = [f"--meter={joules}:{moments(hold)}" for joules, hold in zip((400, 4000), holds, strict=True)]

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(stored, "save_holds", full)
    assert "No space left" in llem("calibrate", "--quiet", "--hold", "10").stderr
    before = calibration_path("GPU-1").read_bytes()
    ended = llem("calibrate", *readings)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "GPU 0 was calibrated again since it was held beside a meter: run llem calibrate --gpu 0" in ended.stderr
    assert calibration_path("GPU-1").read_bytes() == before


@needs_recordings
@pytest.mark.parametrize(
    ("driver", "field", "kept", "shown"),
    [
        ("580.00", "draw", ["counter_scale"], "the meter read beside field draw, and this is instant"),
        ("570.00", "instant", [], "the meter read with driver 570.00, and now it is 580.00"),
        ("580.00", "instant", ["power_scale", "counter_scale"], None),
    ],
)
def test_a_new_calibration_keeps_each_gain_and_offset_that_still_holds(llem, drawn, driver, field, kept, shown):
    drawn(PART_TIME)
    scale = {"gain": 1.05, "offset_w": 3.0, "gain_error": 0.01, "offset_error_w": 1.0}
    before = {"calibration_uuid": "GPU-1", "driver": driver, "field": field, "measured_at": "2026-11-30T09:00:00Z"}
    before |= {"schema_version": "1"}
    scales = {"power_scale": scale, "counter_scale": scale}
    save_calibration(Calibration.model_validate(before | scales, context=FROM_FILE))
    ended = llem("calibrate", "--quiet", "--json", "--hold", "0")
    found = json.loads(ended.stdout)
    assert [name for name in scales if found[name] is not None] == kept
    assert {found["not_found"].get(name) for name in scales if name not in kept} == ({shown} if shown else set())


def test_readings_of_a_meter_for_a_board_that_was_never_held_say_what_to_do_first(llem, gpus):
    gpus(gpus.board(seconds=1.0))
    ended = llem("calibrate", "--meter", "3500:1800000005:1800000055")
    assert ended.exit_code == 2
    assert "GPU 0 was not held yet beside a meter: run llem calibrate --gpu 0" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--gpu", "7"], "--gpu 7: no such GPU; there are 0 ("),
        ([], "2 GPUs: choose one with --gpu"),
        (["--gpu", "0", "--field", "average"], "--field average: GPU 0 has instant, draw"),
        (["--gpu", "0", "--hold", "2"], "--hold 2: expected 0, or 10 to 3600 seconds"),
        (["--gpu", "0", "--hold", "nan"], "--hold nan: expected 0"),
        (["--gpu", "0", "--meter", "1:2", "--meter-csv", "x.csv"], "give one of them"),
        (["--gpu", "0", "--meter", "1:2"], "expected JOULES:START:END"),
        (["--gpu", "0", "--field", "draw", "--hold", "60", "--meter", "1:2"], "--field, --hold beside --meter: "),
        (["--gpu", "0", "--trace", "t", "--meter-csv", "x.csv"], "--trace beside --meter-csv: "),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_measured(llem, gpus, arguments, problem):
    gpus(gpus.board(seconds=1.0), gpus.board(uuid="GPU-2", seconds=1.0))
    ended = llem("calibrate", *arguments)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert problem in ended.stderr


def test_without_a_gpu_there_is_nothing_to_calibrate(llem, gpus):
    gpus()
    ended = llem("calibrate")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr == "error: no GPU to calibrate: NVML is installed and shows no GPU\n"


def test_a_gpu_that_another_process_uses_is_not_calibrated(llem, gpus):
    gpus(gpus.board(seconds=1.0, processes=[[0, 1000, 1]]))
    ended = llem("calibrate")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "a calibration needs it alone; end that, or choose another with --gpu" in ended.stderr
