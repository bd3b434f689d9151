"""What is found in image files, and the files of results."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import npswin
from npswin.cli import main
from npswin.data import (
    DataFileError,
    SegmentationSample,
    load_coco,
    load_label_maps,
    read_class_names,
    read_coco_results,
    resize_sample,
)
from npswin.data.formats.image_files import read_label_image
from npswin.data.formats.run_lengths import encode_masks
from npswin.files import FileError
from npswin.ops.softmax import softmax_forward
from npswin.training import predict_classes, predict_detections, predict_segmentation
from npswin.training.pictures.palette import colours
from npswin.training.prediction.image_paths import distinct_names, image_paths
from npswin.training.segmentation_metric import count_pixels, segmentation_scores
from npswin.weights import load_tensors, save_tensors
from tests.training.prediction.runs import CATEGORY_IDS, KINDS, trainer_of, write_image
from tests.training.tiny import tiny_model


def is_picture(path):
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def predicted(run_of, kind, tmp_path, **options):
    """The finished run, what `predict` returns for its test images, and the folder that it writes."""
    finished = run_of(kind)
    found = npswin.predict(finished.folder, finished.images, tmp_path / "out", **options)
    count = len(finished.trainer.test_data)
    assert [path.name for path, _ in found] == [f"{number}.png" for number in range(count)]
    pictures = sorted(path.name for path in (tmp_path / "out" / "pictures").iterdir())
    assert pictures == [path.name for path, _ in found]
    assert all(is_picture(path) for path in (tmp_path / "out" / "pictures").iterdir())
    return finished, [result for _, result in found], tmp_path / "out"


def test_classification(run_of, tmp_path):
    finished, found, out = predicted(run_of, "classification", tmp_path, top=2)
    trainer, data = finished.trainer, finished.trainer.test_data
    logits = trainer.model(npswin.data.normalize(data.images, trainer.mean, trainer.std))
    np.testing.assert_allclose(found, softmax_forward(logits)[0], rtol=1e-5)
    assert (np.argmax(found, axis=1) == data.labels).mean() == finished.result.accuracy
    entries = json.loads((out / "predictions.json").read_text())
    for path, result, entry in zip(sorted(finished.images.iterdir()), found, entries, strict=True):
        best = np.argsort(-result)[:2]
        assert entry == {
            "file": str(path),
            "picture": f"pictures/{path.name}",
            "classes": [{"name": data.class_names[label], "score": float(result[label])} for label in best],
        }
    assert sorted(path.name for path in out.iterdir()) == ["pictures", "predictions.json"]


@pytest.mark.parametrize("size", [(8, 8), (5, 17), (40, 12)])
def test_an_image_is_resized_to_the_classifiers_size(size):
    model, image = tiny_model(), np.random.default_rng(0).integers(0, 256, (3, *size), np.uint8)
    resized = resize_sample(SegmentationSample(image, np.zeros(size, np.uint8)), (8, 8)).image
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    expected = softmax_forward(model(npswin.data.normalize(resized[None], mean, std)))[0][0]
    np.testing.assert_allclose(predict_classes(model, image, mean, std), expected, rtol=1e-5)


def test_a_classifier_of_another_aspect_ratio_any_size_or_16_bits():
    image = np.random.default_rng(0).integers(0, 256, (1, 9, 13), np.uint8)
    for img_size in ((8, 12), None):
        model = tiny_model(img_size=img_size, in_chans=1)
        in_8_bits = predict_classes(model, image, (0.5,), (0.2,))
        in_16_bits = predict_classes(model, image * np.uint16(257), (0.5,), (0.2,))
        assert in_8_bits.shape == (3,)
        np.testing.assert_allclose(in_16_bits, in_8_bits, rtol=0.02)  # resized pixels are rounded to 8 bits or to 16
    for model, own in (
        (tiny_model(img_size=(8, 12), in_chans=1), image[:, :8, :12]),
        (tiny_model(img_size=None, in_chans=1), image),
    ):
        logits = model(npswin.data.normalize(own[None], (0.5,), (0.2,)))
        found = predict_classes(model, own, (0.5,), (0.2,))
        np.testing.assert_allclose(found, softmax_forward(logits)[0][0], rtol=1e-5)


def test_segmentation(run_of, tmp_path):
    finished, found, out = predicted(run_of, "segmentation", tmp_path)
    trainer, data = finished.trainer, finished.trainer.test_data
    for sample, result in zip(data, found, strict=True):
        expected = predict_segmentation(trainer.model, sample.image, trainer.mean, trainer.std, 24, 48)
        np.testing.assert_array_equal(result, expected)
    names = read_class_names(out / "classes.txt")
    assert names == data.class_names
    again = load_label_maps(finished.images, out / "annotations", names, "predicted")  # a data set of npswin's
    counts = sum(
        count_pixels(truth.labels, one.labels.astype(np.int64), len(names))
        for truth, one in zip(data, again, strict=True)
    )
    scores = segmentation_scores(counts)
    assert scores.mean_iou == pytest.approx(finished.result.mean_iou, abs=1e-12)
    assert 0 < scores.pixel_accuracy == pytest.approx(finished.result.pixel_accuracy, abs=1e-12)
    for entry, result in zip(json.loads((out / "predictions.json").read_text()), found, strict=True):
        np.testing.assert_array_equal(read_label_image(out / entry["labels"]), result)
        image = Image.open(out / entry["labels"])
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), colours(len(names))[result])
        shares = [one["share"] for one in entry["classes"]]
        assert shares == sorted(shares, reverse=True)
        assert {one["name"]: one["share"] for one in entry["classes"]} == {
            names[label]: (result == label).mean() for label in np.unique(result)
        }


def truth_in_coco(data, path):
    """Write the objects of a data set as COCO's annotations, with image ids from 1 in the order of the images."""
    images, annotations = [], []
    for number, sample in enumerate(data, 1):
        height, width = sample.image.shape[1:]
        images.append({"id": number, "file_name": f"{number - 1}.png", "height": height, "width": width})
        codes = encode_masks(sample.masks) if data.has_masks else [None] * len(sample.boxes)
        for box, label, code in zip(sample.boxes.tolist(), sample.labels.tolist(), codes, strict=True):
            entry = {
                "id": len(annotations) + 1,
                "image_id": number,
                "iscrowd": 0,
                "category_id": data.category_ids[label],
            }
            entry |= {
                "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                "area": (box[2] - box[0]) * (box[3] - box[1]),
            }
            if code is not None:
                entry["segmentation"] = {"size": code["size"], "counts": code["counts"].decode()}
            annotations.append(entry)
    categories = [
        {"id": number, "name": name} for number, name in zip(data.category_ids, data.class_names, strict=True)
    ]
    path.write_text(
        json.dumps({"info": {}, "images": images, "annotations": annotations, "categories": categories}, default=int)
    )


