"""`scenes`: pictures with many objects, for segmentation and detection, drawn when they are asked for.

datasets.py has the data sets, drawing.py one scene from the ground to the objects in front. ground.py paints sky,
grass, water and road, clutter.py what lies on them and is no object, and objects.py the objects, each at its place and
in its light; things.py is what the eight kinds of them look like. textures.py has noise and colours for all.
"""

from npswin.data.scenes.datasets import (
    SCENE_CLASSES,
    SCENE_THINGS,
    load_detection_scenes,
    load_segmentation_scenes,
)

__all__ = ["SCENE_CLASSES", "SCENE_THINGS", "load_detection_scenes", "load_segmentation_scenes"]
