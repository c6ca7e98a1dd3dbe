"""The verdicts that follow from what was seen of a sensor."""

import pytest

from llenergymeasure.energy.calibration.counters import Beat
from llenergymeasure.energy.calibration.findings import Evidence, Findings, conclude
from llenergymeasure.energy.calibration.responses import Response
from llenergymeasure.energy.calibration.windows import Curve, Null

PERIOD_S, WATTS = 0.0827, 100.0


def seen(window_s):
    """Return what is seen, without noise, of a sensor whose values are the means of `window_s`, known within 0.4 %."""
    curve = Curve(WATTS, delay_s=0.05, rise_s=0.001, window_s=window_s, misfit=1.0, delay_error_s=0.001)

    def beat(hz):
        return Beat(Response(hz, curve.at_w(hz), 0.2), None, abs(curve.full_time_w(hz)), PERIOD_S)

    beats = [beat(share / PERIOD_S) for share in (0.99, 1.01)]
    return Evidence(PERIOD_S, WATTS, curve, Null(1 / window_s, 0.004 / window_s), beats, multiples=[])


@pytest.mark.parametrize(
    ("share", "is_part_time"), [(0.93, True), (0.97, None), (0.9844, False), (1.0, False), (1.5, False)]
)
def test_a_window_is_shorter_than_the_period_only_if_it_clearly_is(share, is_part_time):
    found = conclude(seen(share * PERIOD_S), Findings())

    assert found.power_is_part_time is is_part_time
    assert (found.window_s is None) is (is_part_time is None)
    assert ("power_is_part_time" in found.reasons) is (is_part_time is None)
    assert is_part_time or found.window_s is None or found.window_s >= PERIOD_S


def test_a_window_of_the_period_with_a_response_at_a_multiple_of_its_frequency_is_several_short_ones():
    evidence = seen(PERIOD_S)
    strong = evidence.beats[0]._replace(power=Response(4.1 / PERIOD_S, 0.9 * WATTS + 0j, 0.2))

    found = conclude(evidence._replace(multiples=[strong]), Findings())

    assert found.power_is_part_time is True
    assert found.window_s is None
    assert found.reasons["window_s"] == "values are means of several short samples"
