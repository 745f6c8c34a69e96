"""What docs/backup.md says for PostgreSQL brings an installation back, as it stands there (promise O10)."""

import shlex
import subprocess
from pathlib import Path

from tests.docs.pages import DOCS, page
from tests.operate.copies import SECONDS, environment, keystead
from tests.support.postgres import PostgresServer
from tests.support.programs import program

SECRET = "s" * 40


def commands() -> list[str]:
    """Return the commands of the page that are PostgreSQL's."""
    lines = [line for block in page(DOCS / "backup.md").fences for line in block.splitlines()]
    return [line for line in lines if line.startswith("pg_")]


def test_the_commands_for_postgresql_bring_back_what_was_there(
    postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    settings = {"KEYSTEAD_DATABASE_URL": postgres_url, "KEYSTEAD_MASTER_SECRET": SECRET}

    def make(organization: str) -> None:
        made = keystead("admin", "create-org", "--data", tmp_path / "data", "--name", organization, **settings)
        assert made.returncode == 0, made.stderr

    def follow(command: str) -> None:
        name = command.split(maxsplit=1)[0]
        told = subprocess.run(
            ["bash", "-c", command.replace(name, shlex.quote(program(name)), 1)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            cwd=tmp_path,
            env=environment(**settings),
        )
        assert (told.returncode, told.stderr) == (0, "")

    def organizations() -> list[str]:
        return [name for (name,) in postgres_server.fetch("SELECT name FROM organization ORDER BY 1", postgres_url)]

    dump, restore = commands()
    make("old")
    follow(dump)
    make("later")
    follow(restore)
    assert organizations() == ["old"]
    make("next")
    assert organizations() == ["next", "old"]
    assert not (tmp_path / "data" / "keystead.db").exists()
