"""The recipes by which benchmarks train dense models are arguments of npswin's."""

import pytest

import npswin
from benchmarks.dense_recipes import RECIPES
from npswin.training import DetectionTask, SegmentationTask, TrainConfig
from npswin.training.schedules import Schedule


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_has_valid_arguments(name):
    recipe = RECIPES[name]
    assert set(recipe) == {"preset", "model", "task", "training"}
    task = (SegmentationTask if recipe["preset"].startswith("upernet") else DetectionTask)(**recipe["task"])
    config = TrainConfig(**recipe["training"])
    assert (config.optimizer, config.micro_batches) == ("adamw", 1)  # those that the loop in PyTorch has
    assert Schedule(config, 100).total_steps == 100 * config.epochs
    model = npswin.create_model(recipe["preset"], **recipe["model"], num_classes=2)
    preset = npswin.create_model(recipe["preset"], num_classes=2).config
    for argument, value in recipe["model"].items():
        assert model.config[argument] != preset[argument], argument
        if argument == "backbone":
            assert model.config[argument] == {**preset[argument], **value}
    if isinstance(task, DetectionTask):
        assert task.max_detections >= model.config["detections"]
