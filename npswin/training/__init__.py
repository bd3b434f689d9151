"""Training: optimizers, schedule, average of the weights, the trainer and its pictures."""

from npswin.training.config import PRECISIONS, TrainConfig
from npswin.training.ema import Ema
from npswin.training.environment import set_threads
from npswin.training.errors import CheckpointError, RunFolderError
from npswin.training.gradients import NonFiniteError
from npswin.training.normalization import read_normalization
from npswin.training.optimizers import SGD, AdamW, clip_gradients, decays
from npswin.training.pictures import (
    draw_attention,
    draw_class_scores,
    draw_curves,
    draw_detections,
    draw_predictions,
    draw_segmentation,
)
from npswin.training.prediction import Prediction, Run, load_run, predict
from npswin.training.schedules import warmup_cosine
from npswin.training.tasks.classification import compute_gradients
from npswin.training.tasks.classification_evaluation import Evaluation, evaluate, predict_classes
from npswin.training.tasks.detection import DetectionTask
from npswin.training.tasks.detection_evaluation import DetectionEvaluation, evaluate_detection, predict_detections
from npswin.training.tasks.segmentation import SegmentationTask
from npswin.training.tasks.segmentation_evaluation import evaluate_segmentation, predict_segmentation
from npswin.training.terminal import TrainingInterrupted
from npswin.training.trainer import Trainer

__all__ = [
    "PRECISIONS",
    "SGD",
    "AdamW",
    "CheckpointError",
    "DetectionEvaluation",
    "DetectionTask",
    "Ema",
    "Evaluation",
    "NonFiniteError",
    "Prediction",
    "Run",
    "RunFolderError",
    "SegmentationTask",
    "TrainConfig",
    "Trainer",
    "TrainingInterrupted",
    "clip_gradients",
    "compute_gradients",
    "decays",
    "draw_attention",
    "draw_class_scores",
    "draw_curves",
    "draw_detections",
    "draw_predictions",
    "draw_segmentation",
    "evaluate",
    "evaluate_detection",
    "evaluate_segmentation",
    "load_run",
    "predict",
    "predict_classes",
    "predict_detections",
    "predict_segmentation",
    "read_normalization",
    "set_threads",
    "warmup_cosine",
]
