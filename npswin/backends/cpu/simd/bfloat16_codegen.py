"""Instructions on pairs of bfloat16 numbers, written in LLVM's intermediate language.

The x86 instructions that are called take subnormal numbers as 0, and round to the nearest number, ties to even.

Source: https://www.intel.com/content/www/us/en/docs/intrinsics-guide/ (AVX512-BF16)
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import UnsupportedError

from npswin.backends.cpu.machine.processor import HAS_BFLOAT16_VECTORS
from npswin.backends.cpu.simd.codegen import VectorCode


class _BFloat16Type(ir.Type):
    """LLVM's bfloat, which llvmlite does not name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat16Type)

    def __hash__(self) -> int:
        return hash(_BFloat16Type)


class BFloat16Code(VectorCode):
    """Instructions on vectors of float32 and on vectors of pairs: in each 32-bit lane two numbers in bfloat16.

    Args:
        context, builder: of the function that is being built.

    Raises:
        UnsupportedError: the processor has no such instructions.
    """

    def __init__(self, context: Any, builder: Any) -> None:
        if not HAS_BFLOAT16_VECTORS:
            raise UnsupportedError("the processor has no instructions on bfloat16 (AVX512-BF16)")
        super().__init__(context, builder, types.float32)
        self.pairs = ir.VectorType(ir.IntType(32), self.lanes)
        self.halves = ir.VectorType(_BFloat16Type(), 2 * self.lanes)

    def _call(self, name: str, result: Any, *args: Any) -> Any:
        kind = ir.FunctionType(result, [arg.type for arg in args])
        name = f"llvm.x86.avx512bf16.{name}.512"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), args)

    def broadcast(self, number: Any) -> Any:
        """Of a number or a pair; what is broadcast of a pair is of the type of vectors that `load` gives."""
        return super().broadcast(self.builder.bitcast(number, self.type.element))

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """c + low(a) low(b) + high(a) high(b), in float32, with a and b vectors of pairs as loaded or broadcast."""
        a, b = (self.builder.bitcast(pairs, self.halves) for pairs in (a, b))
        return self._call("dpbf16ps", self.type, c, a, b)

    def rounded(self, first: Any, second: Any) -> Any:
        """The numbers of two vectors one after the other, rounded."""
        halves = self._call("cvtne2ps2bf16", self.halves, second, first)
        return self.builder.bitcast(halves, self.pairs)

    def paired(self, low: Any, high: Any) -> Any:
        """The numbers of two vectors, rounded, those of the same lane in one lane."""
        words = ir.VectorType(ir.IntType(16), 2 * self.lanes)
        order = [lane + half * self.lanes for lane in range(self.lanes) for half in (0, 1)]
        places = ir.Constant(ir.VectorType(ir.IntType(32), 2 * self.lanes), order)
        halves = self.builder.bitcast(self.rounded(low, high), words)
        return self.builder.bitcast(self.builder.shuffle_vector(halves, halves, places), self.pairs)

    def store_pairs(self, value: Any, pointer: Any) -> None:
        self.builder.store(value, self.builder.bitcast(pointer, self.pairs.as_pointer()), align=self.size)
