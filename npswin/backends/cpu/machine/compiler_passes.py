"""The passes that Numba's compiler makes over a function of this backend, and LLVM over its code.

Numba's own list is for any Python: closures, `with` blocks, expressions of whole arrays, loops over tuples of several
types, reference counts. None of these is in the functions here, and looking for them takes a third of the compiler's
time in Python. LLVM optimizes each function's code by itself, again when all that it calls is in it, cheaply, so that
reference counts meet, and once more in earnest; here only the last is done.
"""

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import (
    IRLegalization,
    NativeLowering,
    NopythonTypeInference,
    NoPythonBackend,
    PreLowerStripPhis,
)
from numba.core.untyped_passes import FixupArgs, GenericRewrites, IRProcessing, ReconstructSSA, TranslateByteCode

from npswin.backends.cpu.machine.kernel_parts import KernelLower


class _Code(JITCodeLibrary):
    """LLVM's code of a function, optimized once."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        passes, builder = self._codegen._module_pass_manager()
        passes.run(self._final_module, builder)


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(NativeLowering):
    """Numba's, into `_Code`."""

    _name = "npswin_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _Code(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return bool(super().run_pass(state))


class _InnerCode(_Code):
    """Code that is only copied into what calls it, and optimized there."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _InnerLowering(_Lowering):
    _name = "npswin_inner_lowering"

    def run_pass(self, state: Any) -> bool:
        state.flags.no_compile = True
        state.library = _InnerCode(state.targetctx.codegen(), state.func_id.func_qualname)
        NativeLowering.run_pass(self, state)
        called = object()
        state.targetctx.insert_user_function(called, state.cr.fndesc, [state.library])
        state.cr = state.cr._replace(cfunc=called)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(_Lowering):
    _name = "npswin_kernel_lowering"

    @property
    def lowering_class(self) -> Any:
        return KernelLower


_PASSES = (
    *(TranslateByteCode, FixupArgs, IRProcessing, GenericRewrites, ReconstructSSA),
    *(NopythonTypeInference, PreLowerStripPhis, IRLegalization),
)


class Compiler(CompilerBase):
    """What compiles a function of this backend, given to Numba as `pipeline_class`."""

    lowering: Any = _Lowering

    def define_pipelines(self) -> list[PassManager]:
        """The passes, in order."""
        passes = PassManager("npswin")
        for each in (*_PASSES, self.lowering, NoPythonBackend):
            passes.add_pass(each, each._name)
        passes.finalize()
        return [passes]


class InnerCompiler(Compiler):
    """For a function whose code is copied into what calls it."""

    lowering = _InnerLowering


class KernelCompiler(Compiler):
    """For a kernel, which `run_parallel` calls."""

    lowering = _KernelLowering
