"""Studies whose runs were never made: any number of cells and rounds, with figures that a test chooses."""

from datetime import timedelta

import numpy as np
from compared_runs import APART_S, BEGAN, one_run

from llenergymeasure.domain.study import StudyCell, StudyManifest, StudyRun
from llenergymeasure.results.persistence import save_result
from llenergymeasure.results.study.manifest import write_manifest
from llenergymeasure.results.study.runs import StudyRuns
from llenergymeasure.run.repeats import rounds

EFFECTIVE = {"model": "gpt2", "backend": "pytorch"}


def planned(cells, repeats, order):
    """Return cell and round of each run, in order."""
    if order == "blocks":
        return [(cell, number) for cell in range(cells) for number in range(1, repeats + 1)]
    return [(run.configuration, run.round_number) for run in rounds(cells, repeats)]


def built(cells, repeats, fields_of, *, order="alternating", session_of=lambda number: 1, start_of=None, names=None):
    """Return a study; `fields_of(cell, round_number, place)` are the arguments of `one_run`, None of a failed run."""
    names = names or [f"batch_size {2**cell}" for cell in range(cells)]
    records, results = [], []
    for place, (cell, number) in enumerate(planned(cells, repeats, order)):
        start = BEGAN + timedelta(seconds=place * APART_S if start_of is None else start_of(place))
        fields = fields_of(cell, number, place)
        run = StudyRun(
            cell=cell, round_number=number, state="failed" if fields is None else "done",
            started_at=start, elapsed_s=80.0, session=session_of(place),
        )  # fmt: skip
        result = None
        if fields is not None:
            fields = {"start": start, "effective_config": EFFECTIVE | {"batch_size": 2**cell}} | fields
            result = one_run("AB"[cell % 2], **{"experiment_id": f"{cell}-{number}"} | fields)
            run = run.model_copy(update={"folder": f"{cell}-{number}", "experiment_id": result.experiment_id})
        records.append(run)
        results.append(result)
    planned_cells = [
        StudyCell(name=name, changes={"batch_size": 2**cell}, config_hash=f"{cell:016x}", config=EFFECTIVE)
        for cell, name in enumerate(names)
    ]
    settings = {"study": {"order": order, "repeats": repeats, "seed": 1}}
    manifest = StudyManifest(study_name="built", settings=settings, cells=planned_cells, runs=records)
    return StudyRuns(manifest, results)


def slower(factor):
    """Return the figures of a run that is slower by a factor in each of the four headline metrics."""
    joules, seconds, ttft, tpot = factor if np.ndim(factor) else [factor] * 4
    return {
        "energy_j": float(100 * joules), "tokens_s": float(50 / seconds),
        "ttft_ms": float(80 * ttft), "tpot_ms": float(20 * tpot),
    }  # fmt: skip


def weathered(generator, weather, cells, repeats, *, spreads=0.05, factors=1.0, order="alternating"):
    """Return a study in a piece of weather, in which each run strays by the spread of its cell beside it."""
    logs = weather(generator, cells * repeats)
    spreads, factors = np.broadcast_to(spreads, cells), np.broadcast_to(factors, cells)
    noise = generator.standard_normal((cells * repeats, 4))

    def fields(cell, number, place):
        return slower(factors[cell] * np.exp(logs[place] + spreads[cell] * noise[place]))

    return built(cells, repeats, fields, order=order)


def saved(study, folder):
    """Save a study as `llem run` does, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for run, result in zip(study.manifest.runs, study.results, strict=True):
        name = save_result(result, folder).parent.name if result is not None else None
        records.append(run.model_copy(update={"folder": name}))
    write_manifest(study.manifest.model_copy(update={"runs": records}), folder)
    return folder
