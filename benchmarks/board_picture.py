"""Draws docs/energy_boards.png: two real boards under one load, by an external meter, their sensors and labledger.

    python benchmarks/board_picture.py [--boards DIR] [--to docs/energy_boards.png]

Of each board two panels: power over time, and the error of the energy since the start with its bound, in percent of
that energy. `_boards.py` says where the data is from.
"""

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
from _boards import DEVICE, RECORDINGS, Compared, compared, of_windows
from energy_accuracy import FOLDER

from labledger.files import write_durably
from labledger.plotting import COLOURS, NAME_PT, head, rendered, stacked_panels, style

TO = Path(__file__).resolve().parent.parent / "docs" / "energy_boards.png"
DRAWN = {("5050_3090", "instant"): "RTX 3090", ("5050_a100", "instant"): "A100"}
POWER_IN, ERROR_IN = 1.75, 1.15
SHOWN_S, MOST_PERCENT = (0.0, 10.45), {"RTX 3090": 30.0, "A100": 220.0}
FINE_S, MEAN_S, STEP_S, SHORTEST_S = 0.01, 0.5, 0.02, 0.4
METER, SENSOR, OURS = "#bbbbbb", COLOURS[1], COLOURS[0]


def mean_power(moment_s: np.ndarray, energy_j: np.ndarray, at_s: np.ndarray, over_s: float) -> np.ndarray:
    """Return the mean power around moments, from an energy over time."""
    return (
        np.interp(at_s + over_s / 2, moment_s, energy_j) - np.interp(at_s - over_s / 2, moment_s, energy_j)
    ) / over_s


def draw_power(panel: Any, board: Compared, name: str) -> None:
    """Draw the meter's power, the sensor's values, and labledger's mean power."""
    polls, model, (ticks,) = board.polls, board.power.sensor(DEVICE), board.power.ticks(DEVICE)
    first_s, last_s = polls.meter_s[0], polls.meter_s[-1]
    at_s = np.arange(first_s + MEAN_S / 2, last_s - MEAN_S / 2, STEP_S)
    fine_s = np.arange(first_s + FINE_S, last_s - FINE_S, FINE_S)
    fine_w = mean_power(polls.meter_s, polls.meter_j, fine_s, FINE_S)
    meter_w = mean_power(polls.meter_s, polls.meter_j, at_s, MEAN_S)
    ours_w = mean_power(ticks.moment_s, ticks.energy_j, at_s, MEAN_S)
    panel.plot(
        fine_s, fine_w, color=METER, linewidth=0.6, antialiased=False, label=f"meter, every {FINE_S * 1e3:.0f} ms"
    )
    panel.plot(at_s, meter_w, color="black", linewidth=1.6, label=f"meter, mean over {MEAN_S:g} s")
    panel.step(polls.time_s, polls.watts, where="post", color=SENSOR, linewidth=1.2, label="sensor")
    panel.plot(at_s, ours_w, color=OURS, linewidth=1.2, linestyle="--", label=f"labledger, mean over {MEAN_S:g} s")
    panel.set_ylabel(f"{name}\npower (W)")
    panel.set_ylim(0)
    seen = f"sensor sees\n{model.window_s * 1e3:.0f} of every\n{model.period_s * 1e3:.0f} ms"
    panel.text(0.008, 0.95, seen, transform=panel.transAxes, fontsize=NAME_PT, va="top")


def draw_error(panel: Any, board: Compared, name: str) -> None:
    """Draw the error of the energy since the start, as read and after a fit, inside of its bound."""
    start_s, end_s = board.start_s[0], board.end_s[0]
    at_s = np.arange(start_s + SHORTEST_S, end_s, STEP_S)
    found = of_windows(board.polls, board.recording, np.full_like(at_s, start_s), at_s)
    for bound_j, alpha, label in (
        (found.bound_j, 0.15, "bound: all of it"),
        (found.part_j, 0.35, "edges and coverage"),
    ):
        percent = 100 * bound_j / found.true_j
        panel.fill_between(at_s, -percent, percent, color=OURS, alpha=alpha, linewidth=0, label=label)
    panel.plot(at_s, 100 * found.errors_j()[0] / found.true_j, color="black", linewidth=1.2, label="error as read")
    if not board.recording.aliased:
        left_j = on_the_meters_scale(board, found)
        panel.plot(at_s, 100 * left_j / found.true_j, color=SENSOR, linestyle="--", label="on the meter's scale")
    panel.set_ylim(-MOST_PERCENT[name], MOST_PERCENT[name])
    panel.set_ylabel("error of the energy\nsince the start (%)")


def on_the_meters_scale(board: Compared, found: Compared) -> np.ndarray:
    """Return the errors of windows of a board after the fit that its random windows give."""
    fit = board.fits()[0]
    true_j = board.polls.true_j(found.start_s, found.end_s, fit.clock_s)
    return fit.gain * found.energies_j["labledger"] + fit.offset_w * (found.end_s - found.start_s) - true_j


def in_few_colours(png: bytes) -> bytes:
    """Return a picture as a PNG with a palette, which is a third of the size."""
    from PIL import Image

    found = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(48, dither=Image.Dither.NONE).save(found, "PNG", optimize=True)
    return found.getvalue()


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--boards", type=Path, default=FOLDER, help="Folder of the recorded boards.")
    parser.add_argument("--to", type=Path, default=TO, help="The PNG.")
    options = parser.parse_args()
    if not options.boards.is_dir():
        parser.error(f"no recorded boards: there is no folder {options.boards}")
    drawn = [each for each in RECORDINGS if (each.file, each.field) in DRAWN]
    with style():
        figure, panels = stacked_panels([POWER_IN, ERROR_IN] * len(DRAWN))
        for number, recording in enumerate(drawn):
            board, name = compared(options.boards, recording), DRAWN[recording.file, recording.field]
            draw_power(panels[2 * number], board, name)
            draw_error(panels[2 * number + 1], board, name)
        panels[0].legend(loc="lower center", ncols=4)
        panels[1].legend(loc="lower right", ncols=4)
        panels[-1].set_xlim(*SHOWN_S)
        panels[-1].set_xlabel("time (s)")
        subtitle = (
            "Power by an external meter, by the board's own sensor and by labledger; the energy's error and bound"
        )
        head(panels[0], "Two boards, busy for half of every 100 ms", subtitle)
        write_durably(options.to, in_few_colours(rendered(figure, "png")))


if __name__ == "__main__":
    main()
