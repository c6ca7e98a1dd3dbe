"""Weather: the logarithm by which each of a row of runs takes longer than on a quiet machine."""

import numpy as np
from compared_runs import PAUSE, made, one_run

RECORDING = """
189 179 181 176 191 184 186 180 186 173 180 182 194 191 190 184 186 171 172 163 170 184 177 182 181 175 178 169 175
171 176 173 166 181 172 178 178 175 171 165 174 178 173 180 144 163 177 181 174 148 180 179 183 157 182 182 179 186
191 193 194 193 191 181 180 177 182 171 177 175 183 180 179 173 180 177 181 180 177 173 161 179 177 179 176 181 173
176 178 173 177 173 173 175 173 173 172 170 173 168 174 175 173 173 171 172 170 177 174 178 162 150 154 149 152 147
146 146 152 151 153 144 143 140 144 169 169 131 173 153 151 156 151 146 152 148 152 154 143 140 151 156 152 118 131
80.7 118 115 112 40.1 102 96.5 102 103 88.4 17.2 143 127 120 137 127 143 142 125 146 128 147 53.1 146 145 148 149 51.4
152 145 138 142 146 149 148 181 174 178 174 179 179 175 164 162 42.1 173 177 175 178 176 177 170 180 175 158 177 179
184 170 177 171 176 171 166 174 166 174 155 166 172 170 177 28.5 178 176 176 176 174 167 173 183 173 42.3 11.0 171
10.1 123 25.2 147 8.7 171 174 181 185 172
"""
"""Output tokens/s of one configuration, run after run (random:llama, 4 prompts of 24 tokens, 2.4 s from one run to the
next; 2026-11-30, 2 cores of a virtual machine on which the tests of others came and went)."""
RECORDED = [float(text) for text in RECORDING.split()]


def quiet(generator, count):
    """No weather."""
    return np.zeros(count)


def drifting(generator, count):
    """Weather of a shared machine, in three parts that are seen in `RECORDED`.

    A random walk that moves at one run in ten by 15 % (another clock, another neighbour for good); a trend of 3 % a run
    (heat); and neighbours who come at one run in ten, stay for two runs on average and make each 1.3 to 5 times as
    long. Of 24 runs the fastest is 4.6 times as fast as the slowest, in the median: as 27 to 125 tokens/s, which were
    measured.
    """
    walk = np.cumsum(np.where(generator.random(count) < 0.1, generator.normal(0.0, 0.15, count), 0.0))
    neighbours, present = np.zeros(count), 0.0
    for run in range(count):
        if present and generator.random() < 0.5:
            present = 0.0
        elif not present and generator.random() < 0.1:
            present = generator.uniform(0.3, 1.6)
        neighbours[run] = present
    return walk + generator.normal(0.0, 0.03) * np.arange(count) + neighbours


def recorded(generator, count):
    """A piece of the recording, from a moment that is drawn."""
    start = generator.integers(len(RECORDED) - count + 1)
    return -np.log(np.array(RECORDED[start : start + count]))


def runs_in(weather, order, generator, *, spread=0.04, factor=1.0, metrics=4):
    """Return the runs of A and of B, made in `order` in a piece of weather.

    Beside the weather, which all four headline figures share, each strays by `spread`; the first `metrics` of B are
    worse by `factor`.
    """
    count = len(order.replace(PAUSE, ""))
    logs = weather(generator, count)[:, None] + spread * generator.standard_normal((count, 4))

    def run(name, number, start):
        slower = np.exp(logs[number])
        if name == "B":
            slower[:metrics] *= factor
        joules, seconds, ttft, tpot = slower.tolist()
        return one_run(name, 100 * joules, 50 / seconds, 80 * ttft, 20 * tpot, start=start)

    return made(order, run)
