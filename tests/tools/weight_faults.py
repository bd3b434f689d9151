"""Single faults in reading other projects' weights: see `faults.py`."""

from tests.tools.faults import faults

LAYOUTS = ("tests/weights/test_golden.py", "tests/weights/test_real_layouts.py")
LOADING = ("tests/weights/test_load.py", "tests/weights/test_real_layouts.py")
DENSE = ("tests/weights/test_dense.py",)
KINDS = ("tests/weights/test_file_kinds.py",)

WEIGHT_FAULTS = [
    *faults(
        "weights/merging_order.py",
        LAYOUTS,
        ("neighbours row by row", "transpose(0, 3, 2, 1)", "transpose(0, 2, 3, 1)"),
        ("the norm's neighbours row by row", "transpose(2, 1, 0)", "transpose(1, 2, 0)"),
    ),
    *faults(
        "weights/layout_openmmlab.py",
        LAYOUTS,
        ("any stage's norm is the last", "int(last := norms.pop()) == max(stages)", "(last := norms.pop())"),
        (
            "one of several norms is the last",
            "len(norms) == 1 and stages and int(last := norms.pop())",
            "norms and stages and int(last := max(norms))",
        ),
    ),
    *faults(
        "weights/layout_search.py",
        LAYOUTS,
        ("the first prefix wins", "return -count, bool", "return 0, bool"),
        ("an average is as good", "bool(AVERAGE_OR_STUDENT.search(prefix))", "False"),
        ("wrappers stay", 'key = key.replace(wrapper, "")', "key = key"),
    ),
    *faults(
        "weights/choose.py",
        LAYOUTS,
        ("shapes do not count", "official[name].shape == param.shape", "True"),
    ),
    *faults(
        "weights/match.py",
        LOADING,
        ("few are loaded", "(options.strict or count < options.min_share * total)", "options.strict"),
        (
            "the head of the file",
            "if name in report.own_head:\n            continue",
            "if False:\n            continue",
        ),
    ),
    *faults(
        "weights/fit.py",
        LOADING,
        ("channels averaged", "weight.sum(axis=1", "weight.mean(axis=1"),
        ("channels without a scale", " * (own / channels)", ""),
    ),
    *faults(
        "weights/layout_heads.py",
        DENSE,
        ("torchvision's background stays first", "[tensor[1:], tensor[:1]]", "[tensor[:1], tensor[1:]]"),
        ("deltas without the last class", "return tensor[4:]", "return tensor[:-4]"),
        ("masks without the last class", "else tensor[1:]", "else tensor[:-1]"),
        ("linear layers counted with their ReLUs", "(int(m[1]) - first) // 2", "int(m[1]) - first"),
    ),
    *faults(
        "weights/layout_transformers.py",
        DENSE,
        ("norms of stages counted from 1", 'f"norm{int(m[1]) - 1}.{m[2]}"', 'f"norm{m[1]}.{m[2]}"'),
    ),
    *faults(
        "weights/choose.py",
        DENSE,
        ("a classifier's norm is unexpected", "if is_dense and is_tail(name)", "if False"),
    ),
    *faults(
        "weights/dense.py",
        DENSE,
        ("heads below the backbone's prefix", "root = root_of(found.prefix)", "root = found.prefix"),
        ("a cascade is no other model", '"a Cascade Mask R-CNN"', '"a Mask R-CNN"'),
    ),
    *faults(
        "weights/class_layers.py",
        DENSE,
        ("masks are of no classes", r"conv_logits", r"no_logits"),
        ("all layers are drawn alike", "if deviation is None", "if deviation is not None"),
    ),
    *faults(
        "weights/match.py",
        DENSE,
        ("a dense model needs no norms", '(part == "backbone" or not body) and not any', "not any"),
        ("statistics may be missing", "if not name.endswith(UPDATES):", 'if ".bn." not in name:'),
        ("the whole model for its backbone", 'part == "all" or name.startswith(body)', "True"),
    ),
    *faults(
        "weights/file_kinds.py",
        KINDS,
        ("archives of arrays are others", 'all(name.endswith(".npy")', 'all(name.endswith(".npz")'),
        ("zeros are bytes", 'if not start.strip(b"\\0"):', "if False:"),
    ),
]
