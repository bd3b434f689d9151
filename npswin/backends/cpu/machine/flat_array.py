"""Arrays as compiled code sees them: an address and a number of elements.

Numba's own arrays have seven fields, for axes, strides, and an owner whose references are counted, and each variable
that holds one is seven values for the compiler. All arrays of this backend are contiguous and have one axis, for
which two fields suffice, and code is compiled faster. A `FlatArray` has `size`, `dtype`, `itemsize` and x[i], but no
`len`, slices or iteration. An index is not checked (NUMBA_BOUNDSCHECK has no effect) and does not count from the end,
so a loop over x[i] can become vector code. It owns nothing: the caller keeps its memory alive.

`kernel_type` says which type a kernel's argument has. The functions that kernels call may also be called from Python,
as tests do; then they get Numba's arrays.
"""

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_getattr
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import NativeValue, intrinsic, lower_builtin, make_attribute_wrapper, models, register_model, unbox

from npswin.backends.cpu.machine.compilation import inner_function
from npswin.types import Array

# Where an empty array is said to be. Vector code is preceded by a comparison of the ranges that a loop would read and
# write, whatever a condition in the loop says; where they overlap, scalar code runs instead, which may round otherwise.
# No array is near this address, so that the bits of a result do not depend on what lies beside an empty array.
_FAR_AWAY = 1 << 62

_ELEMENTS = (types.float32, types.float64, types.int32, types.int64, types.uint8, types.boolean)


class FlatArray(types.Type):
    """Numba's type of a contiguous array with one axis.

    Args:
        dtype: of its elements.
    """

    def __init__(self, dtype: Any) -> None:
        super().__init__(name=f"FlatArray({dtype})")
        self.dtype = dtype


@register_model(FlatArray)
class _FlatArrayModel(models.StructModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, [("data", types.CPointer(fe_type.dtype)), ("size", types.intp)])


make_attribute_wrapper(FlatArray, "size", "size")


@infer_getattr
class _Attributes(AttributeTemplate):
    key = FlatArray

    def resolve_dtype(self, array: Any) -> Any:
        return types.DType(array.dtype)

    def resolve_itemsize(self, array: Any) -> Any:
        return types.intp


@lower_getattr(FlatArray, "dtype")
def _dtype(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.get_dummy_value()


@lower_getattr(FlatArray, "itemsize")
def _itemsize(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))


@infer_global(operator.getitem)
class _GetItem(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        array, index = args
        if isinstance(array, FlatArray) and isinstance(index, types.Integer):
            return signature(array.dtype, array, types.intp)
        return None


@infer_global(operator.setitem)
class _SetItem(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        array, index, _ = args
        if isinstance(array, FlatArray) and isinstance(index, types.Integer):
            return signature(types.void, array, types.intp, array.dtype)
        return None


@lower_builtin(operator.getitem, FlatArray, types.Integer)
def _get_item(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    place = builder.gep(builder.extract_value(args[0], 0), [args[1]])
    return context.unpack_value(builder, signature.return_type, place)


@lower_builtin(operator.setitem, FlatArray, types.Integer, types.Any)
def _set_item(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    place = builder.gep(builder.extract_value(args[0], 0), [args[1]])
    context.pack_value(builder, signature.args[2], args[2], place)
    return context.get_dummy_value()


def kernel_type(given: Any) -> Any:
    """A kernel's argument's type for a value's: that of arrays with one axis is FlatArray, in tuples too.

    Numba's type does not say whether an array is aligned and in the machine's byte order; `arrays.flat` sees to that.

    Raises:
        TypeError: an array with several axes, or one that is not contiguous, or a value that is no number.
    """
    if isinstance(given, types.Array):
        if given.ndim != 1 or given.layout != "C" or given.dtype not in _ELEMENTS:
            names = ", ".join(map(str, _ELEMENTS))
            raise TypeError(f"a kernel takes contiguous arrays with one axis, of {names}; got {given}")
        return FlatArray(given.dtype)
    if isinstance(given, types.BaseTuple):
        return types.BaseTuple.from_types([*map(kernel_type, given.types)], getattr(given, "instance_class", None))
    if given in (types.intp, types.boolean, types.float32, types.float64):
        return given
    raise TypeError(f"a kernel takes arrays, tuples, integers, booleans, float32 and float64, got {given}")


@unbox(FlatArray)
def _from_python(kind: Any, array: Any, c: Any) -> Any:
    address, size = array_head(c.builder, array)
    data = c.builder.inttoptr(address, c.context.get_data_type(kind.dtype).as_pointer())
    return NativeValue(flat_array(c.context, c.builder, kind, data, size))


def array_head(builder: Any, array: Any) -> tuple[Any, Any]:
    """Address and size of a NumPy array, from the head of its C structure: data, number of axes, shape.

    NumPy's C API documents it (PyArrayObject), and extensions have it compiled in.
    """
    word = ir.IntType(64)
    fields = ir.LiteralStructType([word, word, word.as_pointer()])
    start = builder.gep(array, [ir.Constant(word, object.__basicsize__)])
    head = builder.bitcast(start, fields.as_pointer())
    data, shape = (builder.load(cgutils.gep_inbounds(builder, head, 0, field)) for field in (0, 2))
    size = builder.load(shape)
    is_empty = builder.icmp_unsigned("==", size, ir.Constant(word, 0))
    return builder.select(is_empty, ir.Constant(word, _FAR_AWAY), data), size


def flat_array(context: Any, builder: Any, kind: Any, data: Any, size: Any) -> Any:
    """Builds a FlatArray."""
    array = cgutils.create_struct_proxy(kind)(context, builder)
    array.data, array.size = data, size
    return array._getvalue()


def address_of_data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Where the elements of an array begin: of a FlatArray, one of Numba's, or what is a pointer already."""
    if isinstance(kind, types.CPointer):
        return array
    if isinstance(kind, FlatArray):
        return builder.extract_value(array, 0)
    return context.make_array(kind)(context, builder, array).data


@intrinsic
def view(typingctx: Any, array: Any, start: Any, count: Any) -> Any:
    """array[start : start + count]."""
    if not (isinstance(start, types.Integer) and isinstance(count, types.Integer)):
        return None
    kind = FlatArray(array.dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = builder.gep(address_of_data(context, builder, signature.args[0], args[0]), [args[1]])
        return flat_array(context, builder, kind, data, args[2])

    return kind(array, types.intp, types.intp), codegen


@intrinsic
def elements_at(typingctx: Any, address: Any, start: Any, count: Any, like: Any) -> Any:
    """Elements start … start + count of an array at an address; `like` is its dtype, or another array of that dtype."""
    if not all(isinstance(number, types.Integer) for number in (address, start, count)):
        return None
    kind = FlatArray(like.dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        element = context.get_data_type(kind.dtype)
        data = builder.gep(builder.inttoptr(args[0], element.as_pointer()), [args[1]])
        return flat_array(context, builder, kind, data, args[2])

    return kind(types.intp, types.intp, types.intp, like), codegen


@intrinsic
def stack_memory(typingctx: Any, size: Any) -> Any:
    """The address of so many bytes on the stack, which are the calling function's own until it returns.

    For some kilobytes, once in a kernel and not in a loop: a thread's stack may have no more than half a megabyte.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        memory = builder.alloca(ir.IntType(8), args[0])
        memory.align = 64
        return builder.ptrtoint(memory, ir.IntType(64))

    return types.intp(types.intp), codegen


@inner_function
def fill(array: Array, value: float) -> None:
    """array[:] = value."""
    for i in range(array.size):
        array[i] = value
