"""Single faults in the answer key and in the comparison of a port with it."""

from tests.tools.faults import faults

GRAPH = ("tests/verify/graph",)
PORT = ("tests/verify/port/test_comparison.py", "tests/verify/key")
PRECISIONS = ("tests/verify/port/test_precisions.py",)
DIAGNOSIS = ("tests/verify/port/test_diagnosis.py", "tests/verify/port/test_dump_errors.py")
DUMP_ERRORS = ("tests/verify/port/test_dump_errors.py",)
HYPOTHESES = ("tests/verify/port/test_hypotheses.py",)
CATALOGUE = ("tests/verify/mistakes", "-k", "derivative or transpose or twice")
STRUCTURE = ("tests/verify/mistakes/test_structure.py",)
FILES = ("tests/verify/port/test_candidate.py", "tests/verify/key")

VERIFY_FAULTS = [
    *faults(
        "verify/graph/swin.py",
        GRAPH,
        (
            "the shortcut of the MLP branch is the block's input",
            'op.RESIDUAL, (x, branch), MAP, "residual +',
            'op.RESIDUAL, (name, branch), MAP, "residual +',
        ),
        ("v is k", "qkv, layer.num_heads, 2)", "qkv, layer.num_heads, 1)"),
        ("the map is not shifted back", "shift=-shift_size", "shift=shift_size"),
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
            "a value that a mistake changes is reused",
            "if name in self.given or name not in differing",
            "if True",
        ),
        (
            "a gradient is reused though its consumer changed",
            "gradients += [GRADIENT_PREFIX + read for read in node.inputs]",
            "pass",
        ),
        (
            "a given tensor is computed all the same",
            "if name in self.given:\n                self._values",
            "if False:\n                self._values",
        ),
    ),
    *faults(
        "verify/graph/precision.py",
        GRAPH,
        ("bfloat16 cut off rather than rounded", "0x7FFF + even", "0"),
        (
            "roundings that are not random",
            "numbers = [rng.random(shape, np.float32) * 2 - 1]",
            "numbers = [np.zeros(shape, np.float32)]",
        ),
    ),
    *faults(
        "verify/port/tolerance.py",
        PORT,
        ("a tolerance without margin", "MARGIN = 4.0", "MARGIN = 0.3"),
        ("a tolerance for any difference", "MARGIN = 4.0", "MARGIN = 4e5"),
        ("zeros without a tolerance", "return largest * max(1.0, steepest) if", "return 0.0 * largest if"),
        ("no tolerance behind a cancellation", "relative > PROPORTIONAL", "relative > 1e9"),
        ("float64 with the tolerance of float32", 'if precision == "float64" else 1.0', 'if precision == "" else 1.0'),
    ),
    *faults(
        "verify/port/comparer.py",
        PORT,
        (
            "every error is inherited",
            "return Row(name, WRONG_HERE, found, tolerance, local.distance",
            "return Row(name, INHERITED, found, tolerance, local.distance",
        ),
        (
            "a damaged key is not reported",
            "KEY_ERROR = {8: 1e-6, 4: 1e-3}",
            "KEY_ERROR = {8: 1e9, 4: 1e9}",
        ),
    ),
    *faults(
        "verify/port/tensor_precision.py",
        PRECISIONS,
        ("the rarest precision is the port's", "(counts[one], -PRECISIONS", "(-counts[one], -PRECISIONS"),
        ("few numbers never show a precision", "1 if candidate.dtypes.get(name) in SIXTEEN_BITS else enough", "100"),
    ),
    *faults(
        "verify/graph/precision.py",
        PRECISIONS,
        ("sums over rows with all digits", "rounded(total + row, self.precision)", "total + row"),
        ("int8 without rounding", "INT8_ROUNDING = 1 / 254", "INT8_ROUNDING = 0"),
    ),
    *faults(
        "verify/port/operation_precision.py",
        ("tests/verify/port/test_operation_precision.py",),
        (
            "any error is a rounding error",
            "LEFT_OF_MANY, LEFT_OF_FEW = 0.35, 0.1",
            "LEFT_OF_MANY, LEFT_OF_FEW = 3.0, 3.0",
        ),
        ("only the tensor's own operation", "MOST_PLACES = 40", "MOST_PLACES = 1"),
    ),
    *faults(
        "verify/port/comparer.py",
        ("tests/verify/port/test_unjudged_rows.py",),
        (
            "what comes from another size is wrong by itself",
            "        if origin:\n            note",
            "        if False:\n            note",
        ),
    ),
    *faults(
        "verify/port/unjudged_rows.py",
        ("tests/verify/port/test_unjudged_rows.py",),
        ("every NaN is an error of its own", "INHERITED if inherited else NOT_FINITE", "NOT_FINITE"),
    ),
    *faults(
        "verify/port/similar_names.py",
        ("tests/verify/port/test_similar_names.py",),
        ("no prefix is left out", "for start in range(len(parts))", "for start in range(1)"),
    ),
    *faults(
        "verify/port/distance.py",
        PORT,
        ("NaN is no difference", "np.where(np.isfinite(difference), difference, np.inf)", "np.nan_to_num(difference)"),
        (
            "differences over the wrong numbers' size",
            "_divide_by_rms(difference, norms[1], scale)",
            "_divide_by_rms(difference, norms[0], scale)",
        ),
    ),
    *faults(
        "verify/port/search.py",
        DIAGNOSIS,
        ("one cause, and no further search", "MOST_ROUNDS = 100", "MOST_ROUNDS = 1"),
        (
            "a mistake that was found is not made in the graph",
            "then = self.symptoms.state(now.local_errors.replaced(best.changes), now.dump)",
            "then = self.symptoms.state(now.local_errors.replaced({}), now.dump)",
        ),
    ),
    *faults(
        "verify/port/trials.py",
        (*DIAGNOSIS, "tests/verify/port/test_advice.py"),
        ("no pairs", "PAIRED = 2", "PAIRED = 0"),
        (
            "a search without end",
            'if self.is_late():\n                break\n            self.progress(f"trying mistakes',
            'self.progress(f"trying mistakes',
        ),
    ),
    *faults(
        "verify/port/hypotheses.py",
        DIAGNOSIS,
        (
            "only the symptom's own operation may be wrong",
            "waiting += [read for read in self.graph.nodes[name].inputs if self._is_computed(read)]",
            "pass",
        ),
        ("no mistake in all places at once", "if len(places) > 1:", "if False:"),
    ),
    *faults(
        "verify/port/dump_errors.py",
        DUMP_ERRORS,
        (
            "any layout explains a symptom",
            "return read.shape == shape and error is not None and not error.is_significant",
            "return True",
        ),
        ("a tensor under another's name is used", "if other != name}", "}"),
    ),
    *faults(
        "verify/mistakes/not_applicable.py",
        HYPOTHESES,
        ("a programming error is a mistake that does not apply", "(ValueError, IndexError)", "Exception"),
    ),
    *faults(
        "verify/mistakes/mistake.py",
        CATALOGUE,
        (
            "the derivative of a number that is gathered twice",
            "sums = np.bincount(positions.reshape(-1), dy.reshape(-1).astype(np.float64), int(np.prod(shape)) + 1)",
            "sums = np.zeros(int(np.prod(shape)) + 1)\n        sums[positions.reshape(-1)] = dy.reshape(-1)",
        ),
        ("zeros from nowhere are the first number", "np.arange(1, x.size + 1)", "np.arange(x.size)"),
    ),
    *faults(
        "verify/fits/combinations.py",
        STRUCTURE,
        (
            "a product's derivative is the factor's own",
            "lambda dy, x, v: (dy * v, dy * x)",
            "lambda dy, x, v: (dy * x, dy * v)",
        ),
    ),
    *faults(
        "verify/mistakes/norm_statistics.py",
        STRUCTURE,
        (
            "the deviation has no derivative",
            "dx = g + (of_mean + of_deviation * own) / channels",
            "dx = g + of_mean / channels",
        ),
    ),
    *faults(
        "verify/mistakes/merged_tokens.py",
        STRUCTURE,
        ("any token is in place of another", "MARGIN = 4.0", "MARGIN = 1e9"),
    ),
    *faults(
        "verify/mistakes/partial_sums.py",
        ("tests/verify/mistakes/test_partial_sums.py",),
        ("a bias that is left out is added", "times(added.astype(float))", "times(np.ones(len(added)))"),
    ),
    *faults(
        "verify/mistakes/bias_index.py",
        ("tests/verify/mistakes/test_bias_index.py",),
        (
            "the bias' gradient by the right index",
            "np.bincount(index.reshape(-1),",
            "np.bincount(np.arange(dy.size) % size,",
        ),
    ),
    *faults(
        "verify/fits/multiples.py",
        ("tests/verify/fits/test_compressed_weights.py",),
        ("any larger multiple is the next one", "(low <= steps) & (steps <= high)", "low <= steps"),
    ),
    *faults(
        "verify/port/differences.py",
        ("tests/verify/port/test_differences.py",),
        (
            "any numbers are the right ones in another order",
            "> tolerance:\n        return",
            "> np.inf:\n        return",
        ),
    ),
    *faults(
        "verify/port/symptoms.py",
        ("tests/verify/port/test_fitting.py", "-k", "derivative"),
        (
            "a curve is tried with its own derivative",
            "self.without_derivative | without_derivative",
            "self.without_derivative",
        ),
    ),
    *faults(
        "verify/port/candidate.py",
        FILES,
        ("any shape of the same size fits", "return one - {1} <= other or other - {1} <= one", "return True"),
    ),
    *faults(
        "verify/port/read_dump.py",
        FILES,
        ("a name leads out of the folder", 'not _is_inside(path, f"{name}.bin"):', "False:"),
    ),
    *faults(
        "verify/port/npy.py",
        FILES,
        ("Fortran order read as C", 'order="F" if header.is_fortran else "C"', 'order="C"'),
        ("numbers that the header does not tell of", "if size - header.size != header.data_size:", "if False:"),
    ),
    *faults(
        "verify/key/read.py",
        FILES,
        ("a tensor with NaN is computed with", "if not np.isfinite(tensor).all():", "if False:"),
    ),
    *faults(
        "verify/key/golden.py",
        ("tests/verify/key",),
        ("a picture's checksums are not compared", "image.verify()", "pass"),
    ),
    *faults(
        "weights/tensor_file.py",
        FILES,
        ("a header of any length", "length > MAX_HEADER_BYTES", "length < 0"),
        ("numbers from the header on", "file.seek(self._starts[name])", "file.seek(self._starts[name] - 8)"),
    ),
    *faults(
        "verify/key/write.py",
        FILES,
        ("numbers at other positions", "tensor.reshape(-1)[positions]", "tensor.reshape(-1)[: len(positions)]"),
        ("weights cut to float32", "np.array_equal(tensor, tensor.astype(np.float32))", "True"),
        ("the input is thinned", 'if name != "input" and sample', "if sample"),
    ),
    *faults(
        "verify/key/stress.py",
        ("tests/verify/key/test_stress.py",),
        ("scores that half precision holds", "OVERFLOW = 7e4", "OVERFLOW = 3e4"),
        ("a tail that is made up for twice", "[:, 1:2] *= TAIL", "[:, 1:2] /= TAIL"),
    ),
    *faults(
        "verify/port/cases.py",
        ("tests/verify/port/test_cases.py",),
        ("the key's own tensors in place of a case's", "if case in parts and inner:", "if False:"),
    ),
    *faults(
        "verify/port/two_dumps.py",
        ("tests/verify/port/test_two_dumps.py",),
        ("rounding of the finer of two precisions", "max(its, others, key=", "min(its, others, key="),
        (
            "what is equal but for rounding is equal",
            "if np.array_equal(first, second, equal_nan=True):",
            "if roundings < 9:",
        ),
    ),
    *faults(
        "verify/port/name_order.py",
        ("tests/verify/port/test_two_dumps.py",),
        ("gradients from the first to the last", "(-number for number in where)", "(number for number in where)"),
    ),
    *faults(
        "verify/port/randomness.py",
        ("tests/verify/port/test_two_dumps.py",),
        ("drop path in all images", "if any(images):", "if all(images):"),
    ),
]
