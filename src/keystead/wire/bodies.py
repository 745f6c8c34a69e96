"""What the bodies of several rooms share."""

from typing import Any

from pydantic import BaseModel, Field


class Deleted(BaseModel):
    """What a deletion answers."""

    deleted: bool = Field(description="Always true.", json_schema_extra={"const": True})


def whole(value: Any) -> Any:
    """Take 5.0 for 5, which JSON does not tell apart (JSON Schema, section 4.2.3); leave anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
