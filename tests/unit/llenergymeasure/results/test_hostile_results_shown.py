"""Results folders are copied between people: what a strange one says is shown, and no terminal obeys it."""

import json
import sys

import pytest

from labledger.commands import run_program
from llenergymeasure.cli.main import app
from llenergymeasure.domain.experiment import ExperimentResult
from small_result import make_result

FORGED = "3 of 3 results are as they were saved"
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\u200b\x7f\r\u2028\n" + FORGED


@pytest.fixture
def folder(tmp_path):
    """Two results of hostile texts in folders of hostile names, and one that cannot be read."""
    for number in range(2):
        result = make_result(
            experiment_id=f"{number}{EVIL}",
            backend=f"pytorch{EVIL}",
            backend_version=EVIL,
            effective_config={"model": f"gpt2{EVIL}", "backend": "pytorch", f"x{EVIL}": f"{number}{EVIL}"},
            verdict="invalid",
            verdict_reasons=[EVIL],
            measurement_warnings=[f"warned {EVIL}"],
        )
        path = tmp_path / "results" / f"{number}{EVIL}" / "result.json"
        path.parent.mkdir(parents=True)
        path.write_text(result.to_json())
        assert ExperimentResult.from_json(path).measurement_warnings == [f"warned {EVIL}"]
    broken = tmp_path / "results" / f"2{EVIL}" / "result.json"
    broken.parent.mkdir()
    broken.write_text(f'{{"{EVIL}": '.replace("\r", "").replace("\n", ""))
    return tmp_path / "results"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("list {}", 0),
        ("list {} --json", 0),
        ("show 0 --dir {}", 0),
        ("show 0 --dir {} --json", 0),
        ("show none --dir {}", 2),
        ("compare {} {}", 0),
        ("compare 0 1 --dir {}", 0),
        ("compare 0 1 --dir {} --json", 0),
        ("verify {}", 1),
        ("verify {} --json", 1),
        ("recover {}", 0),
        ("sql SELECT*FROM|results --dir {}", 0),
        ("sql SELECT*FROM|results --dir {} --json", 0),
        ("sql SELECT|\x1b[2J --dir {}", 2),
    ],
)
def test_no_command_prints_what_a_terminal_would_obey(folder, command, code, monkeypatch, capsys):
    words = [word.format(folder).replace("|", " ") for word in command.split(" ")]
    names = {"0": f"0{EVIL}", "1": f"1{EVIL}"}
    monkeypatch.setattr(sys, "argv", ["llem", "results", *(names.get(word, word) for word in words)])
    with pytest.raises(SystemExit) as ended:
        run_program(app)
    out, err = capsys.readouterr()
    assert (out + err).replace("\n", "").isprintable()
    assert ended.value.code == code
    assert FORGED not in (out + err).splitlines()
    if "--json" in words:
        assert json.dumps(f"gpt2{EVIL}")[1:-1] in json.dumps(json.loads(out)) or words[0] in ("verify", "compare")
