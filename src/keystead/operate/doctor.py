"""``keystead doctor``: looks at an installation, and at the server from outside, and says what to mend.

It changes nothing. Each check answers in one line; a check that needs what another one found broken is left out.
"""

import json
import os
import shutil
import sqlite3
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from keystead.cli.options import data_option, examples
from keystead.operate.finding import Finding

if TYPE_CHECKING:
    from keystead.kernel.settings import Settings

LEAST_FREE: Final = 512 * 1024 * 1024
"""Bytes that should be free where the database is."""
RELEASED: Final = 1_763_000_000
"""A moment before this program was made, in Unix seconds: no clock that is right shows less."""
_CLOCKS_DIFFER: Final = 60
_PATIENCE: Final = 10.0


@click.command(
    epilog=examples(
        "keystead doctor --data .data",
        "keystead doctor --data /var/lib/keystead --url https://auth.example.com",
    )
)
@data_option
@click.option("--url", metavar="URL", help="Also ask the running server at this address, as people reach it.")
@click.pass_context
def doctor(ctx: click.Context, data: Path, url: str | None) -> None:
    """Check an installation and say what to mend.

    Prints one line for each check. Exit codes: 0 all is well, 1 something is to be mended, 2 wrong options.
    """
    findings = list(examine(data))
    if url is not None:
        findings.extend(examine_from_outside(url))
    for found in findings:
        click.echo(f"problem  {found.name}: {found.problem}" if found.problem else f"ok       {found.name}")
    if any(found.problem for found in findings):
        ctx.exit(1)


def examine(data: Path) -> Iterator[Finding]:
    """Check an installation on its host."""
    from keystead.db.installation import DATABASE_FILE
    from keystead.db.opening import database_url_of
    from keystead.kernel.settings import SettingsError
    from keystead.operate.installation import read_settings

    settings: Settings | None = None
    try:
        settings = read_settings(data)
    except SettingsError as error:
        yield from (Finding("settings", problem) for problem in error.problems)
    else:
        yield Finding("settings")
        yield _public_url(settings)
        yield _tls(settings)
        yield _proxies(settings)
        yield _logo(settings)
    if not data.is_dir():
        yield Finding("data directory", f"{data} does not exist: start the server once, or give the right directory.")
        return
    yield _modes(data)
    url = None if settings is None else database_url_of(settings)
    if settings is not None and url is not None:
        from keystead.operate.shared_doctor import examine_shared

        yield from examine_shared(data, settings, url)
        return
    yield _free_disk(data)
    if not (data / DATABASE_FILE).exists():
        yield Finding("database", f"There is no database in {data}: start the server once, or put it back.")
        return
    yield from _database(data / DATABASE_FILE)
    if settings is not None:
        yield _master_secret(data, settings)


def _logo(settings: "Settings") -> Finding:
    from keystead.kernel.settings import SettingsError
    from keystead.web.brand import read_brand

    try:
        read_brand(settings)
    except SettingsError as error:
        return Finding("logo", f"{str(error).removeprefix('logo: ')}.")
    return Finding("logo")


def _public_url(settings: "Settings") -> Finding:
    name = "public address"
    if not settings.public_url:
        return Finding(name, "It is not set: set KEYSTEAD_PUBLIC_URL to the https address that people use.")
    if not settings.public_url.startswith("https://"):
        return Finding(name, f"{settings.public_url} is for development: set KEYSTEAD_PUBLIC_URL to an https address.")
    return Finding(name)


def _tls(settings: "Settings") -> Finding:
    name = "TLS files"
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None and key is None:
        return Finding(name)
    if certificate is None or key is None:
        return Finding(name, "Set both KEYSTEAD_TLS_CERTIFICATE and KEYSTEAD_TLS_KEY, or neither.")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        return Finding(name, f"{certificate} and {key} cannot be used together: {error}.")
    return Finding(name) if _private(key) else Finding(name, f"Others can read {key}: run chmod 600 {key}")


def _proxies(settings: "Settings") -> Finding:
    name = "trusted proxies"
    if any(network.prefixlen == 0 for network in settings.trusted_proxies):
        return Finding(name, "Every address is trusted: list only your proxies in KEYSTEAD_TRUSTED_PROXIES.")
    if settings.public_url.startswith("https://") and settings.tls_certificate is None and not settings.trusted_proxies:
        return Finding(
            name,
            "Neither TLS files nor a proxy is set, so every request counts as plain HTTP: list your proxy's address in "
            "KEYSTEAD_TRUSTED_PROXIES, or set KEYSTEAD_TLS_CERTIFICATE and KEYSTEAD_TLS_KEY.",
        )
    return Finding(name)


def _modes(data: Path) -> Finding:
    from keystead.db.installation import DATABASE_FILE
    from keystead.db.master_secret import MASTER_SECRET_FILE
    from keystead.kernel.settings import FILE_NAME

    guarded = [path for name in (DATABASE_FILE, MASTER_SECRET_FILE, FILE_NAME) for path in data.glob(f"{name}*")]
    loose = [path for path in (data, *sorted(guarded)) if not _private(path)]
    if not loose:
        return Finding("file modes")
    orders = "; ".join(f"chmod {'700' if path == data else '600'} {path}" for path in loose)
    return Finding("file modes", f"Others on this machine can read them. Run: {orders}")


