"""The examination of a board: its progress, its reasons, and boards of which nothing is found."""

import pytest
from drawn_boards import drawn_board
from meter_curves import missing

from labledger.console import Silent
from llenergymeasure.energy.calibration.bench import LoadTrace
from llenergymeasure.energy.calibration.examination import examine
from llenergymeasure.energy.calibration.publications import period_s, polls
from llenergymeasure.energy.samples import SensorSample

needs_recordings = pytest.mark.skipif(missing() is not None, reason=missing() or "")


class Watched(Silent):
    """Progress that keeps what it was told."""

    def __init__(self):
        self.told = []

    def update(self, done, total, detail=""):
        self.told.append((done, total, detail))


@needs_recordings
def test_the_progress_counts_up_to_its_total_and_names_the_time_left():
    progress = Watched()
    examine(drawn_board(29), progress)
    done = [each for each, _, _ in progress.told]
    assert done == sorted(done)
    assert all(each < total for each, total, _ in progress.told)
    assert all(detail.startswith("seconds; about ") and detail.endswith(" min left") for *_, detail in progress.told)


class Dull:
    """A board whose power never changes, or that has none."""

    uuid, limit_w = "GPU-1", None

    def __init__(self, watts):
        self._watts = watts

    def record(self, seconds, busy=()):
        samples = [
            SensorSample("GPU-1", at_s, at_s + 0.001, power_w=self._watts)
            for at_s in (0.01 * n for n in range(int(seconds * 100)))
        ]
        return LoadTrace(0.0, seconds, tuple(busy), tuple(samples))


@pytest.mark.parametrize(
    ("watts", "reason"),
    [(None, "the driver gives no power"), (70.0, "the moments at which the power changes lie on no grid")],
)
def test_a_board_that_shows_nothing_has_no_figure_and_a_reason_for_each(watts, reason):
    found = examine(Dull(watts), Silent())
    assert (found.period_s, found.window_s, found.power_is_part_time, found.counter_is_part_time) == (None,) * 4
    assert found.reasons["period_s"] == found.reasons["counter_is_part_time"] == reason
    assert found.idle_noise_w == (None if watts is None else 0.0)


@needs_recordings
@pytest.mark.parametrize(
    ("recording", "field", "expected_ms"),
    [("5050_3090", "draw_w", 100.0), ("5050_3090", "instant_w", 100.0), ("5050_a100", "draw_w", 101.2)],
)
def test_the_period_of_a_recorded_board_is_that_of_the_published_study(recording, field, expected_ms):
    import pyarrow.parquet as pq
    from meter_curves import RECORDINGS

    table = pq.read_table(RECORDINGS / f"{recording}_sensor.parquet").to_pydict()
    samples = [
        SensorSample("GPU-1", at_s, at_s, power_w=watts)
        for at_s, watts in zip(table["time_s"], table[field], strict=True)
    ]
    assert 1e3 * period_s(polls(samples, "power_w")) == pytest.approx(expected_ms, rel=0.002)
