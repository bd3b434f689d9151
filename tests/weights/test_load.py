"""Loading weights: all or none, complete reports, resampled tables."""

import json

import numpy as np
import pytest

from npswin import SwinTransformer
from npswin.weights import LoadReport, WeightFileError, WeightMismatchError, load_tensors, load_weights, save_tensors
from tests.ops.test_resize import FROM_TORCH


def small(**arguments):
    """A small model with tables and an absolute position embedding."""
    return SwinTransformer(
        **{"img_size": 12, "patch_size": 2, "num_classes": 5, "embed_dim": 4, "depths": (2, 1), "num_heads": (2, 2)}
        | {"window_size": 2, "ape": True, **arguments}
    )


@pytest.fixture
def model():
    return small(seed=1)


@pytest.fixture
def unchanged(model):
    """Afterwards each parameter of `model` must be the same array, bit for bit."""
    before = {name: (param, param.tobytes()) for name, param in model.params.items()}
    yield
    for name, param in model.params.items():
        assert param is before[name][0]
        assert param.tobytes() == before[name][1]


def equal(a, b):
    return all(np.array_equal(a.params[name], b.params[name]) for name in a.params)


class TestWhole:
    def test_what_is_saved_is_loaded(self, tmp_path, model):
        other = small(seed=2)
        other.save(tmp_path / "w.safetensors")
        arrays = dict(model.params)
        assert not equal(model, other)
        report = load_weights(model, tmp_path / "w.safetensors")
        assert equal(model, other)
        assert report == LoadReport("official", list(model.params))
        assert report.complete
        assert all(model.params[name] is arrays[name] for name in arrays), "parameters change in place"

    def test_saved_files_have_the_models_config(self, tmp_path, model):
        model.save(tmp_path / "w.safetensors")
        config = json.loads(load_tensors(tmp_path / "w.safetensors")[1]["config"])
        other = SwinTransformer(**{**config, "seed": 9})
        load_weights(other, str(tmp_path / "w.safetensors"))
        assert equal(model, other)

    @pytest.mark.parametrize(("here", "there"), [("float32", "float64"), ("float64", "float32")])
    def test_parameters_keep_their_dtype(self, here, there):
        model, other = small(dtype=here), small(seed=2, dtype=there)
        load_weights(model, other.params)
        for name, param in model.params.items():
            assert param.dtype == here
            np.testing.assert_array_equal(param, other.params[name].astype(here))

    def test_the_source_is_not_shared(self, model):
        other = small(seed=2)
        load_weights(model, other.params)
        model.params["norm.bias"][...] = 7
        assert not np.any(other.params["norm.bias"] == 7)


class TestMismatch:
    @pytest.mark.usefixtures("unchanged")
    def test_strict_lists_everything(self, tmp_path, model):
        state = dict(small(seed=2).params)
        del state["norm.bias"], state["layers.0.blocks.1.mlp.fc1.weight"]
        state |= {"norm.gain": np.ones(4), "layers.7.norm": np.ones(2)}
        state["head.weight"], state["norm.weight"] = np.ones((3, 8)), np.ones((8, 1))
        save_tensors(tmp_path / "w.safetensors", state)
        for source, origin in ((state, "the tensors"), (tmp_path / "w.safetensors", "w.safetensors")):
            with pytest.raises(WeightMismatchError) as caught:
                load_weights(model, source)
            message = str(caught.value)
            assert origin in message
            for line in (
                "missing: norm.bias",
                "missing: layers.0.blocks.1.mlp.fc1.weight",
                "unexpected: norm.gain",
                "unexpected: layers.7.norm",
                "misshapen: head.weight is (3, 8), the model has (5, 8)",
                "misshapen: norm.weight is (8, 1), the model has (8,)",
            ):
                assert line in message.splitlines()

    def test_not_strict_loads_what_matches(self, model):
        old = {name: param.copy() for name, param in model.params.items()}
        other = small(seed=2, num_classes=7)
        state = {**other.params, "extra": np.ones(3)}
        del state["norm.bias"]
        report = load_weights(model, state, strict=False)
        assert report.missing == ["norm.bias"]
        assert report.unexpected == ["extra"]
        assert report.misshapen == {"head.weight": ((7, 8), (5, 8)), "head.bias": ((7,), (5,))}
        assert not report.complete
        for name, param in model.params.items():
            left = name in ("norm.bias", "head.weight", "head.bias")
            assert (name in report.loaded) == (not left)
            np.testing.assert_array_equal(param, old[name] if left else other.params[name])
        assert str(report).splitlines()[:2] == ["layout: official", f"fitting: {len(model.params) - 3} tensors"]
        assert "misshapen: head.bias is (7,), the model has (5,)" in str(report)

    def test_a_headless_model(self, model):
        headless = small(seed=2, num_classes=0)
        with pytest.raises(WeightMismatchError, match=r"unexpected: head\.weight"):
            load_weights(headless, model.params)
        assert load_weights(headless, model.params, strict=False).unexpected == ["head.weight", "head.bias"]
        assert load_weights(model, headless.params, strict=False).missing == ["head.weight", "head.bias"]

    @pytest.mark.usefixtures("unchanged")
    def test_another_layouts_model(self, model):
        with pytest.raises(ValueError, match="unknown key layout"):
            load_weights(model, {"conv1.weight": np.ones(3)})

    @pytest.mark.parametrize("shape", [(), (5,), (1, 5, 8), (0, 8)])
    @pytest.mark.parametrize(
        "name", ["head.weight", "layers.0.blocks.0.attn.relative_position_bias_table", "absolute_pos_embed"]
    )
    @pytest.mark.usefixtures("unchanged")
    def test_any_shape_is_reported(self, model, name, shape):
        with pytest.raises(WeightMismatchError, match=f"misshapen: {name} is "):
            load_weights(model, {**small(seed=2).params, name: np.ones(shape)})


