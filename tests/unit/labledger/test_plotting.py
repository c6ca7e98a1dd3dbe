"""Figures: lines that look different, names that do not overlap, short numbers, and files that are the same."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labledger import plotting
from properties import examples


def panel(height_in=plotting.PANEL_IN):
    return plotting.stacked_panels([height_in])[1][0]


def test_lines_of_one_panel_all_look_different():
    looks = [plotting.line_style(index, plotting.MAX_LINES) for index in range(plotting.MAX_LINES)]
    assert len({(look["color"], str(look["linestyle"])) for look in looks}) == plotting.MAX_LINES
    assert all(one["linestyle"] != other["linestyle"] for one, other in pairwise(looks))


@examples(20)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=plotting.MAX_LINES))
def test_names_of_lines_do_not_overlap_and_stay_beside_the_panel(ends):
    height_in = plotting.panel_height(len(ends))
    axes = panel(height_in)
    axes.set_ylim(-1e6, 1e6)
    plotting.name_lines(axes, [f"line {place}" for place in range(len(ends))], ends, height_in)
    places = sorted(text.xyann[1] for text in axes.texts)
    assert len(places) == len(ends)
    assert places[0] >= -1e-9
    assert places[-1] <= 1 + 1e-9
    letters_pt = np.diff(places) * 0.85 * height_in * plotting.POINTS_PER_IN
    assert all(letters_pt > plotting.NAME_PT)


def test_a_line_without_a_value_has_no_name_beside_it():
    axes = panel()
    plotting.name_lines(axes, ["a", "b", "c"], [0.5, float("nan"), 0.1], plotting.PANEL_IN)
    shown = {text.get_text(): text.get_color() for text in axes.texts}
    assert shown == {name: plotting.line_style(index, 3)["color"] for index, name in ((2, "c"), (0, "a"))}


def test_a_name_beside_a_line_is_cut_and_no_mathematics():
    axes = panel()
    plotting.name_lines(axes, ["$x^2$ " + "very " * 50 + "long"], [0.5], plotting.PANEL_IN)
    (text,) = axes.texts
    assert text.get_text().startswith(r"\$x^2\$ very")
    assert len(text.get_text()) <= plotting.MAX_DRAWN_AT_LINE + 2


@pytest.mark.parametrize(
    ("low", "high", "per", "labels"),
    [
        (-0.05, 0.05, 1, {"0"}),
        (0, 2, 1, {"0", "1", "2"}),
        (0, 50_000, 1, {"0", "10,000", "50,000"}),
        (0, 200e6, 1, {"0", "50 M", "200 M"}),
        (0, 200e6, 100, {"0", "500,000", "2,000,000"}),
        (-5e9, 20e9, 1, {"-5 bn", "0", "20 bn"}),
        (0, 20e14, 100, {"0", "5 tn", "20 tn"}),
    ],
)
def test_an_axis_of_whole_numbers_has_short_labels_at_whole_numbers(low, high, per, labels):
    axes = panel()
    axes.set_ylim(low, high)
    plotting.whole_numbers(axes.yaxis, per)
    ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
    shown = [axes.yaxis.get_major_formatter()(tick) for tick in ticks]
    assert all(tick == int(tick) for tick in ticks)
    assert len(set(shown)) == len(shown)
    assert labels <= set(shown)


def test_a_range_has_the_median_of_the_lines_without_what_is_unknown():
    axes = panel()
    lines = np.array([[1.0, 1.0], [2.0, np.nan], [9.0, 3.0]])
    assert plotting.draw_range(axes, [0, 1], lines, "bank").tolist() == [2.0, 2.0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["5 to 95 % of 3 banks", "median bank"]


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_figure_gives_the_same_bytes(kind):
    def drawn():
        with plotting.style():
            figure, (axes,) = plotting.stacked_panels([plotting.PANEL_IN])
            axes.plot([1, 2], label="a line")
            plotting.head(axes, "title", "subtitle")
            return plotting.rendered(figure, kind)

    assert drawn() == drawn()


def test_a_picture_that_cannot_be_written_leaves_what_stood_there(tmp_path):
    (tmp_path / "folder.png").mkdir()
    figure, _ = plotting.stacked_panels([plotting.PANEL_IN])
    with pytest.raises(OSError, match=r"folder\.png"):
        plotting.save(figure, tmp_path / "folder.png")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_a_long_subtitle_goes_on_in_a_second_line_and_is_cut_after_the_third():
    with plotting.style():
        _, (axes,) = plotting.stacked_panels([2.0])
        plotting.head(axes, "title", "word " * 30)
        (text,) = axes.texts
        assert text.get_text().split() == ["word"] * 30
        assert text.get_text().count("\n") == 1
        plotting.head(axes, "title", "word " * 300)
        assert axes.texts[-1].get_text().count("\n") == 2
        assert axes.texts[-1].get_text().endswith("…")
