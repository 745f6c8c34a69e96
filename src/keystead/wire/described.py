"""An application that describes itself without holding anybody up."""

from collections.abc import Mapping
from functools import cached_property
from threading import Lock
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.requests import Request


class Described(FastAPI):
    """FastAPI, which makes its OpenAPI document when somebody first asks for it, in a thread.

    That takes a quarter of a second. A server that starts is to answer sooner, and nobody else is to wait for it then.
    """

    def __init__(
        self, *, paths: Mapping[str, Any] | None = None, schemes: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        """Take what FastAPI takes, and the ``paths`` and security ``schemes`` that it does not see."""
        self._paths = paths or {}
        self._schemes = schemes or {}
        self._making = Lock()
        super().__init__(**options)

    def setup(self) -> None:
        """Serve the document."""
        self.add_route(str(self.openapi_url), self._answer, include_in_schema=False)

    def openapi(self) -> dict[str, Any]:
        """Return the document."""
        with self._making:
            return self._document

    @cached_property
    def _document(self) -> dict[str, Any]:
        document = super().openapi()
        document["paths"] = {**self._paths, **document["paths"]}
        if self._schemes:
            document.setdefault("components", {}).setdefault("securitySchemes", {}).update(self._schemes)
        return document

    def _answer(self, _: Request) -> JSONResponse:
        return JSONResponse(self.openapi())
