"""Percentages as people write them."""

import pytest

from labledger.percentages import percent_text, rounded_percent, share_of


@pytest.mark.parametrize("written", [5, 5.0, "5", "5%", " 5 % "])
def test_a_number_from_1_on_is_a_percentage_with_and_without_its_sign(written):
    assert share_of(written) == 0.05


def test_a_number_under_1_is_one_only_with_its_sign_and_both_readings_are_shown():
    assert share_of("0.05%") == pytest.approx(0.0005)
    assert (share_of(0), share_of("0"), share_of(1)) == (0, 0, 0.01)
    for written in (0.05, "0.05", "5e-2"):
        with pytest.raises(ValueError, match=r"^0\.05 is 0\.05 %; write 5% or, if that is meant, 0\.05%$"):
            share_of(written)


@pytest.mark.parametrize("share", [0.0003, 0.07, 1.5, 1e-9])
def test_a_share_is_written_so_that_it_reads_as_the_same(share):
    assert share_of(percent_text(share)) == pytest.approx(share)


@pytest.mark.parametrize(
    ("share", "decimals", "text"),
    [
        (1, 1, "100.0%"),
        (0.99999, 1, ">99.9%"),
        (0.99999, 2, ">99.99%"),
        (0.9994, 1, "99.9%"),
        (0, 1, "0.0%"),
        (0.0000001, 1, "<0.1%"),
        (-0.0000001, 2, ">-0.01%"),
        (0.999, 0, ">99%"),
        (1.2, 0, "120%"),
    ],
)
def test_a_rounded_share_that_is_neither_none_nor_all_never_reads_so(share, decimals, text):
    assert rounded_percent(share, decimals) == text
