"""``keystead serve``: the server, in one process or several on one machine."""

import http.client
import json
import os
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import click
import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.supervisors import Multiprocess

from keystead.app import Application, build_application
from keystead.cli.options import data_option, examples
from keystead.cli.refusal import Refusal
from keystead.gate.door import Gate
from keystead.gate.measures import MULTIPROCESS_DIRECTORY
from keystead.gate.operations import READY
from keystead.kernel.clock import SystemClock
from keystead.kernel.collector import paused
from keystead.kernel.settings import FILE_NAME, Settings, load_settings
from keystead.operate.http_server import Protocol, Server
from keystead.operate.installation import ADDRESS_FILE, plain_errors, read_settings
from keystead.operate.logs import configure_logs
from keystead.services import open_services
from keystead.web.brand import read_brand

_PLAN: Final = "_KEYSTEAD_SERVE"
_READY_WITHIN: Final = 60
_BACKLOG: Final = 2_048
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound to
_DRAIN: Final = 10
_WORKER_START: Final = 30
"""Seconds for a worker to begin. On a busy machine uvicorn's five are too few, and it would replace nobody."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker process needs to know beyond the settings of the installation."""

    data: str
    dev: bool
    public_url: str


@click.command(
    epilog=examples(
        "keystead serve --dev --data ./data",
        "KEYSTEAD_PUBLIC_URL=https://auth.example.com keystead serve --data /var/lib/keystead --host 0.0.0.0",
    )
)
@data_option
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that serve.")
@click.option("--dev", is_flag=True, help="For development: allow plain HTTP, on this machine only.")
def serve(data: Path, host: str, port: int, workers: int, dev: bool) -> None:
    """Start the server.

    One line on standard output, "Keystead is ready at URL", says when it answers; logs go to standard error.
    """
    with plain_errors():
        listening = _listen(host, port)
        settings = _settings(data, host, listening.getsockname()[1], dev=dev)
        _check_certificate(settings)
        read_brand(settings)  # stops here when the logo cannot be used
        configure_logs(settings.log_level, settings.api_key_prefix)
        open_services(data, settings, SystemClock()).close()  # migrates, and stops here when something is wrong
    if dev:
        (data / ADDRESS_FILE).write_text(settings.public_url + "\n", encoding="utf-8")
    plan = Plan(str(data), dev, settings.public_url)
    _announce_when_ready(listening, settings)
    if workers > 1:
        _serve_together(plan, settings, listening, workers)
    else:
        application = _application(plan)
        for stopping in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises the signal once more when all is done
            signal.signal(stopping, lambda *_: sys.exit(0))
        Server(_config(application.asgi, settings)).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(found[0], found[1])
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(found[4])
        listening.listen(_BACKLOG)
    except OSError as error:
        raise Refusal(f"Cannot listen on {host} port {port}: {error.strerror or error}.") from None
    listening.set_inheritable(True)
    return listening


def _settings(data: Path, host: str, port: int, *, dev: bool) -> Settings:
    """Return the settings with the address that people use. Raises Refusal when it is not known or not safe."""
    if not dev:
        settings = load_settings(file=data / FILE_NAME)
        if not settings.public_url.startswith("https://"):
            raise Refusal(
                "Set KEYSTEAD_PUBLIC_URL to the https address under which this server is reached, or use --dev on your "
                "own machine."
            )
        return settings
    if not _is_loopback(host):
        raise Refusal("--dev allows plain HTTP on this machine only: use it with --host 127.0.0.1.")
    configured = load_settings(file=data / FILE_NAME)
    if configured.public_url:
        return configured
    shown = f"[{host}]" if ":" in host else host
    return load_settings(file=data / FILE_NAME, public_url=f"http://{shown}:{port}")


def _check_certificate(settings: Settings) -> None:
    """Raise Refusal when TLS is configured with files that cannot be used."""
    if settings.tls_certificate is None:
        if settings.tls_key is not None:
            raise Refusal("KEYSTEAD_TLS_KEY is set without KEYSTEAD_TLS_CERTIFICATE: set both or none.")
        return
    what = "they are not a PEM certificate chain and its private key without a password"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            settings.tls_certificate, settings.tls_key, _no_password
        )
        return
    except (ssl.SSLError, ValueError):
        pass
    except OSError as error:
        what = error.strerror or what
    raise Refusal(f"The TLS certificate {settings.tls_certificate} and its key cannot be used: {what}.")


def _no_password() -> str:
    """Answer OpenSSL, which would otherwise ask on the terminal for the password of an encrypted key."""
    raise ValueError("the key is encrypted")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _application(plan: Plan) -> Application:
    """Build what this process serves."""
    settings = read_settings(Path(plan.data), public_url=plan.public_url)
    with paused():
        Server.application = build_application(open_services(Path(plan.data), settings, SystemClock()), dev=plan.dev)
    return Server.application


def _config(app: Any, settings: Settings, **options: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Protocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_DRAIN,
        timeout_worker_healthcheck=_WORKER_START,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        **options,
    )


def _serve_together(plan: Plan, settings: Settings, listening: socket.socket, workers: int) -> None:
    """Run several processes on one socket. They share the database alone, and hear of changes through its feed."""
    os.environ[_PLAN] = json.dumps(asdict(plan))
    with tempfile.TemporaryDirectory(prefix="keystead-metrics-") as measures:
        os.environ[MULTIPROCESS_DIRECTORY] = measures
        config = _config("keystead.operate.serve:worker", settings, factory=True, workers=workers)
        _Workers(config, sockets=[listening]).run()


class _Workers(Multiprocess):
    """uvicorn's supervisor. SIGHUP replaces one worker after the other."""

    def terminate_all(self) -> None:
        """Stop every worker, without keeping the door open to which nobody will come any more."""
        for listening in self.sockets:
            listening.close()
        super().terminate_all()

    def restart_all(self) -> None:
        """Replace every worker."""
        with self._forgetting():
            super().restart_all()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have died."""
        with self._forgetting():
            super().keep_subprocess_alive()

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        """Count no longer what the workers held and remembered that are gone afterwards."""
        before = {process.pid for process in self.processes}
        yield
        for pid in before - {process.pid for process in self.processes}:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]


def worker() -> Gate:
    """Return the application of one worker process, which finds its plan in the environment."""
    plan = Plan(**json.loads(os.environ[_PLAN]))
    settings = read_settings(Path(plan.data), public_url=plan.public_url)
    configure_logs(settings.log_level, settings.api_key_prefix)
    return _application(plan).asgi


def _announce_when_ready(listening: socket.socket, settings: Settings) -> None:
    threading.Thread(target=_announce, args=(listening.getsockname(), settings), daemon=True).start()


def _announce(address: tuple[Any, ...], settings: Settings) -> None:
    """Ask ``/readyz`` as anybody would, and say so when it answers 200."""
    host, port = _ANY.get(address[0], address[0]), address[1]
    until = time.monotonic() + _READY_WITHIN
    while time.monotonic() < until:
        if _answers(host, port, tls=settings.tls_certificate is not None):
            print(f"Keystead is ready at {settings.public_url}", flush=True)  # noqa: T201 - the one line of the command
            return
        time.sleep(0.02)
    print("Keystead is still not ready: the log above says why.", file=sys.stderr, flush=True)  # noqa: T201


def _answers(host: str, port: int, *, tls: bool) -> bool:
    connection: http.client.HTTPConnection
    if tls:
        # The certificate is for the public name; this asks our own socket.
        connection = http.client.HTTPSConnection(host, port, timeout=2, context=ssl._create_unverified_context())  # noqa: S323
    else:
        connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", READY)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
