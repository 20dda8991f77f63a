"""What all that is stated is made of: a base, and fields stated in one type and kept in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

T_contra = TypeVar("T_contra", contravariant=True)
T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Stated(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Base of everything stated in an instance file."""


if TYPE_CHECKING:

    class Field(Generic[T_contra, T_co]):
        """The constructor takes one type; readers find the other, as every `Instance` holds it."""

        def __get__(self, stated: object, cls: type | None = None, /) -> T_co: ...
        def __set__(self, stated: object, value: T_contra, /) -> None: ...

else:

    class Field:
        """What `msgspec` sees of a field: the type that is kept."""

        def __class_getitem__(cls, types: tuple[Any, Any]) -> Any:
            return types[1]


Several = Field[Sequence[T], tuple[T, ...]]
"""Any sequence, kept as a tuple."""
Named = Field[Mapping[str, T], dict[str, T]]
"""Any mapping, kept as a dictionary."""


def kept(value: Any) -> Any:
    """The default of a field, which has the type that is kept."""
    return value
