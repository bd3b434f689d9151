"""Loading weights: all or none, complete reports, resampled tables."""

import json
import zipfile

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
        assert str(report).splitlines()[:2] == ["layout: official", f"loaded: {len(model.params) - 3} tensors"]
        assert "misshapen: head.bias is (7,), the model has (5,)" in str(report)
        assert "as they were in the model: norm.bias, head.weight, head.bias" in str(report)

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
        with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
            archive.writestr("archive/data.pkl", b"")
        with pytest.raises(WeightFileError, match=r"w\.pth: a PyTorch file \(PyTorch pickle\).*`npswin convert"):
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


class TestShare:
    def few(self):
        """Eleven of the small model's parameters, by the official names."""
        return {name: param for name, param in small(seed=2).params.items() if name.startswith("layers.1.blocks.0.")}

    @pytest.mark.usefixtures("unchanged")
    def test_a_minority_is_refused(self, model):
        for strict in (True, False):
            with pytest.raises(WeightMismatchError, match="only 13 of the model's 51 parameters fit"):
                load_weights(model, self.few(), strict)

    def test_unless_it_is_asked_for(self, model):
        assert load_weights(model, self.few(), strict=False, min_share=0.25).loaded == list(self.few())
        assert load_weights(model, self.few(), strict=False, min_share=0).loaded == list(self.few())
        with pytest.raises(WeightMismatchError, match="only 13 of the model's 51"):
            load_weights(model, self.few(), strict=False, min_share=0.26)

    def test_more_may_be_asked_for(self, model):
        state = dict(small(seed=2).params)
        del state["norm.bias"]
        assert len(load_weights(model, state, strict=False, min_share=50 / 51).loaded) == 50
        with pytest.raises(WeightMismatchError, match=r"50 of the model's 51 parameters fit, less than min_share=1"):
            load_weights(model, state, strict=False, min_share=1)