@pytest.mark.parametrize("kind", ["masks", "boxes"])
def test_detection(run_of, tmp_path, monkeypatch, kind):
    finished, found, out = predicted(run_of, kind, tmp_path)
    trainer, data = finished.trainer, finished.trainer.test_data
    for sample, result in zip(data, found, strict=True):
        expected = predict_detections(trainer.model, sample.image, trainer.mean, trainer.std, 32, 48, kind == "masks")
        for name, array in vars(expected).items():
            np.testing.assert_array_equal(getattr(result, name), array)
        assert len(result.labels)

    truth = tmp_path / "truth.json"
    truth_in_coco(data, truth)
    monkeypatch.setattr("builtins.print", lambda *_, **__: None)  # pycocotools prints much
    result = finished.result
    wanted = {"bbox": (result.box_ap, result.box_ap50)}
    if kind == "masks":
        wanted["segm"] = (result.mask_ap, result.mask_ap50)
    for measure, numbers in wanted.items():
        assert 0 < numbers[0] < 1
        theirs = COCO(str(truth))
        evaluation = COCOeval(theirs, theirs.loadRes(str(out / "predictions.json")), measure)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        np.testing.assert_allclose(evaluation.stats[:2], numbers, rtol=1e-9)


def test_results_and_images_of_a_detector_load_together(run_of, tmp_path, monkeypatch):
    """Also of images of one name in several folders, some of them given by relative paths."""
    finished, out = run_of("masks"), tmp_path / "out"
    images = []
    for number, name in enumerate(("a/x.png", "a/b/x.png", "c/x.png")):
        images.append(tmp_path / "photos" / name)
        images[-1].parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(finished.images / f"{number}.png", images[-1])
    (tmp_path / "photos" / "d").symlink_to("c")
    monkeypatch.chdir(tmp_path / "photos" / "a")
    given = ["x.png", images[1], "../d/x.png"]
    found = npswin.predict(finished.folder, given, out)
    theirs = COCO(out / "images.json")
    results = theirs.loadRes(str(out / "predictions.json"))
    assert [theirs.imgs[number]["file_name"] for number in (1, 2, 3)] == ["a/x.png", "a/b/x.png", "c/x.png"]
    for number, result in enumerate(found, 1):
        picture, size = out / theirs.imgs[number]["picture"], Image.open(given[number - 1]).size
        assert is_picture(picture)
        assert picture.stem == ("x" if number == 1 else f"x-{number}")
        assert (theirs.imgs[number]["width"], theirs.imgs[number]["height"]) == size
        assert result.path == Path(given[number - 1])
    assert len(results.anns) == sum(len(one.result.labels) for one in found)
    folder = json.loads((out / "images.json").read_text())["info"]["image_folder"]
    assert folder == str(tmp_path / "photos")
    dataset = load_coco(out / "images.json", folder, "predicted")
    class_names = npswin.load_run(finished.folder).class_names
    assert {theirs.cats[number]["name"] for number in CATEGORY_IDS} == set(class_names)
    for (_, own), again in zip(found, read_coco_results(out / "predictions.json", dataset), strict=True):
        np.testing.assert_allclose(again.boxes, own.boxes)
        assert [dataset.class_names[label] for label in again.labels] == [class_names[label] for label in own.labels]
        for name in ("scores", "masks"):
            np.testing.assert_array_equal(getattr(again, name), getattr(own, name))


