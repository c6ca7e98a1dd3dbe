"""Damaged files: a cut, a flipped bit or a zeroed byte is always reported, and never ends in a traceback."""

import itertools
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from labledger.errors import UnreadableFileError
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.power import PowerSample
from llenergymeasure.results.persistence import load_result, load_timeseries
from llenergymeasure.results.timeseries import load_timeseries_parquet, write_timeseries_parquet
from llenergymeasure.results.verification import verify
from properties import examples
from small_result import make_result

Damage = Callable[[bytes], bytes]

DAMAGES = examples(300)
ANY_PLACE = st.floats(0, 1, exclude_max=True)


def cut(place: float) -> Damage:
    return lambda content: content[: int(len(content) * place)]


def flipped(place: float, bit: int) -> Damage:
    return lambda content: _with_byte(content, place, lambda byte: byte ^ 1 << bit)


def zeroed(place: float) -> Damage:
    return lambda content: _with_byte(content, place, lambda byte: 0)


def _with_byte(content: bytes, place: float, change: Callable[[int], int]) -> bytes:
    index = int(len(content) * place)
    return content[:index] + bytes([change(content[index])]) + content[index + 1 :]


damages = st.builds(cut, ANY_PLACE) | st.builds(flipped, ANY_PLACE, st.integers(0, 7)) | st.builds(zeroed, ANY_PLACE)


def full_result() -> ExperimentResult:
    """A result with records in it, so that damage falls into those too."""
    distribution = {"n": 4, "mean": 2.5, "median": 2.5, "p90": 4.0, "p95": 4.0, "p99": 4.0}
    return make_result(
        latency_stats={"ttft_ms": distribution, "tpot_ms": None, "itl_ms": None, "e2e_ms": distribution},
        energy_breakdown={
            "raw_j": 60.0,
            "adjusted_j": 50.0,
            "baseline_power_w": 1.0,
            "baseline_method": "cached",
            "baseline_timestamp": None,
            "baseline_cache_age_sec": 5.5,
        },
        thermal_time_series=[(0.0, 40.0), (1.0, 41.0)],
        verdict="valid",
        measurement_warnings=['ünïcode \U0001f999 \\ " / \n'],
    )


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """The folder of a saved result with a timeseries."""
    folder = tmp_path_factory.mktemp("saved")
    samples = [PowerSample(n * 0.1, 100.0 + n * 1.37, 50.0, 0) for n in range(30)]
    source = write_timeseries_parquet(samples, folder / "source.parquet")
    return full_result().save(folder / "results", timeseries_source=source).parent


@pytest.fixture(scope="module")
def copied(pristine):
    """Copies the result anew, over the copy before, and returns its result.json."""
    copy = pristine.parent / "copy"
    return lambda: Path(shutil.copytree(pristine, copy, dirs_exist_ok=True)) / "result.json"


@pytest.fixture(scope="module")
def damaged(copied):
    """Copies the result with one file damaged, and returns its result.json; drops an example that changes nothing."""

    def spoil(name: str, damage: Damage) -> Path:
        path = copied()
        content = (path.parent / name).read_bytes()
        assume(damage(content) != content)
        (path.parent / name).write_bytes(damage(content))
        return path

    return spoil


def load_or_refusal(path: Path) -> ExperimentResult | UnreadableFileError:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return load_result(path)
        except UnreadableFileError as error:
            return error


def escaping_error(read: Callable[[Path], object], path: Path) -> type[Exception] | None:
    """The error that `read` raises, if it is not an OSError."""
    try:
        read(path)
    except Exception as error:
        return None if isinstance(error, OSError) else type(error)
    return None


def seal_of(path: Path) -> tuple[int, int]:
    """The positions in the file at which the name of the seal begins and its digest ends."""
    content = path.read_bytes()
    return content.rindex(b'"integrity"'), content.rindex(b', "timeseries_sha256"')


def test_a_result_as_it_was_saved_verifies(pristine):
    verified = verify(pristine / "result.json")
    assert (verified.status, verified.problems, verified.verdict) == ("ok", (), "valid")


@DAMAGES
@given(damage=damages)
@example(damage=cut(0))
@example(damage=lambda content: content[:-1])
@example(damage=lambda content: content[:-2])
def test_damage_to_a_result_is_always_reported(damaged, pristine, damage):
    before = (pristine / "result.json").read_bytes()
    path = damaged("result.json", damage)
    start, end = seal_of(pristine / "result.json")
    after = path.read_bytes()
    only_the_seal = after[:start] == before[:start] and after[end:] == before[end:]
    verified = verify(path)
    assert verified.problems
    assert verified.status == "broken" or (only_the_seal and verified.status == "unverified")