class TestChannels:
    NAME = "patch_embed.proj.weight"

    @pytest.mark.parametrize("channels", [1, 2, 4, 11])
    @pytest.mark.parametrize("strict", [True, False])
    def test_other_channels_are_not_left_random_in_silence(self, channels, strict):
        model = small(in_chans=channels)
        before = model.params[self.NAME].copy()
        with pytest.raises(
            WeightMismatchError, match=rf"take images of 3 channels, the model takes {channels}"
        ) as caught:
            load_weights(model, small(seed=2).params, strict)
        assert "input_channels='adapt'" in str(caught.value)
        np.testing.assert_array_equal(model.params[self.NAME], before)

    @pytest.mark.parametrize("layout", ["timm_older", "unfold_relative"])
    def test_one_channel_gives_what_three_equal_ones_gave(self, layout):
        from tests.weights.golden_files import read

        golden = read(layout)
        grey = golden.images[:, :1]
        load_weights(three := golden.model(), golden.state)
        report = load_weights(one := golden.model(in_chans=1), golden.state, input_channels="adapt")
        size = three.params[self.NAME].shape
        assert report.adapted == {self.NAME: (size, (size[0], 1, *size[2:]))}
        assert f"adapted: {self.NAME} is {size}" in str(report)
        assert ": the 3 channels are summed" in str(report)
        np.testing.assert_allclose(one(grey), three(np.repeat(grey, 3, axis=1)), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("channels", [2, 4, 6, 11])
    def test_more_channels_repeat_and_are_scaled(self, channels):
        model, other = small(in_chans=channels, dtype="float64"), small(seed=2, dtype="float64")
        report = load_weights(model, other.params, input_channels="adapt")
        assert f": the 3 channels are repeated in turn and scaled by 3/{channels}" in str(report)
        for channel in range(channels):
            wanted = other.params[self.NAME][:, channel % 3] * 3 / channels
            np.testing.assert_allclose(model.params[self.NAME][:, channel], wanted, rtol=1e-15)

    def test_the_models_own_are_kept_if_asked_for(self):
        model = small(in_chans=4)
        before = model.params[self.NAME].copy()
        report = load_weights(model, small(seed=2).params, input_channels="keep")
        np.testing.assert_array_equal(model.params[self.NAME], before)
        assert report.own_input == [self.NAME]
        assert "input channels: the model's own weights as they were" in str(report)
        assert report.complete

    def test_equal_channels_are_loaded_as_they_are(self, model):
        for how in ("same", "adapt", "keep"):
            report = load_weights(model, small(seed=2).params, input_channels=how)
            assert not report.adapted
            assert not report.own_input


class TestHead:
    @pytest.mark.parametrize("classes", [5, 7, 0])
    def test_the_models_own_is_kept(self, model, classes):
        other = small(seed=2, num_classes=classes)
        before = model.params["head.weight"].copy()
        report = load_weights(model, other.params, head="keep")
        np.testing.assert_array_equal(model.params["head.weight"], before)
        np.testing.assert_array_equal(model.params["norm.weight"], other.params["norm.weight"])
        assert report.complete
        assert report.own_head == ["head.weight", "head.bias"]
        assert not report.head_is_drawn
        assert "head: as it was (head.weight, head.bias)" in str(report)

    def test_it_is_drawn_anew(self, model):
        model.params["head.weight"][...] = model.params["head.bias"][...] = 9
        report = load_weights(model, small(seed=2, num_classes=7).params, head=np.random.default_rng(3))
        wanted = np.random.default_rng(3).normal(0, 0.02, (5, 8)).astype(np.float32)
        np.testing.assert_array_equal(model.params["head.weight"], wanted)
        assert not model.params["head.bias"].any()
        assert report.head_is_drawn
        assert report.complete
        assert "head: drawn anew" in str(report)
        assert "head.weight" not in report.loaded

    def test_a_headless_model_takes_no_head(self, model):
        headless = small(num_classes=0)
        for head in ("keep", np.random.default_rng(0)):
            assert load_weights(headless, model.params, head=head).complete
        assert "head.weight" not in headless.params

    @pytest.mark.usefixtures("unchanged")
    def test_the_message_names_the_argument(self, model):
        with pytest.raises(WeightMismatchError, match="the heads differ: head='keep' leaves the model's own"):
            load_weights(model, small(num_classes=7).params)


class TestPrefix:
    def test_it_overrides(self, tmp_path, model):
        one, other = small(seed=2), small(seed=3)
        state = {f"a.{name}": param for name, param in one.params.items()}
        state |= {f"b.deep.{name}": param for name, param in other.params.items()}
        save_tensors(tmp_path / "w.safetensors", state)
        for source in (state, tmp_path / "w.safetensors"):
            for prefix, wanted in (("a", one), ("a.", one), ("b.deep.", other), ("b", other), (None, one)):
                report = load_weights(model, source, prefix=prefix)
                assert equal(model, wanted)
                assert report.prefix == ("b.deep." if wanted is other else "a.")

    @pytest.mark.usefixtures("unchanged")
    def test_with_which_no_name_begins(self, tmp_path, model):
        state = {f"model.{name}": param for name, param in small(seed=2).params.items()}
        with pytest.raises(
            ValueError, match=r"^prefix: got 'ema', with which no name begins; they begin with model\.$"
        ):
            load_weights(model, state, prefix="ema")

    @pytest.mark.usefixtures("unchanged")
    def test_two_keys_of_one_parameter(self, model):
        state = {**small(seed=2).params, "_orig_mod.norm.bias": np.ones(8, np.float32)}
        with pytest.raises(ValueError, match=r"both 'norm.bias' and '_orig_mod.norm.bias' are 'norm.bias'"):
            load_weights(model, state)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"prefix": 1}, "prefix"),
        ({"min_share": 1.5}, "min_share"),
        ({"min_share": "half"}, "min_share"),
        ({"input_channels": "sum"}, "input_channels"),
        ({"head": "new"}, "head"),
        ({"head": None}, "head"),
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
