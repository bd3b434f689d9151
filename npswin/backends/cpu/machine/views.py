"""Arrays that compiled code makes of memory that it already has, without any cost.

They own nothing, so nothing counts references to them: see `OPTIONS` in `compilation.py`.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array


@intrinsic
def view(typingctx: Any, array: Any, start: Any, count: Any) -> Any:
    """array[start : start + count] of a flat array.

    A loop over `view(...)[i]` is turned into vector code. One over array[start + i] is not, since start + i might be
    negative, which in Python means "from the end"; and a slice would count references.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole = context.make_array(signature.args[0])(context, builder, args[0])
        return _array(context, builder, signature.return_type, builder.gep(whole.data, [args[1]]), args[2])

    return types.Array(array.dtype, 1, "C")(array, types.intp, types.intp), codegen


@intrinsic
def elements_at(typingctx: Any, address: Any, start: Any, count: Any, dtype: Any) -> Any:
    """Elements start … start + count of a contiguous array at an address. `dtype` may be another array, of that dtype."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        element = context.get_data_type(signature.return_type.dtype)
        data = builder.gep(builder.inttoptr(args[0], element.as_pointer()), [args[1]])
        return _array(context, builder, signature.return_type, data, args[2])

    return types.Array(dtype.dtype, 1, "C")(address, types.intp, types.intp, dtype), codegen


@intrinsic
def stack_memory(typingctx: Any, size: Any) -> Any:
    """The address of so many bytes on the stack, which are free until the function returns that asks for them."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        memory = builder.alloca(ir.IntType(8), args[0])
        memory.align = 64
        return builder.ptrtoint(memory, ir.IntType(64))

    return types.intp(types.intp), codegen


def _array(context: Any, builder: Any, kind: Any, data: Any, count: Any) -> Any:
    """A flat array of this type."""
    array = context.make_array(kind)(context, builder)
    itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    populate_array(array, data=data, shape=[count], strides=[itemsize], itemsize=itemsize, meminfo=None)
    return array._getvalue()
