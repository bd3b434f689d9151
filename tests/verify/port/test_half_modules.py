"""PyTorch modules in half precision within a float32 model: one operation explains forward and backward pass."""

import pytest

from npswin.verify.port.comparer import Comparer
from npswin.verify.port.operation_precision import precision_explanation
from tests.verify.keys import candidate_of

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from tests.verify.port.test_watch_dropout import module_and_key, recorded  # noqa: E402


class HalfNorm(nn.LayerNorm):
    def forward(self, x):
        weight, bias = self.weight.half(), self.bias.half()
        return functional.layer_norm(x.half(), self.normalized_shape, weight, bias, self.eps).float()


class HalfSoftmax(nn.Softmax):
    def forward(self, x):
        return functional.softmax(x.half(), -1).float()


class Bfloat16Linear(nn.Linear):
    def forward(self, x):
        return functional.linear(x.bfloat16(), self.weight.bfloat16(), self.bias.bfloat16()).float()


@pytest.mark.parametrize(
    ("path", "kind", "place"),
    [
        ("norm1", HalfNorm, "norm1"),
        ("attn.softmax", HalfSoftmax, "attn.probabilities"),
        ("mlp.fc1", Bfloat16Linear, "mlp.fc1"),
    ],
)
def test_one_operation_explains_its_result_and_its_gradients(path, kind, place):
    module, key, images = module_and_key()
    module.get_submodule(f"layers.0.blocks.1.{path}").__class__ = kind
    candidate = candidate_of(recorded(module, images), key.shapes)
    comparer = Comparer(key, candidate)
    wrong = [row.name for row in comparer.compare().local_errors()]
    assert wrong[0] == f"layers.0.blocks.1.{place}"
    assert len(wrong) > 1
    for name in wrong:
        found = precision_explanation(comparer.local_errors, name, candidate.tensors[name])
        assert found.places == (f"layers.0.blocks.1.{place}",), (name, found)
        assert found.precision == ("bfloat16" if kind is Bfloat16Linear else "float16")


def test_the_graph_with_the_explanations_change_has_no_symptom_left():
    module, key, images = module_and_key()
    module.layers[0].blocks[1].norm1.__class__ = HalfNorm
    candidate = candidate_of(recorded(module, images), key.shapes)
    comparer = Comparer(key, candidate)
    name = "layers.0.blocks.1.norm1"
    found = precision_explanation(comparer.local_errors, name, candidate.tensors[name])
    then = comparer.local_errors.replaced(found.changes)
    left = [name for name, array in candidate.tensors.items() if (e := then.error(name, array)) and e.is_significant]
    assert left == []
