import pytest
from replays import RecordedWarmup
from tiny import tiny_config

from labledger.console import Silent
from llenergymeasure.errors import ExperimentError, MemoryExhaustedError
from llenergymeasure.run.warmup import run_warmup


def warm(latencies_s, *, thermal_wait=True, **warmup):
    config = tiny_config(warmup=warmup).warmup
    return run_warmup(RecordedWarmup(latencies_s), config, Silent(), thermal_wait=thermal_wait, sleep=lambda s: None)


def test_a_warmup_in_which_every_call_failed_is_an_error_with_the_last_reason():
    with pytest.raises(ExperimentError, match=r"every warm-up call failed \(3\).*generation failed"):
        warm([None], iterations=3)


def test_failed_calls_beside_successful_ones_are_noted():
    found = warm([None, 1.0], iterations=3)
    assert found.result.iterations_completed == 2
    assert found.notes == ("1 of 3 warm-up calls failed; the last: generation failed in batch 1",)


def test_no_warmup_gives_no_result():
    assert warm([1.0], iterations=0).result is None


def test_every_request_of_the_warmup_is_counted_as_excluded():
    assert warm([1.0], iterations=3).excluded_requests == 12


def test_a_fixed_number_of_calls_claims_no_convergence():
    result = warm([1.0], iterations=5).result
    assert (result.converged, result.final_cv, result.target_cv) == (False, 0.0, None)


def test_latencies_that_settle_end_the_warmup():
    result = warm([3.0, 2.0, 1.0, 1.01, 0.99, 1.0, 1.0], convergence_detection=True).result
    assert result.converged
    assert result.latencies_ms == pytest.approx([3000, 2000, 1000, 1010, 990, 1000, 1000])
    assert result.final_cv < 0.05


def test_a_thermal_wait_needs_no_calls():
    result = warm([1.0], iterations=0, thermal_floor_seconds=5).result
    assert (result.iterations_completed, result.final_cv, result.thermal_floor_wait_s) == (0, None, 5)


def test_a_thermal_wait_is_skipped_with_the_reason_where_nothing_measures_power():
    found = warm([1.0], iterations=1, thermal_floor_seconds=5, thermal_wait=False)
    assert found.result.thermal_floor_wait_s == 0
    assert "thermal wait was skipped" in found.notes[0]


def test_memory_that_ran_out_ends_the_warmup_at_once():
    class Full(RecordedWarmup):
        def warmup(self):
            self.calls += 1
            raise MemoryExhaustedError("the GPU's memory ran out")

    backend = Full([1.0])
    with pytest.raises(MemoryExhaustedError):
        run_warmup(backend, tiny_config(warmup={"iterations": 5}).warmup, Silent(), thermal_wait=False)
    assert backend.calls == 1
