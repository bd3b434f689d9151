"""What to do next where no mistake explains a port's tensor."""

from collections.abc import Iterable

from npswin.verify.graph import GRADIENT_PREFIX
from npswin.verify.port.comparison import SHAPE, Comparison

PIXELS = "feed the key's pixels to the port (`pixels` in key.safetensors, (B, channels, H, W) from 0 to 255)"
PRODUCTS = (".qkv", ".proj", ".fc1", ".fc2", ".reduction", "head", ".scores", ".context")  # ends of names
LARGEST_ERROR_OF_INT8 = 0.05  # relative, of a product with int8 factors
BEFORE_BLOCKS = ("pixels", "input", "patch_embed", "pos_drop")


def is_thin(names: Iterable[str]) -> bool:
    """Whether of these tensors none is of the model's beginning or of its blocks, as where logits alone were dumped."""
    return not any(name.startswith((*BEFORE_BLOCKS, "layers.")) for name in names)


def advice_on_thin_dump(comparison: Comparison) -> str:
    """What to dump, if the port dumped nothing before its last layers and they differ; else ""."""
    names = [row.name for row in comparison.rows_of_pass(backward=False) if row.name != "labels"]
    first = comparison.first_error()
    if first is None or first.name != names[0] or not is_thin(names):
        return ""
    return (
        f"nothing before {first.name} was dumped, so that the search is long and may end without a cause: {PIXELS}, "
        "since images that are resampled or cropped in another way are no mistake of the model; and dump input, "
        "patch_embed.proj and the output of each block"
    )


def _advice_on_int8(comparison: Comparison, symptom: str) -> str:
    """How a product is judged whose factors may be int8, by scales that the dump does not tell; or ""."""
    far = next((row.local_distance for row in comparison.rows if row.name == symptom), None)
    is_product = symptom.endswith(PRODUCTS) and not symptom.startswith(GRADIENT_PREFIX)
    if comparison.precision != "float32" or not is_product or far is None or not far.relative < LARGEST_ERROR_OF_INT8:
        return ""
    return (
        "if the port quantizes the inputs of its products to int8, dump them as they are after it, or allow for int8 "
        "with --precision int8"
    )


def advice_on_unexplained(comparison: Comparison, symptom: str) -> str:
    """What to do about a tensor that no mistake explains; "" where there is nothing to say.

    Args:
        comparison: of the port with the key.
        symptom: the tensor's name.
    """
    rows = comparison.rows_of_pass(backward=False)
    names = [row.name for row in rows if row.name not in ("labels", "pixels")]
    if not names or symptom != names[0]:
        return _advice_on_int8(comparison, symptom)
    if symptom == "input" and rows[0].verdict != SHAPE:
        return (
            "it is the key's pixels neither normalized in another way nor at other places: the pixels themselves "
            f"differ, resampled or cropped in another way; {PIXELS}"
        )
    if symptom.startswith(BEFORE_BLOCKS):
        return f"dump input, and {PIXELS}: images that are resampled or cropped in another way lead to other tensors"
    return advice_on_thin_dump(comparison) or f"dump input and patch_embed.proj, and {PIXELS}"
