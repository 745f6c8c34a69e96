"""The command line as others use it: quick, plain, and honest in its exit codes."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import keystead


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run ``keystead`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "keystead", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run a few lines of Python in a process of its own."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_the_version_is_told_without_loading_the_command_line() -> None:
    found = run_python(
        "import sys; sys.argv = ['keystead', '--version']\n"
        "from keystead.__main__ import main; main()\n"
        "assert 'click' not in sys.modules and 'keystead.kernel.settings' not in sys.modules"
    )
    assert (found.stdout, found.stderr, found.returncode) == (f"keystead {keystead.__version__}\n", "", 0)


def test_the_installed_command_is_the_module() -> None:
    command = Path(sys.executable).with_name("keystead")
    found = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=60, check=False)
    assert found.stdout == run("--version").stdout


def test_the_help_lists_the_commands_without_loading_any() -> None:
    found = run_python(
        "import sys; sys.argv = ['keystead', '--help']\n"
        "from keystead.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not [name for name in sys.modules if name.startswith('keystead.operate')]"
    )
    assert found.returncode == 0, found.stderr
    for command in ("serve", "admin", "doctor"):
        assert f"\n  {command} " in found.stdout


@pytest.mark.parametrize("command", [[], ["admin"], ["admin", "create-user"], ["doctor"]])
def test_every_help_explains_itself_with_an_example(command: list[str]) -> None:
    found = run(*command, "--help")
    assert found.returncode == 0
    assert "Examples:\n    keystead " in found.stdout
    assert "!" not in found.stdout


@pytest.mark.parametrize("arguments", [["no-such-command"], ["--no-such-option"], ["admin", "create-org"]])
def test_a_mistake_in_the_options_ends_with_exit_code_2_and_nothing_on_stdout(arguments: list[str]) -> None:
    found = run(*arguments)
    assert (found.returncode, found.stdout) == (2, "")
    assert "Error: " in found.stderr


def test_without_the_servers_packages_a_sentence_says_what_to_install() -> None:
    found = run_python(
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in {'sqlalchemy', 'fastapi', 'pydantic', 'uvicorn', 'cryptography'}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "sys.argv = ['keystead', 'admin', 'create-org', '--data', 'nowhere', '--name', 'acme']\n"
        "from keystead.__main__ import main; main()\n"
    )
    assert found.returncode == 1
    assert found.stdout == ""
    assert found.stderr.strip().endswith("Install them: pip install 'keystead[server]'")
    assert found.stderr.count("\n") == 1


def test_a_reader_who_has_gone_is_no_reason_for_a_traceback() -> None:
    command = f"{sys.executable} -m keystead admin --help | true"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert found.stderr == ""


CTRL_C_IN: Final = {
    "a callback": "weakref.finalize(Thing(), signal.raise_signal, signal.SIGINT)",
    "the making of a class": "type('Made', (), {'name': Named()})",
}
"""Where Python cannot raise KeyboardInterrupt as it is; imports do both, again and again."""
PRESSED: Final = """
import signal, sys, time, weakref
from keystead.cli import running
signal.signal(signal.SIGINT, signal.default_int_handler)
class Thing: pass
class Named:
    def __set_name__(self, owner, name): signal.raise_signal(signal.SIGINT)
def command(*arguments, **options):
    {pressed}
    time.sleep(30)
running.keystead.main = command
sys.exit(running.run(["whoami"]))
"""


@pytest.mark.parametrize("where", CTRL_C_IN)
def test_no_ctrl_c_is_lost_or_a_traceback_wherever_python_hears_it(where: str) -> None:
    ended = run_python(PRESSED.format(pressed=CTRL_C_IN[where]))
    assert (ended.returncode, "Traceback" in ended.stderr) == (130, False), ended.stderr
