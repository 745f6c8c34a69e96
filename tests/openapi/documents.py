"""The two OpenAPI documents as a server gives them, and whether an answer is one that they describe."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
import schemathesis
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

PLACES: Final = {"/openapi.json": "", "/account/service/openapi.json": "/account"}
"""Where the documents are, and what stands before every path in them."""

NO_ID: Final = "01a200b5-5d83-7239-b7db-b88f879b13b1"
NO_IDS: Final = {
    **dict.fromkeys(("app_id", "api_key_id", "token_id", "session_id", "device_id", "client_id"), NO_ID),
    "organization": "acme",
    **dict.fromkeys(("user", "username", "name"), "nobody"),
}
"""Path parameters that fit and name nothing."""

_DESCRIBED: Final = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one document. ``label`` is how schemathesis calls it, ``path`` the whole path."""

    label: str
    method: str
    path: str
    definition: Mapping[str, Any]
    schema: Any

    @property
    def statuses(self) -> set[int]:
        """Every status that the document names."""
        return {int(status) for status in self.definition["responses"]}

    @property
    def needs_a_credential(self) -> bool:
        """Whether the document says that nobody is answered without one."""
        return bool(self.definition.get("security"))

    def ask(self, http: httpx.Client, headers: Mapping[str, str], content: bytes) -> httpx.Response:
        """Send a request."""
        return http.request(self.method, self.path.format(**NO_IDS), headers=headers, content=content)

    def undocumented(self, response: httpx.Response) -> str:
        """Return what the document does not describe of this answer: status, type, headers or body."""
        try:
            self.schema.Case(path_parameters=NO_IDS).validate_response(response, checks=_DESCRIBED)
        except FailureGroup as found:
            return str(found)
        return ""


def fetch(http: httpx.Client) -> dict[str, Any]:
    """Return both documents by where they are."""
    return {place: http.get(place).raise_for_status().json() for place in PLACES}


def operations(documents: Mapping[str, Any]) -> Iterator[Operation]:
    """Yield every operation of every document."""
    for place, document in documents.items():
        schema = schemathesis.openapi.from_dict(document)
        for path, item in document["paths"].items():
            for method, definition in item.items():
                yield Operation(
                    f"{method.upper()} {path}", method.upper(), PLACES[place] + path, definition, schema[path][method]
                )
