"""Finding by an id or by its beginning: an id alone, one of several, and none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labledger.errors import ConfigError
from labledger.lookup import by_prefix

ids = st.text("abc-1", min_size=1, max_size=4)


def find(known, prefix):
    return by_prefix(known, prefix, id_of=str, kind="run", where="a.db")


@given(st.sets(ids, max_size=6), ids)
def test_an_id_or_a_beginning_that_only_one_has_finds_it_and_nothing_else_does(known, prefix):
    beginning = [each for each in known if each.startswith(prefix)]
    if prefix in known or len(beginning) == 1:
        assert find(known, prefix) == (prefix if prefix in known else beginning[0])
        return
    with pytest.raises(ConfigError, match=f"{len(beginning)} runs have" if beginning else "there is no run"):
        find(known, prefix)


def test_an_id_that_begins_other_ids_finds_its_own():
    assert find(["run-1", "run-10", "run-11"], "run-1") == "run-1"


def test_nothing_is_found_by_an_empty_beginning():
    with pytest.raises(ConfigError, match="there is no run"):
        find(["run-1"], "")


@pytest.mark.parametrize(
    ("known", "prefix", "message"),
    [
        ([], "x", "a.db: there is no run x, nor any other"),
        (["castro1-two", "other"], "castro1-tow", "a.db: there is no run castro1-tow; near it are castro1-two"),
        (["ab1", "ab2"], "ab", "a.db: 2 runs have an id that begins with ab (ab1, ab2); name one"),
        ([f"r{n}" for n in range(9)], "z", "a.db: there is no run z; near it are r0, r1, r2, r3, r4, …"),
        (["a\n\x1b[2J"], "z", "a.db: there is no run z; near it are a \ufffd[2J"),
    ],
    ids=["none at all", "near", "several", "many", "a name with control characters"],
)
def test_what_is_not_found_is_an_error_with_the_place_and_the_names_near(known, prefix, message):
    with pytest.raises(ConfigError) as error:
        find(known, prefix)
    assert str(error.value) == message


def test_messages_name_an_item_as_the_caller_does():
    copies = [("id-1", "first folder"), ("id-1", "second folder")]
    with pytest.raises(ConfigError, match=r"\(first folder, second folder\)"):
        by_prefix(copies, "id-1", id_of=lambda each: each[0], name_of=lambda each: each[1], kind="result", where="r")
