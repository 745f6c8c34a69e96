"""No member of an answer under /api/ is ever null: the SDK that reads them fails over it (contract, rules 12 and 14).

The documents admit none, and the exploration holds every answer against the documents; the models behind them keep to
it with whatever values they are given.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import keystead.activate.house  # noqa: F401 - brings every model
from keystead.activate.shapes import Shape
from tests.interop.activate.sdk import nulls_of
from tests.openapi.conftest import Opened

DOCUMENT: Final = "/openapi.json"


def shapes(kind: type[Shape] = Shape) -> Iterator[type[Shape]]:
    """Yield every model of an answer."""
    for one in kind.__subclasses__():
        yield one
        yield from shapes(one)


SHAPES: Final = sorted(shapes(), key=lambda one: (one.__module__, one.__name__))


def admits_null(schema: Any, document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the places at which a schema lets a value be null."""
    if isinstance(schema, list):
        for one in schema:
            yield from admits_null(one, document)
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from admits_null(document["components"]["schemas"][name], document)
        return
    kinds = schema.get("type", ())
    if "null" in ([kinds] if isinstance(kinds, str) else kinds) or schema.get("nullable"):
        yield str(schema)
    for name, inner in schema.items():
        if name not in {"example", "examples", "default", "const", "enum", "description"}:
            yield from admits_null(inner, document)


def test_no_document_admits_a_null_under_the_addresses_of_the_sdk(opened: Opened) -> None:
    document = opened.http.get(DOCUMENT).json()
    found = {
        (method, path, status, place)
        for path, item in document["paths"].items()
        if path.startswith(("/api/", "/healthzz", "/.well-known/openid"))
        for method, operation in item.items()
        for status, answer in operation["responses"].items()
        for place in admits_null(answer.get("content", {}), document)
    }
    assert not found
    assert any(path.startswith("/api/apikeys") for path in document["paths"])


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_model_without_a_value_leaves_the_member_out(shape: type[Shape], data: st.DataObject) -> None:
    model = data.draw(st.from_type(shape))
    told = json.loads(model.model_dump_json(exclude_none=True, by_alias=True))
    assert not list(nulls_of(told))