def _private(path: Path) -> bool:
    return path.stat().st_mode & 0o077 == 0 or os.name != "posix"


def _free_disk(data: Path) -> Finding:
    free = shutil.disk_usage(data).free
    if free < LEAST_FREE:
        return Finding("free disk", f"{free // 1024**2} MiB are left at {data}: free at least {LEAST_FREE // 1024**2}.")
    return Finding("free disk")


def _database(path: Path) -> Iterator[Finding]:
    from keystead.db.migrate import NEWEST, revision_of
    from keystead.db.sqlite import connect

    try:
        revision = revision_of(path)
        connection = connect(path)
    except (OSError, sqlite3.Error) as error:
        yield Finding("database", f"{path} cannot be opened: {error}. Put a backup back.")
        return
    try:
        broken = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        well = broken == "ok"
        yield Finding("database", "" if well else f"{path} is damaged ({broken}): put a backup back.")
        if revision != NEWEST:
            yield Finding(
                "database version",
                f"It is {revision or 'empty'}, this program works with {NEWEST}: start the server to bring it up to "
                "date, or install the version of Keystead that was used last.",
            )
            return
        yield Finding("database version")
        yield _clock(connection)
    except sqlite3.Error as error:
        yield Finding("database", f"{path} cannot be read: {error}. Put a backup back.")
    finally:
        connection.close()


def _clock(connection: sqlite3.Connection) -> Finding:
    now = int(time.time())
    newest = connection.execute("SELECT max(at) FROM audit_event").fetchone()[0] or 0
    if now < max(RELEASED, newest - _CLOCKS_DIFFER):
        shown = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))
        return Finding("clock", f"It shows {shown} UTC, which is in the past: set it, for instance with NTP.")
    return Finding("clock")


def _master_secret(data: Path, settings: "Settings") -> Finding:
    from keystead.db.installation import DATABASE_FILE, open_installation
    from keystead.db.master_secret import InstallationError
    from keystead.db.migrate import NEWEST, revision_of
    from keystead.kernel.clock import SystemClock
    from keystead.operate.installation import master_secret_of

    try:
        if revision_of(data / DATABASE_FILE) == NEWEST:  # else opening it would change it
            open_installation(data, master_secret_of(settings), SystemClock())
    except (InstallationError, sqlite3.Error) as error:
        return Finding("master secret", str(error))
    return Finding("master secret")


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: Message
    body: bytes

    def code(self) -> str:
        try:
            found = json.loads(self.body)
        except ValueError:
            return ""
        return str(found.get("code", "")) if isinstance(found, dict) else ""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nothing: the address that was given is the one to look at."""


def _ask(url: str, headers: dict[str, str]) -> _Reply:
    opener = urllib.request.build_opener(_NoRedirects)
    sent = {"User-Agent": "keystead-doctor", **headers}
    request = urllib.request.Request(url, headers=sent)  # noqa: S310 - http or https, looked at by the caller
    try:
        with opener.open(request, timeout=_PATIENCE) as reply:
            return _Reply(reply.status, reply.headers, reply.read(65_536))
    except urllib.error.HTTPError as refusal:
        with refusal:
            return _Reply(refusal.code, refusal.headers, refusal.read(65_536))


def examine_from_outside(url: str) -> Iterator[Finding]:
    """Check a running server at the address by which people reach it."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise click.BadParameter("give an address such as https://auth.example.com", param_hint="--url")
    base = f"{parts.scheme}://{parts.netloc}"
    try:
        ready = _ask(f"{base}/readyz", {})
        # A token that is none: over https it is refused as unknown, over anything else because of the transport.
        probe = _ask(f"{base}/api/auth/session", {"Authorization": "Bearer keystead-doctor"})
    except (OSError, HTTPException) as error:
        yield Finding("server", f"{base} cannot be reached: {getattr(error, 'reason', error)}.")
        return
    answers = ready.status == 200
    yield Finding("server", "" if answers else f"{base}/readyz answers {ready.status}: look into the server's log.")
    yield _forwarded(base, probe)
    if parts.scheme == "https":
        sent = "strict-transport-security" in probe.headers
        problem = "The header Strict-Transport-Security does not arrive: let the proxy pass it through."
        yield Finding("HSTS", "" if sent else problem)


def _forwarded(base: str, probe: _Reply) -> Finding:
    name = "X-Forwarded-Proto"
    if probe.code() == "https_required":
        return Finding(
            name,
            "The server does not hear that requests come over https: let the proxy send X-Forwarded-Proto: https, and "
            "list the proxy's address in KEYSTEAD_TRUSTED_PROXIES.",
        )
    if probe.status != 401:
        return Finding(name, f"{base}/api/auth/session answers {probe.status} instead of 401: is this Keystead?")
    return Finding(name)
