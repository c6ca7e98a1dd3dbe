"""The measurements of a run that was ended before its result was whole."""

from pathlib import Path

from llenergymeasure.metrics.measurement import Measurement
from llenergymeasure.metrics.summary import raw_result
from llenergymeasure.results.persistence import save_raw_result


def keep_unfinished(measurement: Measurement, share: int, output_dir: Path | None, error: BaseException) -> bool:
    """Keep what an unfinished run has measured of its `share` of the requests, and note on `error` where.

    Returns False where it could not be kept.
    """
    finished = sum(len(batch.requests) for batch in measurement.batches)
    if not finished:
        return True
    if output_dir is None:
        error.add_note(f"{finished} finished requests are lost: no output directory was given")
        return True
    try:
        path = save_raw_result(raw_result(measurement).model_copy(update={"is_partial": finished < share}), output_dir)
    except (OSError, ValueError) as second:
        error.add_note(f"{finished} finished requests could not be kept: {second}")
        return False
    error.add_note(f"{finished} finished requests are kept in {path}: llem results show reads it")
    return True
