"""How a part of a kernel's work is run: by its *part function*, which is compiled with it.

All kernels take other arguments, and all part functions the same, so that any thread can call them:

    part function(words, part, thread) → 1 if it failed, else 0

`words` hold how many pieces of work there are, into how many parts they are cut, the threads' working memory (address
and size, and how much of it is each thread's own), and the kernel's arguments, as
`npswin.backends.cpu.machine.packed_arguments` has them.
"""

from typing import Any

from llvmlite import ir
from numba.core.lowering import Lower

WORD = ir.IntType(64)
PART_FUNCTION = ir.FunctionType(WORD, [WORD.as_pointer(), WORD, WORD])


def part_address(compiled: Any) -> int:
    """Where the part function of a compiled kernel is."""
    return int(compiled.library.get_pointer_to_function(_name(compiled.fndesc)))


def _name(described: Any) -> str:
    return f"{described.mangled_name}.part"


class KernelLower(Lower):
    """Generates a kernel's code, and its part function where Numba has a function for calls from Python."""

    def create_cpython_wrapper(self, release_gil: bool = False) -> None:
        """Add the part function."""
        module = self.context.create_module("part")
        convention, described = self.context.call_conv, self.fndesc
        kernel_type = convention.get_function_type(described.restype, described.argtypes)
        kernel = ir.Function(module, kernel_type, described.llvm_func_name)
        builder = ir.IRBuilder(ir.Function(module, PART_FUNCTION, _name(described)).append_basic_block("entry"))
        values = _kernel_arguments(self.context.get_arg_packer(described.argtypes), builder)
        status, _ = convention.call_function(
            builder, kernel, described.restype, described.argtypes, values, attrs=("noinline",)
        )
        builder.ret(builder.zext(status.is_error, WORD))
        self.library.add_ir_module(module)


def _kernel_arguments(packer: Any, builder: Any) -> list[Any]:
    """count · part // parts, count · (part + 1) // parts, part, the thread's own scratch, and the arguments."""
    words, part, thread = builder.function.args

    def word(place: int) -> Any:
        return builder.load(builder.gep(words, [WORD(place)]))

    count, parts, scratch, _, scratch_size = map(word, range(5))
    first, stop = (builder.sdiv(builder.mul(count, place), parts) for place in (part, builder.add(part, WORD(1))))
    kinds = packer.argument_types
    own = builder.gep(builder.inttoptr(scratch, kinds[3]), [builder.mul(thread, scratch_size)])
    begin = [first, stop, part, own, scratch_size]
    rest = [_unpacked(builder, word(place), kind) for place, kind in enumerate(kinds) if place >= 5]
    return list(packer.from_arguments(builder, begin + rest))


def _unpacked(builder: Any, word: Any, kind: Any) -> Any:
    """A pointer, an integer, a boolean, or a floating-point number, which is kept as a double."""
    if isinstance(kind, ir.PointerType):
        return builder.inttoptr(word, kind)
    if isinstance(kind, ir.IntType):
        return builder.trunc(word, kind) if kind.width < WORD.width else word
    number = builder.bitcast(word, ir.DoubleType())
    return builder.fptrunc(number, kind) if kind == ir.FloatType() else number
