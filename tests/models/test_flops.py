"""FLOP counts compared with the paper, with the matrix products that NumPy runs, and with PyTorch's counter."""

from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npswin
from npswin.ops import position_embed
from tests.models.tiny import TINY, tiny
from tests.peers import reference


@pytest.fixture
def no_weights_drawn(monkeypatch):
    """Creates large models fast: only shapes matter here."""
    monkeypatch.setattr(npswin.layers.linear, "truncated_normal", lambda _, shape: np.zeros(shape, "float32"))


@pytest.mark.usefixtures("no_weights_drawn")
class TestThePapersNumbers:
    @pytest.mark.parametrize(
        ("name", "giga"),
        [
            ("swin_tiny_patch4_window7_224", 4.5),
            ("swin_small_patch4_window7_224", 8.7),
            ("swin_base_patch4_window7_224", 15.4),
            ("swin_large_patch4_window12_384", 103.9),
        ],
    )
    def test_table_1(self, name, giga):
        assert round(npswin.create_model(name).flops().multiply_adds / 1e9, 1) == giga

    def test_swin_b_at_384_is_within_the_last_digit(self):
        # Table 1 has 47.0 G; the products make 47.08 G.
        multiply_adds = npswin.create_model("swin_base_patch4_window12_384").flops().multiply_adds
        assert multiply_adds == pytest.approx(47.0e9, abs=0.1e9)

    def test_swin_t_by_hand(self):
        flops = npswin.create_model("swin_tiny_patch4_window7_224").flops()
        stages = [
            blocks * (12 * tokens * channels**2 + 2 * 49 * tokens * channels)
            for blocks, tokens, channels in [(2, 56**2, 96), (2, 28**2, 192), (6, 14**2, 384), (2, 7**2, 768)]
        ]
        merging = [8 * tokens * channels**2 for tokens, channels in [(28**2, 96), (14**2, 192), (7**2, 384)]]
        assert flops.within("patch_embed") == 2 * 56**2 * 48 * 96
        for stage in range(4):
            assert flops.within(f"layers.{stage}") == 2 * (stages[stage] + [*merging, 0][stage])
        assert flops.within("head") == 2 * 768 * 1000
        assert flops.multiply_adds == 4_490_566_656
        assert flops.total == 8_981_133_312


class TestSection32:
    @given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(1, 3))
    def test_equation_2(self, rows, columns, window_size, num_heads, head_channels):
        h, w, M, C = rows * window_size, columns * window_size, window_size, num_heads * head_channels
        flops = one_block(window_size, num_heads, C).flops((h, w))
        assert flops.within("layers.0.blocks.0.attn") == 2 * (4 * h * w * C**2 + 2 * M**2 * h * w * C)

    @given(st.integers(1, 6), st.integers(1, 3), st.integers(1, 3))
    def test_equation_1_where_one_window_holds_the_map(self, side, num_heads, head_channels):
        h, w, C = side, side, num_heads * head_channels
        flops = one_block(side, num_heads, C).flops(side)
        assert flops.within("layers.0.blocks.0.attn") == 2 * (4 * h * w * C**2 + 2 * (h * w) ** 2 * C)


def one_block(window_size, num_heads, channels):
    """A model with one block, on a map of the images' size."""
    return npswin.SwinTransformer(
        img_size=None, patch_size=1, embed_dim=channels, depths=(1,), num_heads=(num_heads,), window_size=window_size
    )


class Traced(np.ndarray):
    """An array that records the operations of each matrix product with it or with its results."""

    products: ClassVar[list[int]] = []

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **arguments):
        plain = [x.view(np.ndarray) if isinstance(x, Traced) else x for x in inputs]
        if out:
            arguments["out"] = tuple(x.view(np.ndarray) for x in out)
        result = getattr(ufunc, method)(*plain, **arguments)
        if ufunc is np.matmul:
            self.products.append(2 * result.size * plain[0].shape[-1])
        if out:
            return out[0]
        return result.view(Traced) if isinstance(result, np.ndarray) else result


@contextmanager
def traced(model):
    """The matrix products of this model, in the order in which NumPy runs them.

    The resampling of a position embedding, which consists of matrix products, is not counted.
    """
    for _, layer in model._walk():
        for name, value in layer.own_params.items():
            layer.own_params[name] = value.view(Traced)
    backend = npswin.get_backend()
    npswin.set_backend("numpy")
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("resize_bicubic_forward", "resize_bicubic_backward"):
                resize = getattr(position_embed, name)
                patch.setattr(position_embed, name, lambda x, *rest, resize=resize: resize(np.asarray(x), *rest))
            Traced.products.clear()
            yield Traced.products
    finally:
        npswin.set_backend(backend)


