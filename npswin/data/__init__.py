"""Data sets, augmentation, and the batches of each step."""

from npswin.data.augment import random_crop, random_erasing, random_flip
from npswin.data.batches import batch_rng, epoch_batches, sample_rng, steps_per_epoch
from npswin.data.cifar10 import CIFAR10_CLASSES, CIFAR10_MEAN, CIFAR10_STD, load_cifar10
from npswin.data.colour_distortion import distort_colours
from npswin.data.dataset import IMAGENET_MEAN, IMAGENET_STD, ImageDataset, channel_statistics, normalize
from npswin.data.detections import Detections
from npswin.data.errors import AnnotationError, DataFileError, DataUnavailableError
from npswin.data.formats.ade20k import ADE20K_CLASSES, load_ade20k
from npswin.data.formats.cityscapes import CITYSCAPES_CLASSES, load_cityscapes
from npswin.data.formats.class_names import read_class_names
from npswin.data.formats.coco import load_coco
from npswin.data.formats.coco_results import read_coco_results, write_coco_results
from npswin.data.formats.folders import load_detection_folder, load_segmentation_folder
from npswin.data.formats.label_maps import load_label_maps
from npswin.data.formats.voc import VOC_CLASSES, load_voc
from npswin.data.load_samples import load_samples
from npswin.data.mixing import cutmix, mixup, one_hot
from npswin.data.padded_batch import DetectionBatch, SegmentationBatch, normalize_padded, padded_batch
from npswin.data.rand_augment import rand_augment
from npswin.data.sample_augment import random_crop_sample, random_flip_sample, random_rescale, random_resize
from npswin.data.sample_datasets import DetectionDataset, SegmentationDataset
from npswin.data.sample_statistics import sample_statistics
from npswin.data.sample_transforms import crop_sample, flip_sample, resize_sample, size_within
from npswin.data.samples import DetectionSample, SegmentationSample
from npswin.data.scenes import SCENE_CLASSES, SCENE_THINGS, load_detection_scenes, load_segmentation_scenes
from npswin.data.shapes import SHAPE_CLASSES, SHAPES_MEAN, SHAPES_STD, load_shapes, make_shapes
from npswin.data.tight_boxes import tight_boxes

__all__ = [
    "ADE20K_CLASSES",
    "CIFAR10_CLASSES",
    "CIFAR10_MEAN",
    "CIFAR10_STD",
    "CITYSCAPES_CLASSES",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "SCENE_CLASSES",
    "SCENE_THINGS",
    "SHAPES_MEAN",
    "SHAPES_STD",
    "SHAPE_CLASSES",
    "VOC_CLASSES",
    "AnnotationError",
    "DataFileError",
    "DataUnavailableError",
    "DetectionBatch",
    "DetectionDataset",
    "DetectionSample",
    "Detections",
    "ImageDataset",
    "SegmentationBatch",
    "SegmentationDataset",
    "SegmentationSample",
    "batch_rng",
    "channel_statistics",
    "crop_sample",
    "cutmix",
    "distort_colours",
    "epoch_batches",
    "flip_sample",
    "load_ade20k",
    "load_cifar10",
    "load_cityscapes",
    "load_coco",
    "load_detection_folder",
    "load_detection_scenes",
    "load_label_maps",
    "load_samples",
    "load_segmentation_folder",
    "load_segmentation_scenes",
    "load_shapes",
    "load_voc",
    "make_shapes",
    "mixup",
    "normalize",
    "normalize_padded",
    "one_hot",
    "padded_batch",
    "rand_augment",
    "random_crop",
    "random_crop_sample",
    "random_erasing",
    "random_flip",
    "random_flip_sample",
    "random_rescale",
    "random_resize",
    "read_class_names",
    "read_coco_results",
    "resize_sample",
    "sample_rng",
    "sample_statistics",
    "size_within",
    "steps_per_epoch",
    "tight_boxes",
    "write_coco_results",
]
