"""The statistics of ImageNet's pixels, with which the official weights were trained."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