@st.composite
def cases(draw):
    """Arguments of a tiny model, an image size that windows need not divide, and a batch size."""
    depths = draw(st.lists(st.integers(1, 2), min_size=1, max_size=3))
    ape = draw(st.booleans())
    sizes = st.one_of(st.integers(1, 30), st.tuples(st.integers(1, 30), st.integers(1, 30)))
    arguments = {
        "img_size": draw(sizes if ape else st.none() | sizes),
        "patch_size": draw(st.integers(1, 4)),
        "in_chans": draw(st.integers(1, 3)),
        "num_classes": draw(st.sampled_from([0, 1, 3])),
        "depths": depths,
        "num_heads": draw(st.lists(st.sampled_from([1, 2, 4]), min_size=len(depths), max_size=len(depths))),
        "window_size": draw(st.integers(1, 4)),
        "mlp_ratio": draw(st.sampled_from([0.5, 1.6, 4])),
        "ape": ape,
        "head_dim": draw(st.sampled_from([None, 1, 3])),
        "position_bias": draw(st.sampled_from(["per_head", "shared", "full", "none"])),
        "drop_rate": draw(st.sampled_from([0.0, 0.2])),
        **{name: draw(st.booleans()) for name in ("qkv_bias", "patch_norm", "merge_norm", "merge_bias")},
        "norm_after_pool": draw(st.booleans()),
    }
    return arguments, (draw(st.integers(1, 13)), draw(st.integers(1, 13))), draw(st.integers(1, 2))


class TestMatrixProducts:
    @given(cases())
    def test_each_product_of_a_step_of_training(self, case):
        arguments, size, batch = case
        model = tiny(**arguments)
        forward, both = model.flops(size), model.flops(size, training=True)
        with traced(model) as products:
            logits, cache = model.forward(np.ones((batch, arguments["in_chans"], *size)))
            expected = [batch * count for count in forward.parts.values()]
            assert products == expected
            products.clear()
            model.backward(np.ones(logits.shape), cache)
            assert products == [count for count in reversed(expected) for _ in range(2)]
        assert both.parts == {name: 3 * count for name, count in forward.parts.items()}

    def test_the_default_size_is_that_of_construction(self):
        for img_size in (16, (10, 7)):
            model = tiny(img_size=img_size)
            with traced(model) as products:
                model(np.ones((1, 3, *(np.ones(2, int) * img_size))))
            assert model.flops().parts == model.flops(img_size).parts
            assert model.flops().total == sum(products)

    def test_parts_have_the_official_names(self):
        model = tiny()
        linear = {name.removesuffix(".weight") for name, value in model.params.items() if value.ndim > 1}
        linear = {name for name in linear if "table" not in name}
        attention = {
            f"{name}.attn.{product}" for name, _ in model.trunk if "blocks" in name for product in ("scores", "values")
        }
        assert set(model.flops().parts) == linear | attention


class TestPeers:
    @pytest.mark.parametrize(
        "case", reference.CASES + reference.SWIN_TRANSFORMER_PYTORCH_CASES, ids=lambda case: f"{case.peer}: {case.name}"
    )
    def test_pytorchs_counter(self, case, monkeypatch):
        for module in ("torch", case.peer.replace("-", "_")):
            pytest.importorskip(module, reason=f"{module} is not installed (pip install 'npswin[peers]')")
        monkeypatch.setattr(reference, "_run", counted)
        forward, backward, backward_to_weights = reference.run(case)
        batch, _, *size = case.images
        model = npswin.SwinTransformer(**reference.model_arguments(case))
        flops, both = model.flops(size), model.flops(size, training=True)
        assert forward == batch * flops.total
        assert forward + backward == batch * both.total
        assert backward - backward_to_weights == batch * flops.within("patch_embed")


def counted(_, case, __, forward):
    """Operations as PyTorch counts them: forward, backward, and backward without the derivative by the images."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counts = []
    for by_images in (True, False):
        images = torch.ones(case.images, dtype=torch.float64, requires_grad=by_images)
        with FlopCounterMode(display=False) as counter:
            logits = forward(images)
        counts.append(counter.get_total_flops())
        with FlopCounterMode(display=False) as counter:
            logits.sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[2]
    return counts[0], counts[1], counts[3]


class TestBadInput:
    @pytest.mark.parametrize(
        "size", [0, -4, 16.0, "16", True, (16,), (16, 16, 16), (16, 0), (16, 2.5), [], np.ones((1, 2))]
    )
    def test_sizes(self, size):
        with pytest.raises(ValueError, match=r"image_size: got .* expected a side or"):
            tiny().flops(size)

    def test_no_size_at_all(self):
        with pytest.raises(ValueError, match="image_size: got None, expected a side or"):
            tiny(img_size=None).flops()

    def test_training(self):
        with pytest.raises(ValueError, match="training: got 'yes', expected True or False"):
            tiny().flops(training="yes")

    @pytest.mark.parametrize("name", ["", "layer", "layers.0.blocks.0.att", "norm", "layers.00", "head."])
    def test_unknown_names(self, name):
        with pytest.raises(ValueError, match=r"name: got .* expected one of `parts`"):
            tiny().flops().within(name)

    def test_numpy_integers_are_accepted(self):
        model = npswin.SwinTransformer(**TINY)
        expected = model.flops((12, 9))
        for size in (np.array([12, 9]), [12, 9], (np.int32(12), np.uint8(9))):
            found = model.flops(size)
            assert found == expected
            assert type(found.total) is int