@pytest.mark.parametrize("setting", [{"top": "3"}, {"top": 3}, {"threshold": 7}])
def test_settings_of_files_are_refused_where_none_are_written(run_of, setting):
    finished = run_of("classification")
    name = next(iter(setting))
    with pytest.raises(ValueError, match=f"^{name}: got .* without out, expected none"):
        npswin.predict(finished.folder, finished.images / "0.png", **setting)


def without_category_ids(run):
    """Remove the ids from config.json and the checkpoints of a run, as an older version has written them."""
    config = json.loads((run / "config.json").read_text())
    del config["category_ids"]
    (run / "config.json").write_text(json.dumps(config))
    checksum = None
    for name in ("best", "last"):
        tensors, metadata = load_tensors(run / f"{name}.safetensors")
        described = json.loads(metadata["run"])
        del described["category_ids"]
        if name == "last":  # which has the checksum of the best one
            metadata["training"] = json.dumps(json.loads(metadata["training"]) | {"best_checksum": checksum})
        checksum = save_tensors(run / f"{name}.safetensors", tensors, {**metadata, "run": json.dumps(described)})


def test_a_detectors_run_of_an_older_version(run_of, tmp_path):
    """It has no ids of categories: they are counted from 1, and where it is resumed they are known again."""
    finished = run_of("boxes")
    assert npswin.load_run(finished.folder).category_ids == CATEGORY_IDS
    old = shutil.copytree(finished.folder, tmp_path / "old", ignore=shutil.ignore_patterns(".lock"))
    without_category_ids(old)
    assert npswin.load_run(old).category_ids == ()
    npswin.predict(old, finished.images, tmp_path / "out")
    found = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert {one["category_id"] for one in found} <= {1, 2}
    categories = json.loads((tmp_path / "out" / "images.json").read_text())["categories"]
    assert categories == [{"id": 1, "name": "thing"}, {"id": 2, "name": "other thing"}]

    trainer_of("boxes", old).fit(resume=True)
    assert npswin.load_run(old).category_ids == CATEGORY_IDS


