"""The port in C: its block is the key's, its reader trusts no file, and the mistakes in it are named."""

import json
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from npswin.verify import compare, diagnose, write_key
from npswin.verify.graph import GRADIENT_PREFIX
from tests.verify.keys import default_key, even_trace, miniature_trace

SOURCES = Path(__file__).parents[2] / "examples" / "port_c"
CC = next(filter(shutil.which, ("cc", "gcc", "clang")), None)
STRICT = "-std=c99 -Wall -Wextra -pedantic -Werror"
SANITIZED = "-g -fsanitize=address,undefined -fno-sanitize-recover=all"
BLOCKS = ["layers.0.blocks.0", "layers.0.blocks.1", "layers.1.blocks.0", "layers.1.blocks.1", "layers.2.blocks.0"]
EVEN_BLOCKS = ["layers.0.blocks.3", "layers.1.blocks.1"]  # of the case with even windows

pytestmark = pytest.mark.skipif(CC is None, reason="no C compiler: cc, gcc or clang")


def build(folder, flags="-O1", real="float", targets=("port", "list_key")):
    """The folder's programs; without make, by the compiler alone."""
    options = [*STRICT.split(), *flags.split()]
    if shutil.which("make"):
        commands = [["make", "-B", f"CC={CC}", f"CFLAGS={' '.join(options)}", f"REAL={real}", *targets]]
    else:
        files = {"port": sorted({path.name for path in folder.glob("*.c")} - {"list_key.c"})}
        files["list_key"] = ["list_key.c", "read_key.c", "util.c"]
        commands = [[CC, *options, f"-DREAL={real}", *files[target], "-o", target, "-lm"] for target in targets]
    for command in commands:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
    return folder


def run(program, *arguments):
    """Exit status, output, and what was said on standard error; a program that fails need not free its memory."""
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    result = subprocess.run([program, *map(str, arguments)], capture_output=True, check=False, env=environment)
    return result.returncode, result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")


def sanitizers(folder):
    """The flags of the sanitizers, or none where the compiler or the system does not have them."""
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    command = [CC, *SANITIZED.split(), "empty.c", "-o", "empty"]
    compiled = subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0
    return SANITIZED if compiled and run(folder / "empty")[0] == 0 else ""


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return default_key(tmp_path_factory.mktemp("key") / "key")


@pytest.fixture(scope="module", params=["float", "double"])
def precise(request, tmp_path_factory):
    """The type that the port computes in, and its programs, without a warning."""
    folder = shutil.copytree(SOURCES, tmp_path_factory.mktemp("port") / "port_c")
    return request.param, build(folder, "-O2", request.param)


@pytest.fixture(scope="module")
def suspicious(tmp_path_factory):
    """The programs with a check of each of their steps, where the compiler can do that."""
    folder = shutil.copytree(SOURCES, tmp_path_factory.mktemp("port") / "port_c")
    return build(folder, f"-O1 {sanitizers(folder)}")


@pytest.mark.parametrize(("case", "block"), [*(("", block) for block in BLOCKS), *(("even", b) for b in EVEN_BLOCKS)])
def test_every_tensor_of_every_block_agrees(precise, key, tmp_path, case, block):
    real, folder = precise
    status, _, complaints = run(folder / "port", key / case, block, tmp_path / case)
    assert (status, complaints) == (0, "")
    comparison = compare(key, tmp_path)
    assert comparison.ok, str(comparison)
    assert comparison.case == case
    assert comparison.precision == {"float": "float32", "double": "float64"}[real]

    trace = even_trace() if case else miniature_trace()
    own = [name for name in trace.tensors if name == block or name.startswith(f"{block}.")]
    inputs = {read for name in own for read in trace.graph.nodes[name].inputs if read not in own}
    activations = {name for name in own if trace.graph.nodes[name].operation is not None}
    gradients = {GRADIENT_PREFIX + name for name in {*own, *inputs} if name in trace.grads}  # of parameters too
    assert {row.name for row in comparison.rows} == activations | gradients
    assert not comparison.unknown


def test_nothing_is_read_or_written_beside_an_array(suspicious, key, tmp_path):
    for case, blocks in (("", BLOCKS), ("even", EVEN_BLOCKS)):
        for block in blocks:
            assert run(suspicious / "port", key / case, block, tmp_path / case) == (0, "", "")
    comparison = compare(key, tmp_path)
    assert comparison.ok
    assert [case.case for case in comparison.cases] == ["even"]


