"""The names that the plan of persistence gives to the parts of a save are there, and do what it says."""

import re
import threading

import pytest

from llenergymeasure.results.persistence import _atomic_write, _experiment_dir_name, _find_collision_free_dir
from small_result import make_result


def test_the_name_of_a_folder_has_model_backend_and_minute(tmp_path):
    result = make_result(effective_config={"model": "meta-llama/Llama-3.1-8B"})
    name = _experiment_dir_name(result)
    assert re.fullmatch(r"meta-llama-llama-3\.1-8b_pytorch_\d{4}-\d\d-\d\dT\d\d-\d\d", name)
    assert result.save(tmp_path).parent.name[: len(name) - 1] == name[:-1]  # another minute may have begun


def test_a_directory_that_is_free_is_made_with_its_parents_and_each_caller_gets_its_own(tmp_path):
    base, made = tmp_path / "results" / "a", []
    threads = [threading.Thread(target=lambda: made.append(_find_collision_free_dir(base))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.name for path in made) == ["a", "a_1", "a_2", "a_3"]
    assert all(path.is_dir() for path in made)


def test_a_text_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "result.json"
    _atomic_write("é", path)
    with pytest.raises(UnicodeEncodeError):
        _atomic_write("\ud800", path)
    assert path.read_bytes() == "é".encode()
    assert list(tmp_path.iterdir()) == [path]
