"""Key layouts: their detection, and that conversion only moves elements."""

import numpy as np
import pytest

from npswin import SwinTransformer
from npswin.weights import detect_layout, to_official
from npswin.weights.layouts import LAYOUTS as KNOWN
from tests.weights.golden_files import LAYOUTS, read

BUFFERS = ("relative_position_index", "attn_mask", "upper_lower_mask", "left_right_mask")


def weights(state):
    """A state dict without its constants."""
    return {key: tensor for key, tensor in state.items() if not key.endswith(BUFFERS)}


def small(**arguments):
    """Parameters of a small model by their official names."""
    return SwinTransformer(
        **{
            "img_size": 16,
            "patch_size": 2,
            "num_classes": 5,
            "embed_dim": 4,
            "depths": (1, 1, 1),
            "num_heads": (1, 1, 1),
        }
        | {"window_size": 2, **arguments}
    ).params


class TestDetection:
    def test_each_layout_is_known(self):
        assert set(LAYOUTS.values()) == set(KNOWN)

    @pytest.mark.parametrize("name", LAYOUTS)
    def test_whole_state(self, name):
        assert detect_layout(read(name).state) == LAYOUTS[name]

    @pytest.mark.parametrize("name", LAYOUTS)
    def test_an_iterator_of_keys_will_do(self, name):
        assert detect_layout(iter(read(name).state)) == LAYOUTS[name]

    @pytest.mark.parametrize("name", LAYOUTS)
    def test_without_the_head(self, name):
        keys = [key for key in read(name).state if "head" not in key and "classifier" not in key]
        assert detect_layout(keys) == LAYOUTS[name]

    def test_transformers_without_the_swin_prefix(self):
        state = {key.removeprefix("swin."): tensor for key, tensor in read("transformers_hub").state.items()}
        layout, bare = to_official(state)
        assert layout == "transformers"
        assert set(bare) == set(to_official(read("transformers_hub").state)[1])

    def test_merging_first_is_timm(self):
        names = [f"layers.{stage}.blocks.0.norm1.weight" for stage in range(3)]
        last, first = ["layers.0.downsample.norm.bias"], ["layers.2.downsample.norm.bias"]
        both = ["layers.1.downsample.norm.bias"]
        assert detect_layout(names + last + both) == "official"
        assert detect_layout(names + both + first) == "timm"
        assert detect_layout(names + both) == "official", "a missing key does not change the layout"
        assert detect_layout(names[:1]) == "official"
        assert detect_layout(names[:1] + last) == "official", "a part of it, the first stage alone"
        assert detect_layout([*names[:1], "head.fc.weight"]) == "timm"

    def test_the_training_state_is_left_out(self):
        params = small()
        state = {**params, "training/adamw/head.fc.weight": np.ones(1), "training/features.0": np.ones(1)}
        layout, official = to_official(state)
        assert layout == "official"
        assert set(official) == set(params)

    @pytest.mark.parametrize("keys", [[], ["conv1.weight", "fc.bias"], ["training/step"], ["model.conv1.weight"]])
    def test_unknown(self, keys):
        with pytest.raises(ValueError, match=f"unknown key layout: found {keys[0] if keys else 'no keys at all'}"):
            detect_layout(keys)

    @pytest.mark.parametrize("stage", ["stage{}.layers.0.0.", "layers.{}.downsample.", "features.{}.0."])
    def test_a_number_longer_than_python_converts(self, stage):
        tensors = {**small(), stage.format("1" * 5001) + "norm.weight": np.ones(1)}
        for call in (detect_layout, to_official):
            with pytest.raises(ValueError, match=r"got the name .* of 50\d\d characters, expected at most 1000"):
                call(tensors)


class TestConversion:
    @pytest.mark.parametrize("name", LAYOUTS)
    def test_covers_the_model(self, name):
        golden = read(name)
        _, official = to_official(golden.state)
        assert {key: value.shape for key, value in official.items()} == {
            key: value.shape for key, value in golden.model().params.items()
        }

    @pytest.mark.parametrize("name", LAYOUTS)
    def test_only_moves_elements(self, name):
        """Each element is numbered; afterwards each number occurs once."""
        golden = read(name)
        sizes = np.cumsum([0, *(tensor.size for tensor in weights(golden.state).values())])
        numbered = {
            key: start + np.arange(tensor.size).reshape(tensor.shape)
            for start, (key, tensor) in zip(sizes, weights(golden.state).items(), strict=False)
        }
        _, official = to_official(numbered, like=golden.state)
        found = np.sort(np.concatenate([tensor.ravel() for tensor in official.values()]))
        np.testing.assert_array_equal(found, np.arange(sizes[-1]))

    @pytest.mark.parametrize("name", LAYOUTS)
    def test_gradients_are_moved_as_their_weights(self, name):
        """Σ w·g is the same before and after."""
        golden = read(name)
        rng = np.random.default_rng(0)
        grads = {key: rng.standard_normal(tensor.shape) for key, tensor in weights(golden.state).items()}
        layout, official_grads = to_official(grads, like=golden.state)
        assert layout == LAYOUTS[name]
        _, official = to_official(golden.state)
        before = sum(np.vdot(golden.state[key].astype(float), grads[key]) for key in grads)
        after = sum(np.vdot(official[key].astype(float), official_grads[key]) for key in official)
        np.testing.assert_allclose(after, before, rtol=1e-10)

    @pytest.mark.parametrize("name", LAYOUTS)
    def test_names_that_are_not_in_the_layout_stay(self, name):
        prefix = "stage1.extra" if name.startswith("unfold") else "extra"
        _, official = to_official({**read(name).state, prefix: np.ones(2)})
        np.testing.assert_array_equal(official[prefix], [1, 1])

    def test_queries_keys_values_are_stacked_in_this_order(self):
        block = "swin.encoder.layers.0.blocks.0.attention."
        state = {f"{block}{name}.weight": np.full((2, 4), i) for i, name in enumerate(["v_proj", "q_proj", "k_proj"])}
        _, official = to_official(state)
        assert list(official) == ["layers.0.blocks.0.attn.qkv.weight"]
        np.testing.assert_array_equal(official["layers.0.blocks.0.attn.qkv.weight"][:, 0], [1, 1, 2, 2, 0, 0])

    def test_queries_without_keys_stay_alone(self):
        _, official = to_official({"encoder.layers.0.blocks.0.attention.self.query.bias": np.ones(2)})
        assert list(official) == ["layers.0.blocks.0.attn.q.bias"]

    def test_queries_and_keys_of_different_widths(self):
        block = "encoder.layers.0.blocks.0.attention.self."
        state = {
            f"{block}{name}.weight": np.ones((2, width)) for name, width in (("query", 4), ("key", 4), ("value", 3))
        }
        with pytest.raises(
            ValueError, match=r"attn\.v\.weight: shapes \(2, 4\), \(2, 4\), \(2, 3\) cannot be concatenated"
        ):
            to_official(state)

    def test_two_names_for_one_parameter(self):
        with pytest.raises(ValueError, match=r"both swin\.layernorm\.bias and layernorm\.bias are norm\.bias"):
            to_official({"swin.layernorm.bias": np.ones(2), "layernorm.bias": np.ones(2)})


