"""Instructions on vectors, written in LLVM's intermediate language: what the intrinsics are made of."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from npswin.backends.cpu.machine.flat_array import address_of_data
from npswin.backends.cpu.machine.processor import vector_lanes

INDEX = ir.IntType(64)


def constant(value: int) -> Any:
    """An index constant."""
    return ir.Constant(INDEX, value)


def prefetch_line(builder: Any, pointer: Any, level: int) -> None:
    """Ask for the line of an address to be brought into a cache: the L1 cache with level 3, the L2 cache with 2."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(prefetch, [builder.bitcast(pointer, byte), *(ir.Constant(number, value) for value in (0, level, 1))])


class VectorCode:
    """Instructions on vectors of one dtype, in one function that is being built.

    Args:
        context, builder: of the function.
        dtype: Numba's type of a lane.
    """

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        self.context, self.builder = context, builder
        self.size = dtype.bitwidth // 8
        self.lanes = vector_lanes(self.size)
        self.type = ir.VectorType(context.get_data_type(dtype), self.lanes)

    def pointer(self, array_type: Any, array: Any, offset: Any) -> Any:
        return self.builder.gep(address_of_data(self.context, self.builder, array_type, array), [offset])

    def load(self, pointer: Any) -> Any:
        return self.builder.load(self.builder.bitcast(pointer, self.type.as_pointer()), align=self.size)

    def load_rows(self, pointer: Any, stride: Any) -> list[Any]:
        places = [self.builder.gep(pointer, [self.builder.mul(stride, constant(lane))]) for lane in range(self.lanes)]
        return [self.load(place) for place in places]

    def store(self, value: Any, pointer: Any) -> None:
        self.builder.store(value, self.builder.bitcast(pointer, self.type.as_pointer()), align=self.size)

    def prefetch(self, pointer: Any) -> None:
        prefetch_line(self.builder, pointer, 3)

    def opaque(self, address: Any) -> Any:
        """The same address, of which LLVM knows nothing: no instruction."""
        kind = ir.FunctionType(address.type, [address.type])
        return self.builder.asm(kind, "", "=r,0", [address], side_effect=False)

    def load_nothing_early(self) -> None:
        """What comes after this is not loaded before it: no instruction."""
        self.builder.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], side_effect=True)

    def broadcast(self, number: Any) -> Any:
        undefined = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
        return self.shuffle(first, undefined, [0] * self.lanes)

    def shuffle(self, one: Any, other: Any, order: list[int]) -> Any:
        return self.builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), order))

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        # `contract` lets LLVM fuse the two where the processor can, and does not force it where it cannot
        return self.builder.fadd(c, self.builder.fmul(a, b, flags=("contract",)), flags=("contract",))
