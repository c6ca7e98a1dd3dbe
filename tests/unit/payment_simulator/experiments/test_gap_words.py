"""The words of a Nash gap: each kind says how the gap is known, and claims no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_simulator.experiments.nash_gap import GAP_COLUMNS, NashGap, gap_columns, stored_gap
from payment_simulator.experiments.persistence import Ending

MOST = "the most that one bank could still save alone"


@pytest.mark.parametrize(
    ("gap", "phrase", "words"),
    [
        (NashGap(0, "exact", 0, 1_001), "Nash gap 0 (exact)", "0 (exact)"),
        (NashGap(1_234, "exact"), "Nash gap 1,234 (exact)", "1,234 (exact)"),
        (NashGap(12, "bounded", 0, 9), "Nash gap <= 12 (bounded)", "<= 12 (bounded)"),
        (NashGap(31, "estimated", 12, 241), "Nash gap 31 ± 12 (estimated)", "31 ± 12 (estimated)"),
        (NashGap(0, "estimated", 0, 241), "Nash gap 0 ± 0 (estimated)", "0 ± 0 (estimated)"),
        (NashGap(0, "estimated", None), *(f"{head}0 (estimated, alike on all draws)" for head in ("Nash gap ", ""))),
        (NashGap(0, "searched", 0, 441), *["no saving among 441 values (searched)"] * 2),
        (
            NashGap(31, "searched", 0, 441),
            "Nash gap >= 31 among 441 values (searched)",
            ">= 31 among 441 values (searched)",
        ),
        (
            NashGap(3, "of a newer version"),
            *["Nash gap 3 (of a newer version)", "3 (of a newer version)"],
        ),
        (NashGap(0, None), *["no saving, searched (21 values)"] * 2),
        (NashGap(31, None), "Nash gap >= 31, searched (21 values)", ">= 31, searched (21 values)"),
        (NashGap(0, None, is_sampled=True), *["no saving on draws, searched (21 values)"] * 2),
        (
            NashGap(31, None, is_sampled=True),
            *["Nash gap 31 on draws, searched (21 values)", "31 on draws, searched (21 values)"],
        ),
        (NashGap(31, None, 12), "Nash gap 31 ± 12, searched (21 values)", "31 ± 12, searched (21 values)"),
    ],
)
def test_a_gap_is_printed_with_how_it_is_known(gap, phrase, words):
    assert (gap.phrase, gap.words) == (phrase, words)


@pytest.mark.parametrize("kind", ["exact", "bounded", "estimated", "searched", None])
def test_only_an_exact_gap_claims_to_be_the_most_that_one_bank_could_save(kind):
    assert (NashGap(3, kind, 0, 21).meaning == MOST) == (kind == "exact")


@given(
    st.none()
    | st.builds(
        NashGap,
        st.integers(0, 2**62),
        st.sampled_from(["exact", "bounded", "estimated", "searched", None]),
        st.integers(0, 10**9),
        st.none() | st.integers(0, 10**9),
    )
)
def test_a_gap_comes_back_from_its_columns_also_from_those_of_an_ending(gap):
    columns = gap_columns(gap, "final_")
    assert list(columns) == [f"final_{name}" for name in GAP_COLUMNS]
    assert stored_gap(columns, "final_") == gap
    assert stored_gap(Ending(**columns), "final_") == gap
