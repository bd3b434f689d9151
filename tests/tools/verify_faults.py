"""Single faults in the answer key and in the comparison of a port with it."""

from tests.tools.faults import faults

GRAPH = ("tests/verify/graph",)
PORT = ("tests/verify/port/test_comparison.py", "tests/verify/key")
DIAGNOSIS = ("tests/verify/port/test_diagnosis.py",)
CATALOGUE = ("tests/verify/mistakes", "-k", "derivative or transpose or twice")
FILES = ("tests/verify/port/test_candidate.py", "tests/verify/key")

VERIFY_FAULTS = [
    *faults(
        "verify/graph/swin.py",
        GRAPH,
        (
            "the shortcut of the MLP branch is the block's input",
            'do.RESIDUAL, (x, branch), MAP, "residual +',
            'do.RESIDUAL, (name, branch), MAP, "residual +',
        ),
        ("v is k", "qkv, layer.num_heads, 2)", "qkv, layer.num_heads, 1)"),
        ("the way back is not shifted back", "shift=-shift", "shift=shift"),
        ("scaled by the width of all heads", 'proj.weight"].shape[1] // layer.num_heads', 'proj.weight"].shape[1]'),
        ("the mask of the padded map's size alone", "height=size[0], width=size[1]", "height=size[1], width=size[0]"),
    ),
    *faults(
        "verify/graph/operations.py",
        GRAPH,
        ("q's derivative is k's", "return dy @ k, dy.swapaxes(-1, -2) @ q", "return dy @ k, dy @ q"),
        (
            "padding gets the crop's gradient",
            "dx[:, : dy.shape[1], : dy.shape[2]] = dy",
            "dx[:, -dy.shape[1] :, -dy.shape[2] :] = dy",
        ),
        ("the bias' gradient of one image", "dbias = dy.sum(axis=(0, 1))", "dbias = dy[:1].sum(axis=(0, 1))"),
    ),
    *faults(
        "verify/graph/run.py",
        GRAPH,
        ("a gradient of one consumer alone", "derivative if total is None else total + derivative", "derivative"),
        (
            "what a planted mistake changes is taken over",
            "if name in self.given or name not in differing",
            "if True",
        ),
        (
            "a gradient does not see that its consumer changed",
            "gradients += [GRADIENT + read for read in node.inputs]",
            "pass",
        ),
        (
            "what is given is computed all the same",
            "if name in self.given:\n                self.known",
            "if False:\n                self.known",
        ),
    ),
    *faults(
        "verify/graph/precision.py",
        GRAPH,
        ("bfloat16 cut off rather than rounded", "0x7FFF + even", "0"),
        (
            "roundings that are not random",
            "noise = rng.random(array.shape, np.float32) * 2 - 1",
            "noise = np.zeros(array.shape, np.float32)",
        ),
    ),
    *faults(
        "verify/port/tolerance.py",
        PORT,
        ("a tolerance without margin", "MARGIN = 4.0", "MARGIN = 0.3"),
        ("a tolerance that forgives anything", "MARGIN = 4.0", "MARGIN = 4e5"),
        ("zeros judged by nothing", "return largest * max(1.0, steepest) if", "return 0.0 * largest if"),
        ("a difference of which float32 leaves nothing", "relative > PROPORTIONAL", "relative > 1e9"),
        ("float64 judged as float32", 'if precision == "float64" else 1.0', 'if precision == "" else 1.0'),
    ),
    *faults(
        "verify/port/comparison.py",
        PORT,
        ("inherited whatever is born", "if born is not None and born.wrong:", "if born is None:"),
        (
            "the key damaged, and nobody notices",
            "SELF_AGREEMENT = {8: 1e-6, 4: 1e-3}",
            "SELF_AGREEMENT = {8: 1e9, 4: 1e9}",
        ),
        (
            "precision taken for the finest",
            "own = max(common, key=PRECISIONS.index",
            "own = min(common, key=PRECISIONS.index",
        ),
    ),
    *faults(
        "verify/port/measure.py",
        PORT,
        ("NaN is no difference", "np.where(np.isfinite(difference), difference, np.inf)", "np.nan_to_num(difference)"),
        (
            "differences over the wrong numbers' size",
            "_over(difference, right, scale)\n    norms",
            "_over(difference, found, scale)\n    norms",
        ),
    ),
    *faults(
        "verify/port/diagnosis.py",
        DIAGNOSIS,
        ("one cause, and no further search", "MOST_ROUNDS = 100", "MOST_ROUNDS = 1"),
        ("no pairs", "MOST_PAIRS = 4000", "MOST_PAIRS = 0"),
        (
            "what is explained stays unexplained",
            "then = self.state(now.local.replaced(best.changes), now.dump)",
            "then = self.state(now.local.replaced({}), now.dump)",
        ),
        (
            "a search without end",
            'self.late = True\n                break\n            self.progress(f"trying mistakes',
            'self.late = True\n            self.progress(f"trying mistakes',
        ),
    ),
    *faults(
        "verify/port/hypotheses.py",
        DIAGNOSIS,
        (
            "nothing that was not dumped is suspected",
            "start += [read for read in self.graph.nodes[name].inputs if self._computed(read)]",
            "pass",
        ),
        ("no mistake in all places at once", "if len(places) > 1:", "if False:"),
    ),
    *faults(
        "verify/port/misread.py",
        DIAGNOSIS,
        ("any layout will do", "return read.shape == shape and birth is not None and not birth.wrong", "return True"),
        ("a tensor kept that is another's", "if other != name}", "}"),
    ),
    *faults(
        "verify/mistakes/mistake.py",
        CATALOGUE,
        (
            "a move's derivative forgets what is taken twice",
            "sums = np.bincount(places.reshape(-1), dy.reshape(-1).astype(np.float64), int(np.prod(shape)) + 1)",
            "sums = np.zeros(int(np.prod(shape)) + 1)\n        sums[places.reshape(-1)] = dy.reshape(-1)",
        ),
        ("zeros from nowhere are the first number", "np.arange(1, x.size + 1)", "np.arange(x.size)"),
    ),
    *faults(
        "verify/port/candidate.py",
        FILES,
        ("any shape of the same size will do", "return one - {1} <= other or other - {1} <= one", "return True"),
        ("a name leads out of the folder", "not file.resolve().is_relative_to(path.resolve()):", "False:"),
        ("Fortran order read as C", 'order="F" if fortran else "C"', 'order="C"'),
    ),
    *faults(
        "weights/tensor_file.py",
        FILES,
        ("a header of any length", "length > MAX_HEADER_BYTES", "length < 0"),
        ("numbers from the header on", "file.seek(self._data_start + start)", "file.seek(start)"),
    ),
    *faults(
        "verify/key/write.py",
        FILES,
        ("numbers at other positions", "tensor.reshape(-1)[places]", "tensor.reshape(-1)[: len(places)]"),
        ("weights cut to float32", "np.array_equal(tensor, tensor.astype(np.float32))", "True"),
    ),
]