class TestBadValues:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("strict", [True, False])
    @pytest.mark.usefixtures("unchanged")
    def test_not_finite(self, tmp_path, model, value, strict):
        state = {name: param.copy() for name, param in small(seed=2).params.items()}
        state["layers.1.blocks.0.norm1.weight"][3] = value
        with pytest.raises(
            ValueError, match=r"^layers\.1\.blocks\.0\.norm1\.weight: 1 of 8 values are NaN or infinite"
        ):
            load_weights(model, state, strict)
        save_tensors(tmp_path / "w.safetensors", state)
        with pytest.raises(
            WeightFileError, match=r"w\.safetensors: layers\.1\.blocks\.0\.norm1\.weight: 1 of 8 values"
        ):
            load_weights(model, tmp_path / "w.safetensors", strict)

    @pytest.mark.usefixtures("unchanged")
    def test_beyond_the_models_range(self, model):
        state = {**small(seed=2).params, "norm.bias": np.full(8, 1e200)}
        with pytest.raises(ValueError, match=r"norm\.bias: has values beyond the range of the model's float32"):
            load_weights(model, state)

    @pytest.mark.parametrize("dtype", [int, bool, complex])
    @pytest.mark.usefixtures("unchanged")
    def test_not_real_numbers(self, model, dtype):
        with pytest.raises(
            ValueError, match=rf"norm\.bias: has dtype {np.dtype(dtype)}, expected a floating point dtype"
        ):
            load_weights(model, {**small(seed=2).params, "norm.bias": np.ones(8, dtype)})

    @pytest.mark.usefixtures("unchanged")
    def test_files_that_are_none(self, tmp_path, model):
        with pytest.raises(FileNotFoundError, match="absent"):
            load_weights(model, tmp_path / "absent.safetensors")
        (tmp_path / "w.pth").write_bytes(b"PK\x03\x04")
        with pytest.raises(WeightFileError, match=r"w\.pth: a PyTorch pickle"):
            load_weights(model, tmp_path / "w.pth")
        save_tensors(tmp_path / "other.safetensors", {"conv1.weight": np.ones(3)})
        with pytest.raises(WeightFileError, match=r"other\.safetensors: unknown key layout: found conv1\.weight"):
            load_weights(model, tmp_path / "other.safetensors")


