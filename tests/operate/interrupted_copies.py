"""A program that kills a backup, or a restore, after each line of its code in turn, and looks at what is left.

It has one thread, so it may fork; each kill is a SIGKILL of a child by itself. It prints a line of JSON for each kill.
"""

import sys
from functools import partial
from pathlib import Path

from keystead.db.installation import DATABASE_FILE, open_installation
from keystead.kernel.clock import SystemClock
from keystead.operate.backup import Progress, look_through, make_backup
from keystead.operate.restore import Judge, put_in_place
from tests.db.interrupted import attempts, report, runs_to_its_end
from tests.operate.copies import add_in_the_wal, organizations, organizations_in


def backups(directory: Path) -> None:
    """Kill a backup of a database whose newest row is in the -wal file alone."""
    template = directory / "template"
    for lines, copy in attempts(directory, template, 1):
        add_in_the_wal(copy, "newest")
        file = directory / f"backup-{lines}.db"
        act = partial(make_backup, copy / DATABASE_FILE, file, Progress())
        done = runs_to_its_end(act, "operate/backup.py", lines)
        whole = file.exists() and bool(look_through(file, str(file)).revision)
        report(
            lines=lines,
            done=done,
            there=file.exists(),
            whole=whole and sorted(organizations_in(file)),
            source=sorted(organizations(copy)),
        )
        file.unlink(missing_ok=True)
        if done:
            return


def restores(directory: Path) -> None:
    """Kill a restore over a database whose newest row is in the -wal file alone; then restore once more."""
    template, file = directory / "template", directory / "backup.db"
    for lines, copy in attempts(directory, template, 1):
        add_in_the_wal(copy, "newest")
        act = partial(put_in_place, copy, file, Judge(copy, None), Progress(), replace=True)
        done = runs_to_its_end(act, "operate/restore.py", lines)
        open_installation(copy, None, SystemClock())
        found = organizations(copy)
        kept = [sorted(organizations_in(path)) for path in copy.glob(f"{DATABASE_FILE}.replaced-*Z*")]
        act()
        report(
            lines=lines,
            done=done,
            found=sorted(found),
            kept=kept,
            again=sorted(organizations(copy)),
            left=sorted(path.name for path in copy.glob(".*")),
        )
        if done:
            return


if __name__ == "__main__":
    {"backups": backups, "restores": restores}[sys.argv[1]](Path(sys.argv[2]))
