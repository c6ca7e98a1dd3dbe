"""Raw results of several schema versions that are put together."""

from collections.abc import Iterator, Sequence

from labledger.schema_versions import Record, is_same_version
from llenergymeasure.domain.experiment import SCHEMA_VERSION, RawProcessResult
from llenergymeasure.results.persistence import RERUN_COMMAND
from llenergymeasure.results.raw_results import processes


def versions_warning(raw_results: Sequence[RawProcessResult]) -> str | None:
    """A warning where the results are of several schema versions, with the fields that all of one version lack and not
    all of another; None where they are of one."""
    of_version: dict[str | None, list[RawProcessResult]] = {}
    for raw in raw_results:
        version = next((each for each in of_version if is_same_version(each, raw.schema_version)), raw.schema_version)
        of_version.setdefault(version, []).append(raw)
    if len(of_version) < 2:
        return None
    unknown = [set[str].intersection(*(set(_unknown_fields(raw)) for raw in raws)) for raws in of_version.values()]
    lacking = set[str].union(*unknown) - set[str].intersection(*unknown)
    missing = ", ".join(f"[{name}]" for name in sorted(lacking) if name.partition(".")[0] not in lacking - {name})
    named = " and ".join(sorted(_of_version(version, raws) for version, raws in of_version.items()))
    lines = [f'Warning: Raw results have schema_version {named}; current schema is "{SCHEMA_VERSION}".']
    lines += [f"  Missing fields: {missing} → None"] if missing else []
    return "\n".join([*lines, f"  To rerun with updated schema: {RERUN_COMMAND}"])


def _of_version(version: str | None, raws: Sequence[RawProcessResult]) -> str:
    said = f'"{version}"' if version else "of no version"
    return f"{said} ({processes([raw.process_index or 0 for raw in raws])})"


def _unknown_fields(record: Record, prefix: str = "") -> Iterator[str]:
    """The paths of fields that are None."""
    for name in type(record).model_fields:
        value = getattr(record, name)
        if value is None:
            yield prefix + name
        elif isinstance(value, Record):
            yield from _unknown_fields(value, f"{prefix}{name}.")