class TestUnfold:
    """swin-transformer-pytorch, where the kind of a tensor does not always follow from its shape."""

    TABLE = "stage1.layers.0.1.attention_block.fn.fn.pos_embedding"
    MASK = "stage1.layers.0.1.attention_block.fn.fn.upper_lower_mask"

    @pytest.mark.parametrize("side", [9, 25, 49, 81])
    def test_a_table_of_either_kind_needs_a_mask(self, side):
        with pytest.raises(ValueError, match=f"pos_embedding: {side}×{side} is the relative table of M = "):
            to_official({self.TABLE: np.ones((side, side))})

    @pytest.mark.parametrize(
        ("side", "window_size", "shape"), [(49, 25, (2401, 1)), (49, 7, (49, 49)), (9, 5, (81, 1))]
    )
    def test_a_mask_gives_the_kind_of_a_table(self, side, window_size, shape):
        state = {self.TABLE: np.ones((side, side)), self.MASK: np.zeros((window_size**2, window_size**2))}
        kind = "position_bias_table" if shape == (side, side) else "relative_position_bias_table"
        for _, official in (to_official(state), to_official({self.TABLE: np.ones((side, side))}, like=state)):
            assert {name: table.shape for name, table in official.items()} == {f"layers.0.blocks.1.attn.{kind}": shape}

    @pytest.mark.parametrize(
        ("side", "kind"), [(3, "relative"), (7, "relative"), (13, "relative"), (4, "full"), (16, "full")]
    )
    def test_some_sides_are_unambiguous(self, side, kind):
        _, official = to_official({self.TABLE: np.ones((side, side))})
        assert ("relative" in next(iter(official))) == (kind == "relative")

    @pytest.mark.parametrize("shape", [(6, 6), (5, 4), (5,), (), (0, 0)])
    def test_no_table_at_all(self, shape):
        with pytest.raises(ValueError, match="expected a side of 2M − 1 or M²"):
            to_official({self.TABLE: np.ones(shape)})

    def test_a_table_that_does_not_match_the_mask(self):
        state = {self.TABLE: np.ones((7, 7)), self.MASK: np.zeros((49, 49))}
        with pytest.raises(ValueError, match=r"got \(7, 7\), expected a side of 2M − 1 or M² with windows of M = 7"):
            to_official(state)

    @pytest.mark.parametrize(
        ("columns", "in_chans", "shape"),
        [
            (48, 3, (3, 4, 4)),
            (16, 1, (1, 4, 4)),
            (16, 3, (1, 4, 4)),
            (16, 4, (4, 2, 2)),
            (48, 1, (3, 4, 4)),
            (48, 12, (12, 2, 2)),
        ],
    )
    def test_patch_embedding_of_other_channels(self, columns, in_chans, shape):
        _, official = to_official({"stage1.patch_partition.linear.weight": np.ones((5, columns))}, in_chans=in_chans)
        assert official["patch_embed.proj.weight"].shape == (5, *shape)

    @pytest.mark.parametrize("shape", [(5, 10), (5,), (5, 0), (5, 2, 6), ()])
    def test_patch_embedding_of_a_wrong_shape(self, shape):
        with pytest.raises(ValueError, match=r"linear\.weight: got .*, expected \(C, 3·p²\)"):
            to_official({"stage1.patch_partition.linear.weight": np.ones(shape)})

    @pytest.mark.parametrize("shape", [(8, 18), (8,), (8, 2, 8)])
    def test_merging_of_a_wrong_shape(self, shape):
        with pytest.raises(ValueError, match=r"reduction\.weight: got .*, expected \(2C, 4C\)"):
            to_official({"stage2.patch_partition.linear.weight": np.ones(shape)})
