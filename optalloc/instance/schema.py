"""The type of an instance file: `Document` with the policy classes that are registered."""

from __future__ import annotations

from functools import cache
from typing import Any, Union, cast

import msgspec

from optalloc.instance.model import Document


@cache
def document_type() -> type[Document]:
    """The struct that an instance file decodes to: `policies` holds any registered policy."""
    from optalloc.formulation.registry import policy_classes

    kinds: Any = Union[tuple(policy_classes().values())]  # noqa: UP007
    struct = msgspec.defstruct(
        "Instance",
        [("policies", tuple[kinds, ...], ())],
        bases=(Document,),
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
        omit_defaults=True,
    )
    return cast(type[Document], struct)
