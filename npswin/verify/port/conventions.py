"""Two conventions that are both right: windows and shifts by the size of the model's images, or of the image at hand.

In the official code `img_size` decides whether a stage's map is a single window, which then is not shifted. Other code
decides by the image that it gets. For images of another size the two differ, though neither is a mistake.
"""

from npswin.models import SwinTransformer
from npswin.verify.graph import swin_graph
from npswin.verify.key import AnswerKey, Trace
from npswin.verify.mistakes import Changes

NAME = "convention"


def changes_by_the_image(key: AnswerKey | Trace) -> Changes:
    """The nodes of the key's graph that are others where the image at hand decides; none where both agree."""
    image = key.sources.get("pixels", key.sources.get("input"))
    own = key.config.get("img_size")
    if image is None or own is None:
        return {}
    size = (int(image.shape[2]), int(image.shape[3]))
    if tuple(own if isinstance(own, tuple | list) else (own, own)) == size or key.config["ape"]:
        return {}
    model = SwinTransformer(**{**key.config, "img_size": size, "dtype": "float64"})
    if any(key.shapes.get(name) not in (None, param.shape) for name, param in model.params.items()):
        return {}  # tables for smaller windows: the weights tell which convention is meant
    settings = key.graph.nodes["input"].settings if "pixels" in key.sources else None
    normalization = None if settings is None else (settings["mean"], settings["std"])
    other = swin_graph(model, size, normalization).nodes
    nodes = key.graph.nodes
    return {
        name: node
        for name, node in other.items()
        if name not in nodes or node.inputs != nodes[name].inputs or node.settings != nodes[name].settings
    }


def description(key: AnswerKey | Trace) -> tuple[str, str]:
    """What it means that a port agrees with the changes, and what to do."""
    image = key.sources.get("pixels", key.sources.get("input"))
    assert image is not None
    height, width = image.shape[2:]
    says = (
        f"not a mistake: shift and mask follow the image at hand, {height} × {width}; in the key, as in the official "
        f"code, they follow img_size, {key.config['img_size']}: two conventions"
    )
    return says, f"write the key with img_size {height} {width}, then it follows the port's convention"
