"""A kernel's arguments as 64-bit words in memory: what `launch` makes of Python's tuple.

An array is two words, its address and its size; a number is one; the tuples in the tuple are left out. What the words
mean is in `npswin.backends.cpu.machine.kernel_parts`. Numba would compile code that takes the arguments from Python
for each kernel anew, which takes longer than compiling some kernels; here one loop goes along a list that says of each
argument what it is.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, make_attribute_wrapper, models, register_model, unbox

from npswin.backends.cpu.machine.flat_array import FlatArray, array_head
from npswin.backends.cpu.machine.kernel_parts import WORD
from npswin.types import Array

_TUPLE, _ARRAY, _INTEGER, _BOOLEAN, _FLOAT = range(5)
_WORDS, _OBJECT = WORD.as_pointer(), ir.IntType(8).as_pointer()


def layout(kind: Any) -> Array:
    """What a tuple's elements are, and what those of the tuples in it, for a type that `kernel_type` gave."""
    return np.array(_codes(kind)[1:], np.int64)


def word_count(job_layout: Array) -> int:
    """How many words the arguments of such a layout are."""
    return int(np.count_nonzero(job_layout != _TUPLE) + np.count_nonzero(job_layout == _ARRAY))


def _codes(kind: Any) -> list[int]:
    if isinstance(kind, types.BaseTuple):
        return [_TUPLE, *(code for part in kind.types for code in _codes(part))]
    if isinstance(kind, FlatArray):
        return [_ARRAY]
    return [_BOOLEAN if kind == types.boolean else _INTEGER if isinstance(kind, types.Integer) else _FLOAT]


class PackedArguments(types.Type):
    """Numba's type of (layout, values), as `launch` takes it from Python."""

    def __init__(self) -> None:
        super().__init__(name="PackedArguments")


@register_model(PackedArguments)
class _PackedArgumentsModel(models.StructModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, [("address", types.intp)])


make_attribute_wrapper(PackedArguments, "address", "address")


@unbox(PackedArguments)
def _from_python(kind: Any, given: Any, c: Any) -> Any:
    codes, count = array_head(c.builder, c.pyapi.tuple_getitem(given, 0))
    words = c.builder.alloca(WORD, c.builder.mul(count, WORD(2)))
    ends = [cgutils.alloca_once_value(c.builder, start) for start in (c.builder.inttoptr(codes, _WORDS), words)]
    c.builder.call(_pack(c.context, c.builder.module), [c.pyapi.tuple_getitem(given, 1), *ends])
    packed = cgutils.create_struct_proxy(kind)(c.context, c.builder)
    packed.address = c.builder.ptrtoint(words, WORD)
    return NativeValue(packed._getvalue(), is_error=c.pyapi.c_api_error())


def _pack(context: Any, module: Any) -> Any:
    """A function (tuple, codes, words) that writes the tuple's elements, and moves both pointers on."""
    function = ir.Function(
        module, ir.FunctionType(ir.VoidType(), [_OBJECT, _WORDS.as_pointer(), _WORDS.as_pointer()]), "npswin.pack"
    )
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    python = context.get_python_api(builder)
    values, codes, words = function.args
    get_item = cgutils.get_or_insert_function(module, ir.FunctionType(_OBJECT, [_OBJECT, WORD]), "PyTuple_GetItem")

    def advance(place: Any) -> Any:
        """A pointer to the next word."""
        here = builder.load(place)
        builder.store(builder.gep(here, [WORD(1)]), place)
        return here

    def put(word: Any) -> None:
        builder.store(word, advance(words))

    with cgutils.for_range(builder, python.tuple_size(values)) as loop:
        item = builder.call(get_item, [values, loop.index])
        code = builder.load(advance(codes))
        end = builder.append_basic_block("end")
        cases = builder.switch(code, builder.append_basic_block("integer"))
        for case in (_TUPLE, _ARRAY, _BOOLEAN, _FLOAT):
            cases.add_case(WORD(case), builder.append_basic_block(f"case.{case}"))
        blocks = dict(zip((_TUPLE, _ARRAY, _BOOLEAN, _FLOAT), (block for _, block in cases.cases), strict=True))
        with builder.goto_block(cases.default):
            put(python.long_as_longlong(item))
            builder.branch(end)
        with builder.goto_block(blocks[_TUPLE]):
            builder.call(function, [item, codes, words])
            builder.branch(end)
        with builder.goto_block(blocks[_ARRAY]):
            for word in array_head(builder, item):
                put(word)
            builder.branch(end)
        with builder.goto_block(blocks[_BOOLEAN]):
            put(builder.zext(python.object_istrue(item), WORD))
            builder.branch(end)
        with builder.goto_block(blocks[_FLOAT]):
            put(builder.bitcast(python.float_as_double(item), WORD))
            builder.branch(end)
        builder.position_at_end(end)
    builder.ret_void()
    return function
