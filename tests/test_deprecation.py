"""Old names work and warn; which names are old is listed here until their version comes."""

import copy
import types
import warnings

import numpy as np
import pytest

import npswin
from npswin import deprecation, models, ops
from npswin.deprecation import RenamedKeys, renamed_attributes, renamed_function
from npswin.ops.window_attention import AttentionSpec
from tests.models.tiny import tiny
from tests.ops.drawn import normal


def test_a_warning_names_both_names_the_version_and_the_line_that_uses_the_old_one():
    with pytest.warns(DeprecationWarning, match=r"npswin\.OTHER_READING was renamed to npswin\.SWIN") as caught:
        assert npswin.OTHER_READING is npswin.SWIN_TRANSFORMER_PYTORCH
    assert "removed in npswin 0.3.0" in str(caught[0].message)
    assert caught[0].filename == __file__


def test_a_line_warns_once_and_another_line_again():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            _ = npswin.OTHER_READING
        _ = npswin.OTHER_READING
    assert len(caught) == 2


def test_other_attributes_are_still_missing():
    assert not hasattr(npswin, "OTHER_WRITING")
    with pytest.raises(AttributeError, match=r"module 'npswin\.models' has no attribute 'OTHER_WRITING'"):
        models.OTHER_WRITING  # noqa: B018
    assert "OTHER_READING" not in npswin.__all__


def test_a_module_may_use_it(monkeypatch):
    module = types.ModuleType("somewhere")
    module.new, module.__getattr__ = 7, renamed_attributes("somewhere", {"old": "new"}, removed_in="9.0.0")
    monkeypatch.setitem(deprecation.sys.modules, "somewhere", module)
    with pytest.warns(DeprecationWarning, match=r"somewhere\.old was renamed to somewhere\.new; .* npswin 9\.0\.0"):
        assert module.old == 7


def test_a_renamed_function_takes_the_same_arguments():
    def new(a, *, b):
        return a - b

    old = renamed_function("old", new, removed_in="9.0.0")
    with pytest.warns(DeprecationWarning, match="old was renamed to new") as caught:
        assert old(3, b=1) == 2
    assert caught[0].filename == __file__
    assert (old.__name__, old.__doc__) == ("old", "Old name of `new`; will be removed in npswin 9.0.0.")


class TestRenamedKeys:
    BOTH = ({"side": 3}, {"size": "side"}, "9.0.0")

    @pytest.mark.parametrize(
        ("use", "value"), [(lambda d: d["size"], 3), (lambda d: d.get("size"), 3), (lambda d: "size" in d, True)]
    )
    def test_an_old_key_warns(self, use, value):
        with pytest.warns(DeprecationWarning, match=r"the key 'size' was renamed to 'side'; .* 9\.0\.0") as caught:
            assert use(RenamedKeys(*self.BOTH)) == value
        assert caught[0].filename == __file__

    def test_new_and_unknown_keys_are_those_of_a_dictionary(self):
        keys = RenamedKeys(*self.BOTH)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert keys == {"side": 3}
            assert list(keys) == ["side"]
            assert (keys["side"], keys.get("area"), keys.get("area", 9), "area" in keys, 5 in keys) == (
                3,
                None,
                9,
                False,
                False,
            )
            with pytest.raises(KeyError, match="area"):
                keys["area"]

    @pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
    def test_copies_have_the_old_keys_too(self, duplicate):
        with pytest.warns(DeprecationWarning, match="size"):
            assert duplicate(RenamedKeys(*self.BOTH))["size"] == 3


def test_the_old_methods_of_the_model():
    model, images = tiny(), normal(0, 2, 3, 8, 8)
    with pytest.warns(DeprecationWarning, match="forward_features was renamed to feature_maps;"):
        inference = model.forward_features(images)
    with pytest.warns(DeprecationWarning, match="features was renamed to feature_maps_forward;"):
        maps, cache = model.features(images)
    with pytest.warns(DeprecationWarning, match="features_backward was renamed to feature_maps_backward;"):
        dimages = model.features_backward([np.ones_like(one) for one in maps], cache)
    assert dimages.shape == images.shape
    for one, other in zip(inference, maps, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_old_key_of_attention_maps():
    found = tiny().attention_maps(normal(0, 1, 3, 8, 8))
    assert [one["shift_size"] for one in found] == [0, 1, 0]
    with pytest.warns(DeprecationWarning, match="the key 'shift' was renamed to 'shift_size'"):
        assert found[1]["shift"] == 1


def test_ops_take_the_arguments_of_before(recwarn):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 4, 4, 4))
    weights = [rng.standard_normal((12, 4)), None, rng.standard_normal((4, 4)), None, None]
    y, _ = ops.window_attention_forward(x, *weights, spec=AttentionSpec(2, 2, 1))
    norm = [np.ones(4), np.zeros(4)]
    branch, _ = ops.attention_branch_forward(x, *norm, *weights, spec=AttentionSpec(2, 2, 1))
    windows, _ = ops.window_partition_forward(x, 2, shift_size=1)
    assert not recwarn
    old = {"num_heads": 2, "window_size": 2, "shift": 1}
    for found, call in (
        (y, lambda: ops.window_attention_forward(x, *weights, **old)[0]),
        (branch, lambda: ops.attention_branch_forward(x, *norm, *weights, **old)[0]),
        (windows, lambda: ops.window_partition_forward(x, 2, shift=1)[0]),
        (x, lambda: ops.window_reverse_forward(windows, (4, 4), 2, shift=1)[0]),
    ):
        with pytest.warns(DeprecationWarning, match=r"shift.*renamed to .*will be removed in npswin 0\.3\.0"):
            np.testing.assert_array_equal(call(), found)


def test_the_dispatcher_and_the_spec_under_their_old_names():
    with pytest.warns(DeprecationWarning, match=r"words was renamed to .*dispatch"):
        assert npswin.backends.words is npswin.backends.dispatch
    attention = npswin.layers.WindowAttention(4, 2, 2, np.random.default_rng(0), shift_size=1)
    with pytest.warns(DeprecationWarning, match=r"geometry was renamed to spec"):
        assert attention.geometry == {"num_heads": 2, "window_size": 2, "shift": 1, "mask_value": -100.0}
