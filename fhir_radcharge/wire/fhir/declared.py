"""What the rows and profiles of mappings/fhir have in common: frozen, without unknown keys, codes in quotes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Declared(BaseModel):
    """Values that a site declares in a file."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def _quoted(value: Any) -> Any:
    if getattr(value, "quoted", True) is False and value[:1].isdigit():
        raise ValueError(f'write the code in quotes: "{value}"')
    return value


Code = Annotated[str, BeforeValidator(_quoted)]
"""A code: text that must be quoted in the file where it begins with a digit."""