@DAMAGES
@given(damage=damages)
@example(damage=cut(0))
def test_damage_to_a_timeseries_is_always_reported(damaged, damage):
    verified = verify(damaged("timeseries.parquet", damage))
    assert (verified.status, verified.verdict) == ("broken", "valid")
    assert any("timeseries.parquet" in problem for problem in verified.problems)


@DAMAGES
@given(damage=damages, second=damages)
def test_loading_a_damaged_result_warns_or_is_refused_by_the_files_name(damaged, damage, second):
    path = damaged("result.json", lambda content: second(damage(content) or b"\0"))
    loaded = load_or_refusal(path)
    assert isinstance(loaded, ExperimentResult) or all(
        line.startswith(f"{path}: ") for line in str(loaded).splitlines()
    )


@DAMAGES
@given(damage=damages)
def test_reading_a_damaged_timeseries_gives_a_table_or_an_error_that_names_it(damaged, damage):
    path = damaged("timeseries.parquet", damage)
    sidecar = path.parent / "timeseries.parquet"
    for load in (
        lambda: load_timeseries(make_result(timeseries="timeseries.parquet"), path),
        lambda: load_timeseries_parquet(sidecar),
    ):
        try:
            assert isinstance(load(), pyarrow.Table)
        except OSError as error:
            assert error.filename == str(sidecar)  # noqa: PT017 - either may come


def test_a_timeseries_with_any_one_bit_of_its_footer_flipped_gives_a_table_or_an_os_error(copied):
    """Page checksums do not cover the footer: each kind of nonsense there gets to the reader of Parquet."""
    sidecar = copied().parent / "timeseries.parquet"
    content, escaped = sidecar.read_bytes(), set()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for index, bit in itertools.product(range(footer, len(content)), (0, 1, 7)):
        sidecar.write_bytes(content[:index] + bytes([content[index] ^ 1 << bit]) + content[index + 1 :])
        escaped.add(escaping_error(load_timeseries_parquet, sidecar))
    assert escaped == {None}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


def places_in(document: Any, path: tuple = ()) -> list[tuple]:
    """The keys that lead to each value, at any depth."""
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    found = [((*path, key), value) for key, value in pairs]
    return [
        place
        for keys, value in found
        for place in [keys, *(places_in(value, keys) if isinstance(value, dict | list) else [])]
    ]


@DAMAGES
@given(data=st.data(), value=json_values, version=st.sampled_from(["2.0", "1.0", "3.0", None, 5, []]))
def test_a_value_of_any_other_kind_anywhere_in_a_result_is_read_or_refused_by_its_place(copied, data, value, version):
    path = copied()
    document = json.loads(path.read_bytes())
    *parents, last = data.draw(st.sampled_from(places_in(document)))
    holder = document
    for key in parents:
        holder = holder[key]
    holder[last] = value
    path.write_text(json.dumps({**document, "schema_version": version}))
    loaded = load_or_refusal(path)
    assert isinstance(loaded, ExperimentResult) or str(loaded).startswith(f"{path}: ")
    assert verify(path).status != "ok"


def test_a_sidecar_of_another_result_is_reported(copied):
    path = copied()
    write_timeseries_parquet([PowerSample(0.0, 1.0, 50.0, 0)], path.parent / "timeseries.parquet")
    assert verify(path).status == "broken"


def test_a_sidecar_that_is_gone_is_reported_by_its_name(copied):
    path = copied()
    (path.parent / "timeseries.parquet").unlink()
    verified = verify(path)
    assert verified.status == "broken"
    assert "timeseries.parquet" in verified.problems[0]


def test_a_result_that_is_gone_or_a_folder_is_broken_and_no_traceback(tmp_path):
    assert verify(tmp_path / "result.json").status == "broken"
    assert verify(tmp_path).status == "broken"


@pytest.mark.parametrize("integrity", [..., None, {}, {"sha256": "abc"}, "text"])
def test_a_result_without_a_seal_is_unverified_and_nothing_worse(copied, integrity):
    path = copied()
    document = {**json.loads(path.read_bytes()), "integrity": integrity}
    path.write_text(json.dumps({name: value for name, value in document.items() if value is not ...}))
    assert (verify(path).status, verify(path).verdict) == ("unverified", "valid")