def test_a_picture_has_what_has_the_threshold(run_of, tmp_path, monkeypatch):
    finished, drawn = run_of("masks"), []
    monkeypatch.setattr(
        "npswin.training.prediction.files.draw_detections", lambda *_, **options: drawn.append(options["min_score"])
    )
    npswin.predict(finished.folder, finished.images / "0.png", tmp_path / "a", threshold=0.25)
    npswin.predict(finished.folder, finished.images / "0.png", tmp_path / "b", threshold=0.75)
    assert drawn == [0.25, 0.75]
    texts = [(tmp_path / name / "predictions.json").read_text() for name in "ab"]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_folder_nothing_is_written(run_of, tmp_path, monkeypatch, kind):
    finished = run_of(kind)
    monkeypatch.chdir(tmp_path)
    run = npswin.load_run(finished.folder)
    (found,) = npswin.predict(run, str(finished.images / "0.png"))
    assert found.path == finished.images / "0.png"
    assert not list(tmp_path.iterdir())


def test_grey_transparent_and_16_bit_files(run_of, tmp_path):
    run = npswin.load_run(run_of("classification").folder)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    colour = Image.fromarray(pixels).convert("RGB")
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    Image.fromarray(pixels * np.uint16(256) + np.uint16(7)).save(tmp_path / "sixteen.png")
    colour.putalpha(3)
    colour.save(tmp_path / "transparent.png")
    expected = run.predict(np.stack([pixels] * 3))
    for _, found in npswin.predict(run, tmp_path):
        np.testing.assert_array_equal(found, expected)


def test_a_model_of_one_channel_gets_grey_images_and_one_of_four_gets_none(tmp_path):
    from npswin.training import Run
    from npswin.training.config import TrainConfig
    from npswin.training.tasks.classification import ClassificationTask

    def run_with(channels):
        task = ClassificationTask(TrainConfig())
        statistics = (0.5,) * channels, (0.2,) * channels
        return Run(tiny_model(in_chans=channels), task, ("a", "b", "c"), *statistics, tmp_path)

    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (found,) = npswin.predict(run_with(1), tmp_path / "a.png")
    grey = np.asarray(Image.fromarray(pixels).convert("L"))[None]
    np.testing.assert_array_equal(found.result, run_with(1).predict(grey))
    with pytest.raises(
        ValueError, match=r"^run: its images have 4 channels, image files have 1 or 3; give run\.predict"
    ):
        npswin.predict(run_with(4), tmp_path / "a.png")
    assert run_with(4).predict(np.zeros((4, 9, 9), np.uint8)).shape == (3,)


