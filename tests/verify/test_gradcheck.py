"""gradcheck: correct backward passes pass, wrong ones fail."""

import numpy as np
import pytest

import npswin
from npswin import layers, ops
from npswin.verify import GradcheckError
from tests.ops.drawn import normal


class Scale:
    """A layer y = w x²; `wrong` selects an error of its backward pass."""

    def __init__(self, wrong=None):
        self.params = {"w": np.array([0.5, -2.0, 1.5])}
        self.grads = {"w": np.array([7.0, 7.0, 7.0])}
        self.wrong = wrong

    def forward(self, x):
        return self.params["w"] * x**2, x

    def backward(self, dy, cache):
        self.grads["w"] += (dy * cache**2).sum(axis=0) * (-1 if self.wrong == "sign" else 1)
        factor = {"factor": 1, "nan": np.nan}.get(self.wrong, 2)
        return factor * dy * self.params["w"] * cache


def test_a_correct_layer_passes_and_does_not_change():
    layer, x = Scale(), normal(0, 4, 3)
    report = npswin.gradcheck(layer, x)
    assert report.ok
    assert {check.name for check in report.checks} == {"input 0", "w"}
    np.testing.assert_array_equal(layer.grads["w"], 7.0)
    np.testing.assert_array_equal(layer.params["w"], [0.5, -2.0, 1.5])
    np.testing.assert_array_equal(x, normal(0, 4, 3))


@pytest.mark.parametrize(("wrong", "tensor"), [("sign", "w"), ("factor", "input 0"), ("nan", "input 0")])
@pytest.mark.parametrize("max_coordinates", [1000, 1])
def test_a_wrong_layer_fails_and_the_tensor_is_named(wrong, tensor, max_coordinates):
    with pytest.raises(GradcheckError, match=f"FAIL  {tensor}"):
        npswin.gradcheck(Scale(wrong), normal(0, 4, 3), max_coordinates=max_coordinates)
    report = npswin.gradcheck(Scale(wrong), normal(0, 4, 3), raise_on_failure=False)
    assert [check.name for check in report.checks if not check.ok] == [tensor]


@pytest.mark.parametrize("method", ["central", "complex"])
def test_one_wrong_number_among_many_is_found_and_located(method):
    def backward(dy, cache):
        dx, dweight, dbias = ops.linear_backward(dy, cache)
        dweight[2, 1] += 1e-3
        return dx, dweight, dbias

    inputs = [normal(0, 5, 3), normal(1, 4, 3), normal(2, 4)]
    report = npswin.gradcheck((ops.linear_forward, backward), inputs, method=method, raise_on_failure=False)
    assert [(check.name, check.worst) for check in report.checks if not check.ok] == [("input 1", (2, 1))]


@pytest.mark.parametrize("method", ["central", "complex"])
@pytest.mark.parametrize(("size", "wrong"), [(1e-8, 2.0), (1e-8, 0.0), (1e-8, -1.0), (1e-2, 1 + 1e-5)])
def test_a_small_wrong_gradient_beside_a_large_right_one_is_found(method, size, wrong):
    def forward(x, z):
        return x + size * z, None

    inputs = [normal(0, 5), normal(1, 5)]
    assert npswin.gradcheck((forward, lambda dy, _: (dy, size * dy)), inputs, method=method).ok
    broken = (forward, lambda dy, _: (dy, wrong * size * dy))
    report = npswin.gradcheck(broken, inputs, method=method, raise_on_failure=False)
    assert [check.name for check in report.checks if not check.ok] == ["input 1"]


def test_complex_step_reaches_the_last_digits():
    report = npswin.gradcheck((ops.gelu_forward, ops.gelu_backward), normal(0, 50), method="complex")
    assert report.error < 1e-13


def test_a_function_may_return_its_input():
    assert npswin.gradcheck((lambda x: (x, None), lambda dy, _: dy), normal(0, 3)).ok


def test_a_function_may_return_a_number():
    square = (lambda x: (float((x**2).sum()), x), lambda dy, x: 2 * dy * x)
    assert npswin.gradcheck(square, normal(0, 3)).ok


def test_zero_gradients_are_no_failure():
    softmax_of_one = (ops.softmax_forward, ops.softmax_backward)
    assert npswin.gradcheck(softmax_of_one, normal(0, 3, 1), method="complex").ok
    assert npswin.gradcheck(softmax_of_one, normal(0, 3, 1)).ok


def test_a_sharp_bend_needs_a_shorter_step():
    def forward(x):  # bends within about 3e-4
        return np.tanh(x / 3e-4), x

    def backward(dy, cache):
        return dy / np.cosh(cache / 3e-4) ** 2 / 3e-4

    assert npswin.gradcheck((forward, backward), 1e-4 * normal(0, 20)).ok
    with pytest.raises(GradcheckError):
        npswin.gradcheck((forward, lambda dy, cache: 1.00001 * backward(dy, cache)), 1e-4 * normal(0, 20))


def test_parameters_and_gradients_survive_an_error():
    class Fragile(Scale):
        calls = 0

        def forward(self, x):
            self.calls += 1
            if self.calls == 3:
                raise RuntimeError("out of order")
            return super().forward(x)

    layer = Fragile()
    with pytest.raises(RuntimeError, match="out of order"):
        npswin.gradcheck(layer, normal(0, 4, 3))
    np.testing.assert_array_equal(layer.params["w"], [0.5, -2.0, 1.5])
    np.testing.assert_array_equal(layer.grads["w"], 7.0)


def test_the_report_is_a_table():
    text = str(npswin.gradcheck(Scale(), normal(0, 4, 3)))
    assert text.startswith("gradient check, central: passed")
    assert "12 coordinates" in text


@pytest.mark.parametrize(
    ("target", "inputs", "arguments", "message"),
    [
        (Scale(), np.zeros((2, 3), "float32"), {}, "inputs: got dtype float32, expected float64"),
        (layers.LayerNorm(3, "float64"), np.zeros((2, 3)), {"method": "complex"}, "method: got 'complex' with a layer"),
        (Scale(), np.zeros((2, 3)), {"method": "exact"}, "method: got 'exact'"),
        (Scale(), [np.zeros((2, 3), "float32")], {}, r"inputs\[0\]: got dtype float32, expected float64"),
        (Scale(), np.zeros((2, 3), complex), {}, "inputs: got dtype complex128, expected float64"),
        (Scale(), np.ma.zeros((2, 3)), {}, "inputs: got .* its mask would be ignored"),
        (Scale(), "abc", {}, "inputs: got 'abc', expected an array"),
        (Scale, np.zeros((2, 3)), {}, "layer_or_function: got the class Scale, expected an object"),
        (None, np.zeros((2, 3)), {}, "layer_or_function: NoneType has no method forward"),
        ((np.sin,), np.zeros((2, 3)), {}, r"layer_or_function: got \(<ufunc 'sin'>,\), expected an object"),
        ((lambda x: (x, None), lambda dy, _: dy), np.zeros((0, 3)), {}, r"forward: got an output of shape \(0, 3\)"),
        ((lambda x: (x, None), lambda dy, _: dy), [np.arange(3)], {}, "inputs: got no floating-point array"),
        ((lambda x: (x, None), lambda dy, _: (dy, dy)), np.zeros(3), {}, "backward: got 2 derivatives, expected 1"),
        ((lambda x: (x, None), lambda dy, _: dy[:1]), np.zeros(3), {}, r"backward: got shape \(1,\) for input 0"),
    ],
)
def test_bad_arguments_are_named(target, inputs, arguments, message):
    with pytest.raises(ValueError, match=message):
        npswin.gradcheck(target, inputs, **arguments)
