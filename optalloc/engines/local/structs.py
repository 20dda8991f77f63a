"""Records of arrays that compiled functions take by one pointer.

Passing a tuple of fifty arrays costs a compiled function hundreds of arguments: seconds to compile
and most of its time at each call. `by_reference` lists the addresses and shapes of a named tuple's
arrays in one block of memory; compiled functions take a pointer to it, and read ``record.name`` as
the array. Nothing is counted or copied: the Python object keeps the arrays alive.

After a change of this module, remove the caches of the modules that use it (`__pycache__`).
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import from_dtype, types
from numba.core.cgutils import create_struct_proxy, get_null_value, int8_t, intp_t, pack_array
from numba.core.datamodel import models
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    lower_getattr_generic,
    register_model,
    typeof_impl,
    unbox,
)

from optalloc.compiling import Function, kept

Record = TypeVar("Record", bound=NamedTuple)

WORDS = 4
"""Words of a field in the block: its address and up to three sizes."""


def compiled(function: Function) -> Function:
    """Compile a function when it is first called, for good: machine code is kept on disk.

    Sums may be reordered, as they are of integers and exact.
    """
    return kept(function, fastmath={"reassoc", "nsz"}, error_model="numpy")


class ByReference:
    """A record as compiled functions take it: the arrays, and a block that says where they are."""

    def __init__(self, record: NamedTuple) -> None:
        self.arrays = record
        block = np.zeros((len(record), WORDS), np.int64)
        for line, array in zip(block, record, strict=True):
            assert isinstance(array, np.ndarray)
            assert array.flags.c_contiguous
            line[0] = array.ctypes.data
            line[1 : 1 + array.ndim] = array.shape
        self.block = block
        self.address = int(block.ctypes.data)
        fields = record._asdict().items()
        forms = tuple((name, array.dtype.str, array.ndim) for name, array in fields)
        self.kind = _kind(type(record).__name__, forms)


def by_reference(record: Record) -> Record:
    """Make what compiled functions take in place of a record; both share the arrays."""
    return cast(Record, ByReference(record))


class RecordType(types.Type):
    """Type of a record: its name, and the name and array type of each field."""

    def __init__(self, name: str, fields: tuple[tuple[str, Any], ...]) -> None:
        self.place = {field: (i, kind) for i, (field, kind) in enumerate(fields)}
        # Each call of a compiled function looks its types up, and a string knows its hash.
        self.said = f"{name}{fields}"
        super().__init__(name)

    @property
    def key(self) -> str:
        """What tells types apart."""
        return self.said


@cache
def _kind(name: str, forms: tuple[tuple[str, str, int], ...]) -> RecordType:
    """The type of records whose fields have the names, types of elements and dimensions."""
    arrays = [types.Array(from_dtype(np.dtype(kind)), ndim, "C") for _, kind, ndim in forms]
    return RecordType(name, tuple((form[0], a) for form, a in zip(forms, arrays, strict=True)))


@register_model(RecordType)
class _Pointer(models.PrimitiveModel):
    """A record is a pointer to its block."""

    def __init__(self, manager: Any, kind: RecordType) -> None:
        super().__init__(manager, kind, intp_t.as_pointer())


@typeof_impl.register(ByReference)
def _typeof(value: ByReference, _context: Any) -> RecordType:
    return value.kind


@unbox(RecordType)
def _unbox(_kind: RecordType, value: Any, context: Any) -> NativeValue:
    address = context.pyapi.object_getattr_string(value, "address")
    number = context.pyapi.long_as_longlong(address)
    context.pyapi.decref(address)
    return NativeValue(context.builder.inttoptr(number, intp_t.as_pointer()))


@infer_getattr
class _Attribute(AttributeTemplate):
    key = RecordType

    def generic_resolve(self, record: Any, name: Any) -> Any:  # type: ignore[override]
        return record.place[name][1] if name in record.place else None


@lower_getattr_generic(RecordType)
def _field(context: Any, builder: Any, record: RecordType, block: Any, name: str) -> Any:
    """Build the array of a field: what the block says never changes while anything runs."""
    place, kind = record.place[name]

    def read(offset: int) -> Any:
        loaded = builder.load(builder.gep(block, [intp_t(WORDS * place + offset)]))
        loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
        return loaded

    array = create_struct_proxy(kind)(context, builder)
    shape = [read(1 + i) for i in range(kind.ndim)]
    size = intp_t(context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    strides = [size]
    for length in shape[:0:-1]:
        strides.insert(0, builder.mul(strides[0], length))
    items = shape[0]
    for length in shape[1:]:
        items = builder.mul(items, length)
    array.data = builder.inttoptr(read(0), array.data.type)
    array.shape, array.strides = pack_array(builder, shape), pack_array(builder, strides)
    array.nitems, array.itemsize = items, size
    array.meminfo = get_null_value(int8_t.as_pointer())
    array.parent = get_null_value(array.parent.type)
    return array._getvalue()