def test_list_key_prints_what_is_in_the_key(precise, key):
    real, folder = precise
    kind = {"float": np.float32, "double": np.float64}[real]
    tensors = load_file(key / "key.safetensors")
    codes = {"float64": "F64", "float32": "F32", "int64": "I64", "uint8": "U8"}
    lines = {}
    for name, array in tensors.items():
        lines[name] = f"{name:60} {codes[array.dtype.name]:3} ({', '.join(map(str, array.shape))})"
    status, printed, _ = run(folder / "list_key", key / "key.safetensors")
    assert status == 0
    assert sorted(printed.splitlines()) == sorted(lines.values())

    for name in [*sorted(tensors)[::20], "loss", "labels", "pixels", "norm.bias"]:
        numbers = tensors[name].reshape(-1)
        wanted = [lines[name], *(f"{float(kind(number)):.9g}" for number in numbers[:8])]
        wanted += [f"... {numbers.size} in all"] * (numbers.size > 8)
        assert run(folder / "list_key", key / "key.safetensors", name)[1].splitlines() == wanted


def safetensors(header, data=bytes(48), length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(**changes):
    return {"x": {"dtype": "F64", "shape": [2, 3], "data_offsets": [0, 48], **changes}}


GOOD = [
    entry(),
    {"__metadata__": {"format": "pt", "shape": 'a "quoted" word\\'}, **entry()},
    entry(shape=[6, 0, 2**60], data_offsets=[48, 48]),
    b' {"x" : {"data_offsets":\n[0,8],"shape":[ ],"dtype":"I64"} }  ',
    {},
]
HOSTILE = {
    "a length of 2^64 - 1": safetensors(entry(), length=2**64 - 1),
    "a length past the end": safetensors(entry(), length=2**20),
    "a length of one byte too much": safetensors(entry(), b"", len(json.dumps(entry())) + 1),
    "a length that is too short": safetensors(entry(), length=20),
    "a length of 0": safetensors(b""),
    "no header": safetensors(b"\0" * 16),
    "a list": safetensors(b"[]"),
    "a second header": safetensors(b"{}{}"),
    "a zero in the header": safetensors(b'{"x\0": {}}'),
    "a line in a name": safetensors(b'{"x\ny": {}}'),
    "offsets past the end": safetensors(entry(data_offsets=[8, 56])),
    "offsets far past the end": safetensors(entry(data_offsets=[2**63, 2**63 + 48])),
    "offsets that do not fit a number": safetensors(entry(data_offsets=[2**64, 2**64 + 48])),
    "offsets from the end to the begin": safetensors(entry(shape=[2**61 - 6], data_offsets=[48, 0])),
    "a single offset": safetensors(entry(shape=[0], data_offsets=[0])),
    "three offsets": safetensors(entry(data_offsets=[0, 24, 48])),
    "a negative offset": safetensors(entry(data_offsets=[-48, 0])),
    "no offsets": safetensors({"x": {"dtype": "F64", "shape": [0]}}),
    "fewer bytes than numbers": safetensors(entry(shape=[2, 4])),
    "more bytes than numbers": safetensors(entry(shape=[2, 2])),
    "bytes of an empty tensor": safetensors(entry(shape=[0])),
    "a count that overflows": safetensors(entry(shape=[2**32, 2**32])),
    "a size that overflows": safetensors(entry(shape=[2**61 + 6])),
    "a size that overflows to nothing": safetensors(entry(shape=[2**61], data_offsets=[0, 0])),
    "a length that does not fit a number": safetensors(entry(shape=[2**64 + 6])),
    "a fraction": safetensors(entry(shape=[1.5, 4])),
    "more axes than anything has": safetensors(entry(shape=[1] * 99)),
    "a shape in words": safetensors(entry(shape="(2, 3)")),
    "no shape": safetensors({"x": {"dtype": "F64", "data_offsets": [0, 8]}}),
    "another dtype": safetensors(entry(dtype="F16", shape=[0], data_offsets=[0, 0])),
    "a dtype of this length": safetensors(entry(dtype="F64 " * 99)),
    "a number for a dtype": safetensors(entry(dtype=64)),
    "no dtype": safetensors({"x": {"shape": [0], "data_offsets": [0, 0]}}),
    "another field": safetensors(entry(strides="[3, 1]")),
    "a string without an end": safetensors(b'{"x": {"dtype": "F64'),
    "a name without an end": safetensors(b'{"' + b"x" * 500),
    "an escape without an end": safetensors(b'{"x\\'),
    "a name of this length": safetensors({"x" * 5000: entry()["x"]}),
    "lists in lists": safetensors(b'{"x": {"shape": ' + b"[" * 50_000),
    "metadata that is no text": safetensors({"__metadata__": {"a": {"b": "c"}}}),
}


def refused(program, *arguments):
    status, printed, complaint = run(program, *arguments)
    assert (status, printed, complaint.count("\n")) == (1, "", 1), complaint
    assert complaint.startswith("error: ")
    return complaint


@pytest.mark.parametrize("header", GOOD)
def test_what_a_header_may_look_like(suspicious, tmp_path, header):
    path = tmp_path / "key.safetensors"
    path.write_bytes(safetensors(header))
    status, printed, complaint = run(suspicious / "list_key", path)
    assert (status, complaint) == (0, "")
    assert printed.count("\n") == (header != {})


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_a_line(suspicious, tmp_path, name):
    path = tmp_path / "key.safetensors"
    path.write_bytes(HOSTILE[name])
    refused(suspicious / "list_key", path)
    refused(suspicious / "port", tmp_path, "layers.0.blocks.0", tmp_path / "dump")
    assert not (tmp_path / "dump").exists()


def test_a_truncated_file_is_refused_wherever_it_ends(suspicious, key, tmp_path):
    whole = (key / "key.safetensors").read_bytes()
    end = 8 + struct.unpack("<Q", whole[:8])[0]
    path = tmp_path / "key.safetensors"
    for length in [*range(12), *range(12, end, end // 20), end - 1, end, end + 1, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert "truncated" in refused(suspicious / "list_key", path)


def test_a_damaged_header_breaks_nothing(suspicious, tmp_path):
    rng = random.Random(0)
    header = json.dumps({"__metadata__": {"format": "pt"}, **entry(), "y": entry(dtype="U8", shape=[48])["x"]}).encode()
    path = tmp_path / "key.safetensors"
    for _ in range(150):
        damaged = bytearray(header)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(damaged))] = rng.choice(b'\0\n "\\{}[],:0129\xff')
        path.write_bytes(safetensors(bytes(damaged)))
        status, _, complaint = run(suspicious / "list_key", path)
        assert (status, complaint.count("\n")) in ((0, 0), (1, 1)), f"{bytes(damaged)}: {complaint}"


def test_what_is_not_there_is_refused(suspicious, key, tmp_path):
    assert "no tensor nothing" in refused(suspicious / "list_key", key / "key.safetensors", "nothing")
    assert "No such file" in refused(suspicious / "list_key", tmp_path / "key.safetensors")
    refused(suspicious / "list_key", tmp_path)
    refused(suspicious / "port", key, "layers.3.blocks.0", tmp_path)
    refused(suspicious / "port", key, "norm", tmp_path)
    refused(suspicious / "port", write_key(miniature_trace(), tmp_path / "key", sample=4), BLOCKS[0], tmp_path)


FORWARD = {
    "bias-sign": (
        "attention.c",
        "query / M + (M - 1) - key / M, right = query % M + (M - 1) - key % M",
        "key / M + (M - 1) - query / M, right = key % M + (M - 1) - query % M",
    ),
    "roll-direction": (
        "windows.c",
        "from_i = (i + up) % Hp, from_j = (j + left) % Wp",
        "from_i = (i + Hp - up) % Hp, from_j = (j + Wp - left) % Wp",
    ),
    "scale-missing": ("block.c", "scale = 1 / sqrt((real)d)", "scale = 1"),
    "gelu-tanh": (
        "layers.c",
        "y[i] = x[i] * normal_cdf(x[i]);",
        "y[i] = x[i] / 2 * (1 + tanh((real)0.7978845608 * (x[i] + (real)0.044715 * x[i] * x[i] * x[i])));",
    ),
}
BACKWARD = {
    "bias-windows": ("attention.c", "dbias[i] += *dy;", "dbias[i] = *dy;"),
    "bias-overwritten": ("attention.c", "* h + head] += *dbias++;", "* h + head] = *dbias++;"),
    "gelu-density": ("layers.c", "(by_factor + by_cdf)", "(by_factor + 0 * by_cdf)"),
    "softmax-sum": ("layers.c", "(dy[k] - through_sum)", "(dy[k] - 0 * through_sum)"),
    "norm-term": ("layers.c", "(direct + through_mean + through_rstd)", "(direct + through_mean + 0 * through_rstd)"),
}


def dump_with(folder, key, dump, file, right, wrong):
    """What the port makes of the key with this mistake in it."""
    shutil.copytree(SOURCES, folder)
    text = (folder / file).read_text()
    assert right in text
    (folder / file).write_text(text.replace(right, wrong))
    build(folder, "-O0", targets=["port"])
    assert run(folder / "port", key, BLOCKS[1], dump)[0] == 0
    return dump


def causes(key, dump):
    diagnosis = diagnose(key, dump)
    assert not diagnosis.ok
    return [cause.hypothesis.name for cause in diagnosis.causes], str(diagnosis)


@pytest.mark.parametrize("mistake", FORWARD)
def test_a_mistake_of_the_forward_pass_is_named(key, tmp_path, mistake):
    dump = dump_with(tmp_path / "port_c", key, tmp_path / "dump", *FORWARD[mistake])
    listed = json.loads((dump / "shapes.json").read_text())
    forward = {name: tensor for name, tensor in listed.items() if not name.startswith(GRADIENT_PREFIX)}
    (dump / "shapes.json").write_text(json.dumps(forward))  # the others began with a gradient of the right output
    names, printed = causes(key, dump)
    assert names == [mistake], printed


@pytest.mark.parametrize("mistake", BACKWARD)
def test_a_mistake_of_the_backward_pass_is_named(key, tmp_path, mistake):
    dump = dump_with(tmp_path / "port_c", key, tmp_path / "dump", *BACKWARD[mistake])
    names, printed = causes(key, dump)
    assert set(names) == {mistake}, printed
