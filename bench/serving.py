"""The applications that the benches compare, each on the server that Keystead runs on. Started by them, not by hand.

``serving.py bare PORT FILE`` answers what the file holds, whatever is asked: the least that any ASGI application does.
``serving.py looking-up PORT FILE URL HASHES`` does the same after one look-up of an API key by asyncpg alone.
``serving.py fastapi PORT DATA`` is Keystead with its token endpoint moved into FastAPI.
``serving.py forgetful PORT DATA`` is Keystead with a cache of a hundred credentials.
"""

import json
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any, Final

import asyncpg
import uvicorn
from fastapi import Depends, FastAPI, Request
from starlette.responses import JSONResponse

from keystead.app import build_application
from keystead.gate.cache import CredentialCache
from keystead.kernel.clock import SystemClock
from keystead.kernel.problems import AuthorizationPending
from keystead.kernel.settings import Settings
from keystead.keys.store import KEY_BY_HASH
from keystead.oauth.models import TokenRequest
from keystead.oauth.surfaces import TOKEN, service_key_tokens
from keystead.operate.installation import read_settings
from keystead.operate.logs import configure_logs
from keystead.operate.serve import _config
from keystead.services import open_services
from keystead.wire.asgi import App, until_gone
from keystead.wire.caller import caller_of
from keystead.wire.forms import parse_form, required

REMEMBERED: Final = 100


def bare(file: Path) -> App:
    """Return an application that gives one answer, after it has read whatever body came."""
    told = json.loads(file.read_text(encoding="utf-8"))
    start = {
        "type": "http.response.start",
        "status": told["status"],
        "headers": [(name.encode(), value.encode()) for name, value in told["headers"]],
    }
    body = {"type": "http.response.body", "body": told["body"].encode()}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] == "POST":
            while (await receive()).get("more_body", False):
                pass
        await send(start)
        await send(body)

    return app


def looking_up(file: Path, url: str, hashes: Path) -> App:
    """Return the least that any ASGI application does which looks an API key up: over any connection that is free."""
    inner, sql, idle = bare(file), KEY_BY_HASH.numbered.sql, list["asyncpg.Connection[asyncpg.Record]"]()
    turns = cycle([bytes.fromhex(line) for line in hashes.read_text(encoding="utf-8").split()])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        connection = idle.pop() if idle else await asyncpg.connect(url)
        if await connection.fetchrow(sql, next(turns)) is None:
            raise RuntimeError("a key was not found")
        idle.append(connection)
        await inner(scope, receive, send)

    return app


async def _read(request: Request) -> TokenRequest:
    form = parse_form(await request.body(), request.headers.get("content-type", ""))
    return TokenRequest(
        grant_type=required(form, "grant_type"),
        client_id=form.get("client_id"),
        device_code=form.get("device_code"),
        refresh_token=form.get("refresh_token"),
        scope=form.get("scope"),
    )


def through_fastapi(data: Path, settings: Settings) -> App:
    """Return Keystead with a token endpoint that does the same work as a FastAPI route: gate, limit and all."""
    services = open_services(data, settings, SystemClock())
    gate: Any = build_application(services, dev=True).asgi
    inner: FastAPI = gate._inner
    del gate._direct[TOKEN]

    async def token(request: Request, wanted: Annotated[TokenRequest, Depends(_read)]) -> JSONResponse:
        services.limiter.charge_here("token", caller_of(request.scope).address)
        found = await services.oauth.exchange(wanted, partial(until_gone, request.receive))
        if found is None:
            raise AuthorizationPending()
        return JSONResponse(
            dict(service_key_tokens(found)), headers={"Cache-Control": "no-store", "Pragma": "no-cache"}
        )

    inner.add_api_route(TOKEN, token, methods=["POST"], response_model=None)
    inner.router.routes.insert(0, inner.router.routes.pop())  # first, where it is found soonest
    return gate  # type: ignore[no-any-return]


def forgetful(data: Path, settings: Settings) -> App:
    """Return Keystead with a small cache, so that even a thousand API keys in turn are looked up each time."""
    services = open_services(data, settings, SystemClock())
    gate: Any = build_application(services, dev=True).asgi
    gate._authenticator.cache = cache = CredentialCache(REMEMBERED)
    services.db.listen(cache.hear)
    return gate  # type: ignore[no-any-return]


class Told(uvicorn.Server):
    """uvicorn's server, which says where it listens as soon as it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the one line that ``servers.Served`` waits for."""
        await super().startup(sockets)
        if sockets:
            sys.stdout.write(f"Keystead is ready at http://127.0.0.1:{sockets[0].getsockname()[1]}\n")
            sys.stdout.flush()


VARIANTS: Final[dict[str, Callable[[Path, Settings], App]]] = {"fastapi": through_fastapi, "forgetful": forgetful}


def _application(variant: str, place: Path, settings: Settings) -> App:
    if variant in VARIANTS:
        return VARIANTS[variant](place, settings)
    return looking_up(place, sys.argv[4], Path(sys.argv[5])) if variant == "looking-up" else bare(place)


def main() -> None:
    """Serve one of them until told to stop."""
    variant, port, place = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    settings = Settings()
    if variant in VARIANTS:
        settings = read_settings(place)
        configure_logs(settings.log_level, settings.api_key_prefix)
    config = _config(_application(variant, place, settings), settings)
    config.lifespan = "on" if variant in VARIANTS else "off"
    listening = socket.create_server(("127.0.0.1", port), backlog=2_048)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Told(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