class TestSizes:
    def test_a_much_larger_file_is_not_read(self, tmp_path, model):
        """Two tensors of 2 GiB each, in a file that takes no space."""
        size = 2**31
        name = "layers.0.blocks.0.attn.qkv.weight"
        header = {
            name: {"dtype": "F32", "shape": [size // 4, 1], "data_offsets": [0, size]},
            "attn_mask": {"dtype": "F32", "shape": [size // 4, 1], "data_offsets": [size, 2 * size]},
        }
        text = json.dumps(header).encode()
        with open(tmp_path / "w.safetensors", "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(file.tell() + 2 * size)
        with pytest.raises(WeightMismatchError, match=r"holds 536,870,912 numbers, the model has [\d,]+: "):
            load_weights(model, tmp_path / "w.safetensors")

    def test_constants_and_training_state_do_not_count(self, tmp_path, model):
        other = small(seed=2)
        extra = {"training/optimizer.m": np.zeros(2**25, np.int8), "layers.0.attn_mask": np.zeros(2**25, np.int8)}
        save_tensors(tmp_path / "w.safetensors", {**other.params, **extra})
        load_weights(model, tmp_path / "w.safetensors")
        assert equal(model, other)

    def test_of_many_names_some_are_listed(self, model):
        state = {**small(seed=2).params, **{f"layers.0.{number}": np.ones(1) for number in range(1000)}}
        with pytest.raises(WeightMismatchError, match=r"\nunexpected: layers\.0\.99\nand 900 more$") as caught:
            load_weights(model, state)
        assert len(str(caught.value)) < 10_000

    def test_an_embedding_of_more_positions_than_any_image_has(self):
        model = SwinTransformer(6, 2, 3, 2, 1, (1,), (1,), window_size=2, ape=True)
        for side, fits in ((256, True), (257, False)):
            state = {**model.params, "absolute_pos_embed": np.zeros((1, side * side, 1), np.float32)}
            report = load_weights(model, state, strict=False)
            assert ("absolute_pos_embed" in report.resized) == fits
            assert ("absolute_pos_embed" in report.misshapen) == (not fits)


class TestResizing:
    TABLE = "layers.0.blocks.1.attn.relative_position_bias_table"
    FROM_3_TO_5 = np.array(FROM_TORCH[5, 3])

    @pytest.mark.parametrize("variant", ["per_head", "shared"])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_tables_of_another_window(self, variant, dtype):
        # windows of 2 have tables of 3×3 relative positions, windows of 3 have 5×5
        model = small(ape=False, window_size=3, seed=1, position_bias=variant, dtype=dtype)
        other = small(ape=False, seed=2, position_bias=variant, dtype=dtype)
        report = load_weights(model, other.params)
        heads = 2 if variant == "per_head" else 1
        assert set(report.resized) == {name for name in model.params if name.endswith("bias_table")}
        assert report.resized[self.TABLE] == ((9, heads), (25, heads))
        assert f"resized: {self.TABLE} is (9, {heads}), the model has (25, {heads})" in str(report)
        image = other.params[self.TABLE].astype(float).reshape(3, 3, heads)
        wanted = np.einsum("yv,xu,vuh->yxh", self.FROM_3_TO_5, self.FROM_3_TO_5, image).reshape(25, heads)
        atol = {"float32": 1e-8, "float64": 1e-16}[dtype]
        np.testing.assert_allclose(model.params[self.TABLE], wanted, rtol=0, atol=atol)

    def test_position_embedding_of_another_image_size(self):
        model, other = small(img_size=10, seed=1), small(img_size=6, seed=2)
        report = load_weights(model, other.params)
        assert report.resized == {"absolute_pos_embed": ((1, 9, 4), (1, 25, 4))}
        image = other.params["absolute_pos_embed"].astype(float).reshape(3, 3, 4)
        wanted = np.einsum("yv,xu,vuc->yxc", self.FROM_3_TO_5, self.FROM_3_TO_5, image).reshape(1, 25, 4)
        np.testing.assert_allclose(model.params["absolute_pos_embed"], wanted, rtol=0, atol=1e-8)

    def test_in_the_layout_of_another_project(self):
        from tests.weights.golden_files import read

        golden = read("transformers_hub")
        model = golden.model(window_size=2, img_size=12, seed=1)
        report = load_weights(model, golden.state)
        assert len(report.resized) == 5
        assert np.isfinite(model(np.zeros((1, 3, 12, 12)))).all()

    @pytest.mark.usefixtures("unchanged")
    def test_not_from_another_number_of_heads(self, model):
        with pytest.raises(WeightMismatchError, match=r"bias_table is \(25, 4\), the model has \(9, 2\)"):
            load_weights(model, small(window_size=3, num_heads=(4, 2), seed=2).params)

    def test_not_to_an_oblong_grid(self):
        model = small(img_size=(12, 10))
        with pytest.raises(
            WeightMismatchError, match=r"absolute_pos_embed is \(1, 36, 4\), the model has \(1, 30, 4\)"
        ):
            load_weights(model, small().params)

    def test_not_full_tables(self):
        model = small(window_size=3, position_bias="full")
        with pytest.raises(WeightMismatchError, match=r"position_bias_table is \(4, 4\), the model has \(9, 9\)"):
            load_weights(model, small(position_bias="full").params)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"model": None}, "model"),
        ({"source": None}, "source"),
        ({"source": b"weights"}, "source"),
        ({"source": {"norm.bias": [1.0]}}, r"source\['norm.bias'\]"),
        ({"source": {1: np.ones(1)}}, "source"),
        ({"strict": 1}, "strict"),
    ],
)
def test_errors_name_the_argument(change, name):
    model = small()
    with pytest.raises(ValueError, match=rf"^{name}: got "):
        load_weights(**{"model": model, "source": model.params, **change})
