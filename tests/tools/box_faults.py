"""Single faults in what is computed with boxes: definitions, `npswin.detection`, and the kernels of both backends."""

from tests.tools import cuda_faults, kernel_faults
from tests.tools.faults import Fault, faults

BOXES = "tests/ops", "tests/peers/test_boxes.py", "-k", "not cpu and (box or roi or loss or entropy or nms or mask)"
ANCHORS = "tests/detection/test_anchors.py", "tests/peers/test_boxes.py"
CUDA_BOXES = ("tests/backends/cuda/test_boxes.py",)

BOX_FAULTS: list[Fault] = [
    *faults(
        "ops/roi_align.py",
        BOXES,
        ("without the half pixel", "roi[1:] * spatial_scale - 0.5", "roi[1:] * spatial_scale"),
        ("points at the beginnings of parts", "(np.arange(points) + 0.5)", "np.arange(points)"),
        ("points of bins rounded down", "max(math.ceil(length), 0)", "max(math.floor(length), 0)"),
        (
            "points beyond the border are not left out",
            "(place >= -1) & (place <= size)",
            "(place >= -99) & (place <= 99)",
        ),
        ("RoIs that overlap do not add", "dx[one.image] += _scattered(", "dx[one.image] = _scattered("),
        ("points of a pixel do not add", "np.add.at(dx, place, weight", "dx.__setitem__(place, weight"),
    ),
    *faults(
        "ops/giou_loss.py",
        BOXES,
        (
            "the derivative by the union is missing",
            "dintersection = (-1 / union - dunion)",
            "dintersection = (-1 / union)",
        ),
        (
            "ends of the other side",
            "douter = denclosing[:, None] * outer[:, ::-1]",
            "douter = denclosing[:, None] * outer",
        ),
        ("boxes that are apart overlap", "inner = high - low, _at_least(inner, 0)", "inner = high - low, inner"),
        ("boxes without area", "LEAST_AREA = 1e-6", "LEAST_AREA = 0.0"),
    ),
    *faults(
        "ops/decode_boxes.py",
        BOXES,
        ("a limited side has a derivative", "np.where(is_limited, 0, new_sides)", "new_sides"),
        ("a derivative without deviations", "/ 2 * new_sides], axis=1) * scale", "/ 2 * new_sides], axis=1)"),
        ("deltas times their deviations", "return deltas / scale", "return deltas * scale"),
    ),
    *faults(
        "ops/nms.py",
        BOXES,
        ("groups suppress each other", "suppressed &= groups[rest] == groups[best]", "pass"),
        ("at the threshold, too", "[0] > iou_threshold", "[0] >= iou_threshold"),
        (
            "of equal scores the last one first",
            'np.argsort(-scores.real, kind="stable")',
            "np.argsort(scores.real)[::-1]",
        ),
    ),
    *faults(
        "ops/pixel_cross_entropy.py",
        BOXES,
        ("ignored places are counted", "max(int(valid.sum()), 1)", "max(valid.size, 1)"),
        ("ignored places have a derivative", "np.where(valid[..., None], dlogits, 0)", "dlogits"),
    ),
    *faults(
        "ops/sigmoid_cross_entropy.py",
        BOXES,
        (
            "the sigmoid of −x",
            "np.where(positive, 1, small) / (1 + small)",
            "np.where(positive, small, 1) / (1 + small)",
        ),
    ),
    *faults(
        "ops/smooth_l1_loss.py",
        BOXES,
        ("a square of width 1", "difference / (2 * beta)", "difference / 2"),
    ),
    *faults(
        "ops/paste_masks.py",
        BOXES,
        ("pixels are read at their corners", "(np.arange(size) + 0.5 - low)", "(np.arange(size) - low)"),
    ),
    *faults(
        "detection/anchors.py",
        ANCHORS,
        ("ratios of width to height", "[1 / roots, roots]", "[roots, 1 / roots]"),
        ("anchors at the places' centres", "np.arange(width) * stride", "(np.arange(width) + 0.5) * stride"),
        ("columns before rows", 'indexing="ij"', 'indexing="xy"'),
        (
            "a place that is partly in the image is none",
            "(-(-side // stride)",
            "(side // stride",
        ),
        ("an anchor inside ends at the border", "(right < width)", "(right <= width)"),
        (
            "height and width of the border exchanged",
            "(right < width) & (bottom < height)",
            "(right < height) & (bottom < width)",
        ),
        ("anchors begin left of the image", "(left >= 0)", "(left >= -1)"),
    ),
    *faults(
        "detection/assignment.py",
        ("tests/detection/test_assignment.py",),
        ("crowds are true boxes", "counted = counted[~crowd]", "pass"),
        (
            "the best one alone gets a low-quality match",
            "assigned[row == best] = index",
            "assigned[row.argmax()] = index",
        ),
        ("at the lower threshold, too", "largest < negative_iou", "largest <= negative_iou"),
        ("above the upper threshold only", "largest >= positive_iou", "largest > positive_iou"),
    ),
    *faults(
        "detection/sampling.py",
        ("tests/detection/test_sampling.py",),
        (
            "background never takes the places of others",
            "count - len(positive), rng",
            "count - int(count * share), rng",
        ),
        (
            "the first ones instead of drawn ones",
            "np.sort(rng.choice(indices, count, replace=False))",
            "indices[:count]",
        ),
        ("with replacement", "replace=False", "replace=True"),
    ),
    *faults(
        "detection/mask_targets.py",
        ("tests/detection/test_mask_targets.py",),
        ("the masks of the first boxes", "places[:, None].astype", "np.arange(count)[:, None].astype"),
        ("boxes beyond the image", "np.clip(boxes, 0,", "np.clip(boxes, -99,"),
    ),
    *faults(
        "backends/cpu/roi_align.py",
        kernel_faults.comparison("roi_align"),
        ("a pixel counts for its last point alone", "max(weights[near], 0) + weights", "weights"),
        (
            "what other bins left is not cleared",
            "for pixel in range(high, far + 1):",
            "for pixel in range(far, far + 1):",
        ),
        ("all RoIs of the first image", "if rois.images[roi] != image:", "if rois.images[roi] != 0:"),
    ),
    *faults(
        "backends/cpu/nms.py",
        kernel_faults.comparison("nms"),
        ("a box that was removed suppresses others", "            if not kept[box]:\n                continue\n", ""),
        ("the order of groups instead of scores", "kept_in_order[by_group] = kept", "kept_in_order[:] = kept"),
    ),
    *faults(
        "backends/cpu/pixel_cross_entropy.py",
        kernel_faults.comparison("pixel_cross_entropy"),
        ("the largest logit is left out of p_c", "(x[rows.classes[row]] - largest)", "x[rows.classes[row]]"),
    ),
    *faults(
        "backends/cuda/kernels/roi_align.cu",
        cuda_faults.comparison("roi_align"),
        ("a RoI that another thread found", "        __syncthreads();\n        found[thread]", "        found[thread]"),
        (
            "no barrier before RoIs are read",
            "found[thread] = reads_row && reads_columns;\n        __syncthreads();",
            "found[thread] = reads_row && reads_columns;",
        ),
        ("points of a pixel do not add", "(own[far] < 0 ? 0 : own[far]) + (Sum)", "(Sum)"),
    ),
    *faults(
        "backends/cuda/kernels/boxes.cu",
        cuda_faults.comparison("nms"),
        ("words of 32 boxes", "bits |= 1ull << k", "bits |= 1 << k"),
        (
            "a box of the next word is not removed",
            "word = box / WORD + threadIdx.x",
            "word = box / WORD + 2 * threadIdx.x",
        ),
        ("boxes of other groups are removed", "(!groups || groups[first + k] == groups[box]) &&", ""),
    ),
    *faults(
        "backends/cuda/kernels/box_losses.cu",
        CUDA_BOXES,
        ("a label that is no class is the first one", 'losses[row] = (Sum)nan("")', "losses[row] = 0"),
        ("ignored places have a derivative", "if (label == ignore_index) value = 0;\n        else if", "if"),
    ),
]
