"""`shapes`: small images of one object each, for classification, drawn by a seeded generator.

dataset.py has the data set. outlines.py is what its ten classes look like, as signed distances, whose elements are in
signed_distances.py; drawing.py paints them onto a batch of images. `scenes` is drawn with these, too.
"""

from npswin.data.shapes.dataset import SHAPE_CLASSES, SHAPES_MEAN, SHAPES_STD, load_shapes, make_shapes

__all__ = ["SHAPES_MEAN", "SHAPES_STD", "SHAPE_CLASSES", "load_shapes", "make_shapes"]
