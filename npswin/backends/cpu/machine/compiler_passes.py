"""The passes that Numba's compiler makes over a function of this backend, and LLVM over its code.

Numba's own passes are for any Python: closures, `with` blocks, expressions of whole arrays, loops over tuples of
several types. The functions here have none of these, and each pass that looks for them takes time. LLVM runs over a
function's code twice before it is linked with the functions that it calls, and twice after that: so that reference
counts, of which there are none here, meet and cancel. Here it runs once, at the end.
"""

from typing import Any

from numba.core import config
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import (
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.untyped_passes import FixupArgs, GenericRewrites, IRProcessing, ReconstructSSA, TranslateByteCode

from npswin.backends.cpu.machine.kernel_parts import KernelLower

_LEVEL = 2  # of LLVM's optimization: the third one takes longer, and steps are no faster


class _Code(JITCodeLibrary):
    """LLVM's code of a function, optimized once."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        passes, builder = self._codegen._module_pass_manager(opt=min(config.OPT, _LEVEL))
        passes.run(self._final_module, builder)


class _InnerCode(_Code):
    """Code that is only copied into what calls it, and is optimized and becomes machine code there."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(NativeLowering):
    """Numba's, into code of a class of ours."""

    _name = "npswin_lowering"
    code: type[JITCodeLibrary] = _Code

    def run_pass(self, state: Any) -> bool:
        state.library = self.code(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return bool(super().run_pass(state))


@register_pass(mutates_CFG=True, analysis_only=False)
class _InnerLowering(_Lowering):
    _name, code = "npswin_inner_lowering", _InnerCode

    def run_pass(self, state: Any) -> bool:
        state.flags.no_compile = True
        super().run_pass(state)
        key = object()  # by which callers find the code; of other functions it is the address of their machine code
        state.targetctx.insert_user_function(key, state.cr.fndesc, [state.library])
        state.cr = state.cr._replace(cfunc=key)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(_Lowering):
    _name = "npswin_kernel_lowering"

    @property
    def lowering_class(self) -> Any:
        return KernelLower


class Compiler(CompilerBase):
    """What compiles a function of this backend: Numba calls it a `pipeline_class`."""

    lowering: Any = _Lowering

    def define_pipelines(self) -> list[PassManager]:
        """The passes, in order."""
        passes = PassManager("npswin")
        for each in (
            *(TranslateByteCode, FixupArgs, IRProcessing, GenericRewrites, ReconstructSSA),
            *(NopythonTypeInference, PreLowerStripPhis, IRLegalization, self.lowering, NoPythonBackend),
        ):
            passes.add_pass(each, each._name)
        passes.finalize()
        return [passes]


class InnerCompiler(Compiler):
    """For a function whose code is only copied into what calls it."""

    lowering = _InnerLowering


class KernelCompiler(Compiler):
    """For a kernel, which is run by its part function."""

    lowering = _KernelLowering
