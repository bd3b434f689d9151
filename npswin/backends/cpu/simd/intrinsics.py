"""A vector of the host's width as a value that Numba code can compute with.

A plain loop over arrays is turned into vector code by the compiler, with checks before each loop that its arrays do not
overlap, and with every sum that goes *down* a tile's rows written to memory and read again at each row. Where loops are
short, that takes longer than the work. So the passes over a tile are written in vectors:

    total = broadcast(number(0))
    for c in range(channels):
        total = total + load(x, offset + c * stride)
    store(out, at, total)

`+ − · /` work lane by lane, between vectors or a vector and a number of the same dtype. A product and a sum may be
fused; nothing else is reordered.
"""

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from npswin.backends.cpu.machine.compilation import inner_function
from npswin.backends.cpu.machine.flat_array import address_of_data
from npswin.backends.cpu.machine.processor import vector_lanes
from npswin.backends.cpu.simd.codegen import VectorCode, prefetch_line
from npswin.types import Array

_FLAGS = ("contract",)


class VectorType(types.Type):
    """Numba's type of a vector.

    Args:
        dtype: of its lanes, float32 or float64.
    """

    def __init__(self, dtype: Any) -> None:
        super().__init__(name=f"Vector({dtype})")
        self.dtype, self.lanes = dtype, vector_lanes(dtype.bitwidth // 8)


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        number = ir.FloatType() if fe_type.dtype == types.float32 else ir.DoubleType()
        super().__init__(dmm, fe_type, ir.VectorType(number, fe_type.lanes))


@intrinsic
def lanes_of(typingctx: Any, array: Any) -> Any:
    """How many of an array's numbers a vector holds: a constant, so that dividing by it costs nothing."""
    count = vector_lanes(array.dtype.bitwidth // 8)
    return types.intp(array), lambda context, builder, signature, args: context.get_constant(types.intp, count)


@intrinsic
def pointer(typingctx: Any, array: Any, place: Any) -> Any:
    """The address of a flat array's number array[place], which can be indexed from there on."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return VectorCode(context, builder, array.dtype).pointer(signature.args[0], *args)

    return types.CPointer(array.dtype)(array, types.intp), codegen


@intrinsic
def load(typingctx: Any, array: Any, place: Any) -> Any:
    """The vector array[place : place + lanes] of a flat array."""
    kind = VectorType(array.dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = VectorCode(context, builder, kind.dtype)
        return code.load(code.pointer(signature.args[0], *args))

    return kind(array, types.intp), codegen


@intrinsic
def store(typingctx: Any, array: Any, place: Any, vector: Any) -> Any:
    """array[place : place + lanes] = vector, in a flat array."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = VectorCode(context, builder, vector.dtype)
        code.store(args[2], code.pointer(signature.args[0], args[0], args[1]))
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), codegen


@intrinsic
def broadcast(typingctx: Any, number: Any) -> Any:
    """The vector that has a number in each lane."""
    kind = VectorType(number)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return VectorCode(context, builder, number).broadcast(args[0])

    return kind(number), codegen


@intrinsic
def lane(typingctx: Any, vector: Any, place: Any) -> Any:
    """One lane's number."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.extract_element(*args)

    return vector.dtype(vector, types.intp), codegen


@intrinsic
def sum_lanes(typingctx: Any, vector: Any) -> Any:
    """The sum of a vector's lanes: halves are added until one lane is left."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code, total, half = VectorCode(context, builder, vector.dtype), args[0], vector.lanes // 2
        while half:
            order = [lane + half if lane < half else lane for lane in range(vector.lanes)]
            total = builder.fadd(total, code.shuffle(total, total, order))
            half //= 2
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return vector.dtype(vector), codegen


@intrinsic
def with_lane(typingctx: Any, vector: Any, place: Any, number: Any) -> Any:
    """The vector with another number in one lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.insert_element(args[0], args[2], args[1])

    return vector(vector, types.intp, vector.dtype), codegen


def _common(*kinds: Any) -> Any:
    """The type of what operands of these types give together: a vector's where there is one."""
    return next((kind for kind in kinds if isinstance(kind, VectorType)), kinds[0])


def _alike(context: Any, builder: Any, kind: Any, signature: Any, args: Any) -> list[Any]:
    """The operands, with numbers broadcast where the result is a vector."""
    return [
        VectorCode(context, builder, kind.dtype).broadcast(arg)
        if isinstance(kind, VectorType) and not isinstance(given, VectorType)
        else arg
        for given, arg in zip(signature.args, args, strict=True)
    ]


def _define_operator(symbol: Any, instruction: str) -> None:
    class Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            kind, dtypes = _common(*args), {getattr(arg, "dtype", arg) for arg in args}
            return signature(kind, *args) if isinstance(kind, VectorType) and len(dtypes) == 1 else None

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        operands = _alike(context, builder, signature.return_type, signature, args)
        return getattr(builder, instruction)(*operands, flags=_FLAGS)

    infer_global(symbol)(Template)
    for kinds in ((VectorType, VectorType), (VectorType, types.Float), (types.Float, VectorType)):
        lower_builtin(symbol, *kinds)(code)


_define_operator(operator.add, "fadd")
_define_operator(operator.sub, "fsub")
_define_operator(operator.mul, "fmul")
_define_operator(operator.truediv, "fdiv")


@intrinsic
def if_less(typingctx: Any, x: Any, bound: Any, then: Any, otherwise: Any) -> Any:
    """`then` where x < bound, else `otherwise`: lane by lane for vectors, or once for numbers."""
    kind = _common(x, bound, then, otherwise)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, bound, then, otherwise = _alike(context, builder, kind, signature, args)
        return builder.select(builder.fcmp_ordered("<", x, bound), then, otherwise)

    return kind(x, bound, then, otherwise), codegen


@intrinsic
def _prefetch_line(typingctx: Any, array: Any, place: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = address_of_data(context, builder, signature.args[0], args[0])
        prefetch_line(builder, builder.gep(data, [args[1]]), 2)
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@inner_function
def prefetch(array: Array, start: int, count: int) -> None:
    """Ask for array[start : start + count] to be brought into the L2 cache.

    Before memory is read in short pieces: the processor sees long runs coming by itself, but not these.
    """
    for place in range(start, start + count, 64 // array.itemsize):
        _prefetch_line(array, place)
