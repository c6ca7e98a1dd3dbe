"""Documents: records that are JSON files of their own, known by their first key and sealed by their last.

The first key, `kind`, says what a document is: files of several instruments share a folder, and what is left of one
that was cut short still tells whose it was. The last, `integrity`, holds digests, `sha256` over the file's own bytes.
Neither is a field: records are equal whatever they were read from, and a record inside another has neither.
"""

import hashlib
import json
import re
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import ModelWrapValidatorHandler, ValidationInfo, model_validator

from labledger.errors import UnreadableFileError
from labledger.schema_versions import FROM_FILE, Record, parse_json, record_of

COMMANDS = {
    "llem.result": "llem results show",
    "llem.raw_result": "llem results show",
    "llem.journal": "llem results recover",
    "llem.study": "llem study show",
    "llem.study_manifest": "llem study show",
    "payments.experiment": "payment-sim experiment show",
    "payments.outcome": "payment-sim show",
}
"""The command that reads a kind of file: who meets one need not have the instrument that wrote it."""

D = TypeVar("D", bound="Document")
Seal = Literal["holds", "broken", "absent"]

_KIND = r"[a-z0-9_]{1,40}(?:\.[a-z0-9_]{1,40}){1,4}"
_HEAD = re.compile(rb'\s*\{\s*"kind"\s*:\s*"(' + _KIND.encode() + rb')"')
_ZEROS = "0" * 64
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DIGEST_KEY = b'"sha256": "'


class Document(Record):
    """A record that is a file of its own.

    Its text is read with its kind and its seal by `model_validate_json` too, which refuses one of another kind. That
    neither checks the seal nor warns; what is built has no seal.

    `document_kind` is the value of `kind`, the instrument's name first; `known_by` a field that no other kind of
    document has, by which one is known that was written before there was a `kind`.
    """

    document_kind: ClassVar[str]
    known_by: ClassVar[str]

    @model_validator(mode="wrap")
    @classmethod
    def _without_what_is_no_field(cls, data: Any, build: ModelWrapValidatorHandler[D], info: ValidationInfo) -> D:
        if not isinstance(data, dict):
            return build(data)
        if info.mode == "json" and info.context != FROM_FILE:
            if problem := _problem_of_kind(cls, data):
                raise ValueError(problem)
            data = _without(data, "integrity")
        return build(_without(data, "kind") if data.get("kind") == cls.document_kind else data)


class OtherKindError(UnreadableFileError):
    """A file is of another kind than was asked for: who looks through a folder passes over it.

    `kind` is the one that it names, None where it names none.
    """

    def __init__(self, message: str, kind: str | None) -> None:
        super().__init__(message)
        self.kind = kind


def document_dict(document: Document) -> dict[str, Any]:
    """Return the document as a dict of plain values, `kind` first."""
    return {"kind": document.document_kind, **document.model_dump(mode="json")}


def dump_document(document: Document) -> str:
    """Return the document as indented JSON text, `kind` first."""
    return f'{{\n  "kind": "{document.document_kind}",{document.model_dump_json(indent=2).removeprefix("{")}'


def sealed(text: str, **digests: str | None) -> bytes:
    """Return the bytes of a file: `text`, a JSON object, with a last key, `integrity`.

    It holds the digest of the file's own bytes, its digits read as zeros, and then `digests`, which that covers.
    """
    seal = json.dumps({"sha256": _ZEROS, **digests})
    content = f'{text.removesuffix("}").rstrip()},\n  "integrity": {seal}\n}}\n'.encode()
    digest = hashlib.sha256(content).hexdigest().encode()
    start = content.rindex(_DIGEST_KEY) + len(_DIGEST_KEY)
    return content[:start] + digest + content[start + len(digest) :]


def seal_of(data: dict[str, Any]) -> dict[str, Any]:
    """Return the digests that a document carries; empty where it has none."""
    seal = data.get("integrity")
    return seal if isinstance(seal, dict) else {}


def check_seal(content: bytes, data: dict[str, Any]) -> Seal:
    """Return "holds" if the file's bytes, `content`, from which `data` was read, are as they were sealed."""
    digest = seal_of(data).get("sha256")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        return "absent"
    start = content.rfind(_DIGEST_KEY) + len(_DIGEST_KEY)
    unsealed = hashlib.sha256(memoryview(content)[:start])
    unsealed.update(_ZEROS.encode())
    unsealed.update(memoryview(content)[start + len(digest) :])
    return "holds" if unsealed.hexdigest() == digest else "broken"


def named_kind(start: bytes) -> str | None:
    """Return the kind that a file names in its first bytes, where all documents have it; None where it names none."""
    head = _HEAD.match(start)
    return None if head is None else head[1].decode()


def read_document(model: type[D], content: bytes, where: str) -> tuple[D, dict[str, Any]]:
    """Return the document in `content`, and the JSON object that it was read from. Errors name the file by `where`.

    Raises:
        OtherKindError: it is of another kind, or of none: JSON that is no document of labledger.
        UnreadableFileError: it is no JSON, and does not begin as a document of another kind; or it is of this kind, and
            a value has a wrong type.
    """
    try:
        data = parse_json(content, where)
    except UnreadableFileError:
        if (kind := named_kind(content)) not in (None, model.document_kind):
            raise _other_kind(where, kind, model) from None
        raise
    if not isinstance(data, dict):
        raise OtherKindError(f"{where}: line 1 column 1: expected an object, found {type(data).__name__}", None)
    _check_kind(model, content, data, where)
    return record_of(model, _without(data, "integrity"), where), data


def _without(data: dict[str, Any], key: str) -> dict[str, Any]:
    others = dict(data)
    others.pop(key, None)
    return others


def _check_kind(model: type[Document], content: bytes, data: dict[str, Any], where: str) -> None:
    """Refuse what is of another kind, and what is of this one and no longer says so."""
    if _problem_of_kind(model, data) is None:
        return
    kind = _kind(data)
    if model.known_by in data and (kind is None or check_seal(content, data) == "broken"):
        # A byte of the kind was changed, or it was written over.
        raise UnreadableFileError(
            f"{where}: kind: should be {model.document_kind}, as it has {model.known_by}; it was changed"
        )
    raise _other_kind(where, kind, model)


def _problem_of_kind(model: type[Document], data: dict[str, Any]) -> str | None:
    """Return the reason why a file's JSON object is no document of `model`; None where it is one."""
    if data.get("kind") == model.document_kind or ("kind" not in data and model.known_by in data):
        return None
    kind = _kind(data)
    if kind is None and model.known_by in data:
        return f"its kind should be {model.document_kind}, as it has {model.known_by}"
    if kind is None:
        found = f"it names no kind, and has no {model.known_by}, by which older files are known"
    elif kind in COMMANDS:
        found = f"its kind is {kind}, which `{COMMANDS[kind]}` reads"
    else:
        found = f"its kind is {kind}, which this version of labledger does not know"
    return f"is no {model.document_kind}: {found}"


def _kind(data: dict[str, Any]) -> str | None:
    found = data.get("kind")
    return found if isinstance(found, str) and re.fullmatch(_KIND, found) else None


def _other_kind(where: str, kind: str | None, wanted: type[Document]) -> OtherKindError:
    return OtherKindError(f"{where}: {_problem_of_kind(wanted, {} if kind is None else {'kind': kind})}", kind)
