"""Commands in a shell: readers that leave before the end, as `head` does, and completion."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import warm

LLEM = Path(sys.executable).with_name("llem")
PATIENCE_S = 60
COMPLETE = """
source ~/.bashrc
for line in "$@"; do
    read -ra COMP_WORDS <<< "$line"
    [[ $line == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    $(complete -p "${COMP_WORDS[0]}" | sed 's/.*-F \\([^ ]*\\).*/\\1/') "${COMP_WORDS[0]}"
    echo "${COMPREPLY[@]}"
done
"""


def without_reader(user, *command):
    """The exit code and standard error of a command whose standard output nobody reads from the first byte on."""
    reads, writes = os.pipe()
    os.close(reads)
    try:
        with warm.Popen(
            command,
            cwd=user.folder,
            env=user.environment(),
            stdin=subprocess.DEVNULL,
            stdout=writes,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            _, stderr = process.communicate(timeout=PATIENCE_S)
    finally:
        os.close(writes)
    return process.returncode, stderr


@pytest.mark.parametrize(
    "line",
    [
        "llem",
        "llem doctor",
        "payment-sim policy schema",
        *(
            pytest.param(line, marks=pytest.mark.slow)
            for line in (
                "llem --help",
                "llem --version",
                "payment-sim run --help",
                "llem config",
                "llem config schema",
                "llem results list .",
                "payment-sim",
                "payment-sim experiment template",
            )
        ),
    ],
)
def test_a_command_whose_reader_has_left_ends_with_exit_code_0_and_no_message(user, line):
    name, *arguments = line.split()
    assert without_reader(user, LLEM.with_name(name), *arguments) == (0, "")


def test_a_command_that_fails_fails_whether_its_answer_is_read_or_not(user):
    (user.folder / "results" / "broken").mkdir(parents=True)
    user.write("results/broken/result.json", '{"kind": "llem.result"')
    assert without_reader(user, LLEM, "results", "verify") == (1, "")


def test_an_error_that_nobody_reads_gives_its_exit_code(user):
    reads, writes = os.pipe()
    os.close(reads)
    with warm.Popen([LLEM, "run", "gone.yaml"], cwd=user.folder, env=user.environment(), stderr=writes) as process:
        os.close(writes)
        assert process.wait(PATIENCE_S) == 2


@pytest.mark.parametrize("unbuffered", ["", pytest.param("1", marks=pytest.mark.slow)])
def test_the_first_lines_of_an_answer_reach_head_in_a_pipeline(user, unbuffered):
    ended = user.shell(
        f"{{ PYTHONUNBUFFERED={unbuffered} llem config schema; echo $? >&2; }} 2>code | head -n 1; cat code"
    )
    assert ended.stdout == "{\n0\n"


@pytest.mark.parametrize(
    ("program", "lines", "found"),
    [
        (
            "llem",
            ["llem results ver", "llem results compare --fail-if-w"],
            ["verify", "--fail-if-worse"],
        ),
        pytest.param("payment-sim", ["payment-sim "], ["run policy experiment"], marks=pytest.mark.slow),
    ],
)
def test_bash_completes_commands_and_options_once_completion_is_installed(user, program, lines, found):
    environment = user.environment()
    installed = subprocess.run(
        ["bash", "-c", f"{program} --install-completion; true"],  # the shell it is called from is found out
        env=environment,
        cwd=user.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{program}.sh" in installed.stdout
    completed = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", *lines], env=environment, capture_output=True, text=True, check=True
    )
    assert completed.stdout.splitlines() == found


@pytest.mark.slow
def test_a_folder_that_completion_cannot_be_installed_in_is_one_message(user):
    Path(user.environment()["HOME"], ".bash_completions").write_text("in the way")
    ended = user.llem("--install-completion", "bash")
    assert ended.code == 1
    assert ended.stderr.startswith("error: ")
    assert ".bash_completions" in ended.stderr