class TestPaths:
    def test_a_folder_stands_for_its_images_in_the_order_of_their_names(self, tmp_path):
        for name in ("b.PNG", "a.jpg", ".hidden.png", "notes.txt"):
            (tmp_path / name).touch()
        (tmp_path / "folder.png").mkdir()
        assert image_paths([tmp_path]) == [tmp_path / "a.jpg", tmp_path / "b.PNG"]
        assert image_paths([tmp_path / "b.PNG", str(tmp_path)]) == [tmp_path / "b.PNG", tmp_path / "a.jpg"]
        with pytest.raises(
            DataFileError, match=r"^missing\.png, more: no such file or folder, expected images or folders"
        ):
            image_paths(["missing.png", tmp_path, "more"])
        with pytest.raises(DataFileError, match=r"folder\.png: has no image; expected names that end with \.bmp"):
            image_paths(tmp_path / "folder.png")

    @pytest.mark.parametrize("images", [[], (), 3, None, [3], [""], {"a.png"}])
    def test_what_is_no_path(self, images):
        with pytest.raises(ValueError, match=r"^images: got"):
            image_paths(images)

    def test_names_are_distinct(self, tmp_path):
        names = ["a/CAT.png", "b/cat.jpg", "c/cat.png", "c/cat-2.png", "d/dog.tar.png"]
        assert distinct_names([tmp_path / name for name in names]) == ["CAT", "cat-2", "cat-3", "cat-2-2", "dog.tar"]


def test_images_of_one_name_do_not_replace_each_other(run_of, tmp_path):
    finished = run_of("segmentation")
    images = []
    for folder, number in (("one", 0), ("two", 1)):
        (tmp_path / folder).mkdir()
        images.append(tmp_path / folder / "a.png")
        write_image(images[-1], finished.trainer.test_data[number].image)
    found = npswin.predict(finished.folder, images, tmp_path / "out")
    entries = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [entry["file"] for entry in entries] == [str(path) for path in images]
    assert [entry["labels"] for entry in entries] == ["annotations/a.png", "annotations/a-2.png"]
    for entry, (_, result) in zip(entries, found, strict=True):
        np.testing.assert_array_equal(read_label_image(tmp_path / "out" / entry["labels"]), result)


def test_a_folder_that_is_not_empty_stays_as_it_is(run_of, tmp_path):
    finished = run_of("classification")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileError, match=r"not empty; choose another folder, new or empty \(--out, or out=\)"):
        npswin.predict(finished.folder, finished.images, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_images_that_cannot_be_read_are_left_out_with_a_warning(run_of, tmp_path):
    finished = run_of("classification")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    images = [finished.images / "0.png", tmp_path / "broken.png", finished.images / "1.png"]
    with pytest.warns(UserWarning, match=r"broken\.png: is not an image .*; this image is left out$") as warned:
        found = npswin.predict(finished.folder, images, tmp_path / "out")
    assert [one.filename for one in warned] == [__file__]
    assert [path.name for path, _ in found] == ["0.png", "1.png"]
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())) == 2
    with pytest.raises(DataFileError, match=r"broken\.png: is not an image"):
        npswin.predict(finished.folder, tmp_path / "broken.png", tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_of_which_a_side_is_too_long_does_not_stop_the_others(run_of, tmp_path, capsys, kind):
    finished, wide = run_of(kind), tmp_path / "wide.png"
    write_image(wide, np.zeros((3, 4, 20_000), np.uint8))
    images, problem = [wide, finished.images / "0.png"], "wide.png: has 20000×4 pixels, expected sides of at most 16384"
    with pytest.warns(UserWarning, match=problem):
        assert [path for path, _ in npswin.predict(finished.folder, images)] == images[1:]
    assert main(["predict", *map(str, [finished.folder, *images]), "--out", str(tmp_path / "out")]) == 1
    assert problem in capsys.readouterr().err


def test_nothing_found_is_a_result(run_of, tmp_path):
    finished, run = run_of("boxes"), npswin.load_run(run_of("boxes").folder)
    run.model.detection_limits = run.model.detection_limits._replace(score_threshold=1.0)
    found = npswin.predict(run, finished.images, tmp_path / "out")
    assert [len(result.labels) for _, result in found] == [0] * len(finished.trainer.test_data)
    assert json.loads((tmp_path / "out" / "predictions.json").read_text()) == []
    assert len(json.loads((tmp_path / "out" / "images.json").read_text())["images"]) == len(found)
