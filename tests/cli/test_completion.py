"""The Tab key, as the how-to page has shells ask for it."""

import subprocess

import pytest

from headrace.lab.balancer import own_program

SCRIPT = """
headrace() { "$HEADRACE" "$@"; }
source <(_HEADRACE_COMPLETE=source_bash headrace)
COMP_WORDS=($WORDS) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_headrace_completion "$HEADRACE"
echo "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        pytest.param("headrace dra", "drain", id="a command"),
        pytest.param("headrace get l", "lb log-level lbversion", id="what it is about"),
        pytest.param("headrace get lb --out", "--output", id="an option"),
    ],
)
def test_bash_completes(words: str, completed: str) -> None:
    (program,) = own_program("headrace")
    environment = {"PATH": "/usr/bin:/bin", "HEADRACE": program, "WORDS": words}

    done = subprocess.run(
        ["bash", "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == completed.split()


@pytest.mark.parametrize(
    ("shell", "said"),
    [("bash", "complete -o default"), ("zsh", "#compdef headrace"), ("fish", "complete --command")],
)
def test_there_is_a_script_for_each_shell(shell: str, said: str) -> None:
    done = subprocess.run(
        own_program("headrace"),
        env={"_HEADRACE_COMPLETE": f"source_{shell}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert said in done.stdout
