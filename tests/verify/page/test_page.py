"""The page of a comparison: it loads nothing, is safe with hostile names, shows the tensors' numbers, and works in a
browser.
"""

import html
import json
import re
from itertools import pairwise

import numpy as np
import pytest

from npswin.models import SwinTransformer
from npswin.verify.graph import Run
from npswin.verify.key import AnswerKey
from npswin.verify.key.golden import MINIATURE, draw_labels, draw_pixels, randomize_weights
from npswin.verify.key.trace import trace
from npswin.verify.key.write import write_key
from npswin.verify.mistakes import CATALOGUE
from npswin.verify.page import page
from npswin.verify.page.groups import model_groups
from npswin.verify.page.planes import RMS, decode, encode
from npswin.verify.page.views import tensor_view
from npswin.verify.port.candidate import Candidate, CandidateError, DumpedTensor
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.search import search_mistakes
from tests.verify.page.browser import BROWSER, open_page

SHIFTED = "layers.0.blocks.1.attn.shifted"
PROBABILITIES = "layers.0.blocks.1.attn.probabilities"
HOSTILE = "</script><script>document.body.dataset.hostile = 1</script><!--<img onerror='x'>&amp;\ud800"


def make_key(folder, **options):
    model = SwinTransformer(**{**MINIATURE, "dtype": "float64"})
    randomize_weights(model, 0)
    images, labels = draw_pixels(0, 2, (10, 14)), draw_labels(0, 2, 5)
    scale = ([0.5, 0.4, 0.3], [0.2, 0.3, 0.2])
    return AnswerKey(write_key(trace(model, images, labels, normalization=scale), folder, **options))


def ported(key, mistake, place):
    """The tensors of a port that makes a mistake."""
    plant = next(one.plant for one in CATALOGUE if one.name == mistake)
    run = Run(key.graph.replaced(next(plant(key.graph, place))[1]), key.sources)
    tensors = {name: run.value(name) for name in key.graph.computed}
    return tensors | {f"grad/{name}": run.gradient(name) for name in key.graph.backward_order()}


def compared(key, tensors, **broken):
    def fail(note):
        raise CandidateError(note)

    found = {
        name: DumpedTensor(array.shape, array.dtype.name, lambda array=array: array) for name, array in tensors.items()
    }
    for name, note in broken.items():
        found[name] = DumpedTensor(key.shapes[name], "float64", lambda note=note: fail(note))
    comparer = Comparer(key, Candidate(found, key.shapes, "here"))
    return comparer, comparer.compare()


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return make_key(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def tensors(key):
    return ported(key, "roll-direction", SHIFTED)


@pytest.fixture(scope="module")
def comparison(key, tensors):
    return compared(key, tensors)


@pytest.fixture(scope="module")
def text(comparison):
    return page.comparison_page(*comparison)


def embedded(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_it_loads_nothing(text):
    for sign in ("http:", "https:", "src=", "@import", "url(", "import(", "fetch(", "XMLHttpRequest", "<link"):
        assert sign not in text
    assert "default-src 'none'" in text


def test_the_result_is_in_the_data(text, comparison):
    data = embedded(text)
    assert data["first"] == [SHIFTED, "grad/head"]
    assert not data["agrees"]
    assert data["rows"][SHIFTED]["verdict"] == "WRONG HERE"
    assert [node["name"] for group in data["groups"] for node in group["nodes"]].count(SHIFTED) == 1
    assert {node["name"] for group in data["groups"] for node in group["nodes"]} == set(comparison[0].key.graph.nodes)


def test_the_whole_model_in_groups(key):
    groups = model_groups(key.graph)
    stages = [[f"layers.{stage}.blocks.{block}" for block in range(depth)] for stage, depth in enumerate((2, 2, 1))]
    expected = ["patch embedding", *stages[0], "layers.0.downsample", *stages[1], "layers.1.downsample", *stages[2]]
    expected.append("head")
    assert [group.name for group in groups] == expected
    windows = groups[2].windows
    assert (windows.size, windows.shift_size, windows.padded, windows.grid, windows.heads) == (3, 1, (6, 9), (2, 3), 1)
    assert groups[-1].windows is None


def hostile(key, tensors):
    others = {name: array for name, array in tensors.items() if name != PROBABILITIES}
    return compared(key, {**others, HOSTILE: np.zeros(3), "a" * 10**6: np.zeros(1)}, **{PROBABILITIES: HOSTILE})


def test_names_and_notes_are_escaped(key, tensors, text):
    found = page.comparison_page(*hostile(key, tensors))
    for sign in ("</script", "<script", "<img", "<!--"):
        assert found.count(sign) == text.count(sign)
    data = embedded(found)
    readable = HOSTILE.replace("\ud800", "\\xd800")
    assert data["rows"][PROBABILITIES]["note"] == readable
    assert readable[:80] in data["summary"][-1]
    assert len(found) < len(text) + 10_000
    found.encode("utf-8")


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    "numbers",
    [
        [-3.0, 0.5, 7.0],
        [2.5, 2.5, 2.5],
        [0.0, -0.0, 5e-324],
        [-1.7e308, 1.7e308, 0.0],
        [np.nan, 1.0, np.inf],
        [np.nan, -np.inf, np.nan],
        [-np.inf, 1.0, 2.0],
    ],
)
def test_numbers_come_back_to_half_a_step(numbers, bits):
    numbers = np.array([numbers])
    finite = numbers[np.isfinite(numbers)]
    back = decode(encode(numbers, bits), bits, numbers.shape)
    special = ~np.isfinite(numbers)
    np.testing.assert_array_equal(back[special], numbers[special])
    step = (finite.max() / 2 - finite.min() / 2) / (2**bits - 4) * 2 if finite.size else 0
    assert np.all(np.abs(back[~special] - finite) <= 0.5001 * step + 5e-324)


def views(key):
    return {
        node.name: tensor_view(node, key.shapes[node.name], group.windows)
        for group in model_groups(key.graph)
        for node in group.nodes
    }


def test_windows_are_at_their_position_on_the_map(key, tensors):
    shown = views(key)
    attention = "layers.0.blocks.1.attn."

    def picture(name):
        return shown[attention + name].arrange(tensors[attention + name])

    np.testing.assert_array_equal(picture("windows"), picture("shifted"))
    np.testing.assert_array_equal(picture("proj"), picture("joined"))
    np.testing.assert_array_equal(np.concatenate([picture(part) for part in "qkv"], axis=1), picture("qkv"))
    np.testing.assert_array_equal(picture("context"), picture("merged_heads"))
    grid = picture("probabilities")
    for window, query, token in [(0, 0, 0), (1, 2, 5), (3, 8, 3), (5, 4, 7)]:
        row, column = window // 3 * 9 + query, window % 3 * 9 + token
        assert grid[1, 0, row, column] == tensors[PROBABILITIES][1, window, 0, query, token]


def test_maps_are_cut_where_the_windows_are(key):
    shown = views(key)
    cuts = {
        name: tuple(map(list, shown[f"layers.0.blocks.{name}"].cuts)) for name in ("0.norm1", "1.norm1", "1.mlp.fc1")
    }
    assert cuts == {"0.norm1": ([3], [3, 6]), "1.norm1": ([1, 4], [1, 4]), "1.mlp.fc1": ([1, 4], [1, 4])}
    rolled = [shown[f"layers.0.blocks.1.attn.{name}"] for name in ("shifted", "joined", "windows")]
    assert all(tuple(map(list, view.cuts)) == ([3], [3, 6]) for view in rolled)
    assert [list(cut) for cut in shown["layers.0.blocks.1.attn.unshifted"].cuts] == [[1, 4], [1, 4, 7]]


def assert_shows(plane, view, key, port):
    """Assert that a plane has the tensors' numbers to half a step."""
    right, found = view.arrange(key), view.arrange(port)
    for name, tensor in (("key", right), ("port", found), ("difference", np.abs(found - right))):
        there = tensor[plane["image"]]
        there = np.sqrt(np.mean(there**2, axis=0)) if plane["slice"] == RMS else there[plane["slice"]]
        rows, columns = plane["rows"], plane["columns"]
        there = there[rows[0] : rows[-1], columns[0] : columns[-1]]
        if plane["blocks"]:
            blocks = [
                [there[a - rows[0] : b - rows[0], c - columns[0] : d - columns[0]] for c, d in pairs(columns)]
                for a, b in pairs(rows)
            ]
            there = np.array([[np.sqrt(np.mean(block**2)) for block in line] for line in blocks])
        back = decode(plane[name], plane["bits"], there.shape)
        assert np.abs(back - there).max() <= 0.501 * (there.max() - there.min()) / (2 ** plane["bits"] - 4) + 1e-15


def pairs(edges):
    return list(pairwise(edges))


def test_a_small_model_is_there_in_full(comparison, text, key, tensors):
    planes = embedded(text)["planes"]
    assert set(planes) == {row.name for row in comparison[1].rows}
    shown = views(key)
    for name, several in planes.items():
        view = shown[name.removeprefix("grad/")]
        images, slices = view.shape[:2]
        assert len(several) == images * (slices + (slices > 1))
        assert len({(plane["image"], plane["slice"]) for plane in several}) == len(several)
        for plane in several:
            assert_shows(plane, view, key[name], tensors[name])
    assert len(text) < 3_000_000


@pytest.mark.parametrize("largest", [600_000, 900_000])
def test_a_large_model_is_thinned(monkeypatch, comparison, key, tensors, largest):
    monkeypatch.setattr(page, "LARGEST", largest)
    text = page.comparison_page(*comparison)
    assert len(text) <= largest
    data = embedded(text)
    sizes = {name: len(json.dumps(several)) for name, several in data["planes"].items()}
    shown = views(key)
    for name, several in data["planes"].items():
        view = shown[name.removeprefix("grad/")]
        for plane in several:
            assert_shows(plane, view, key[name], tensors[name])
        off = np.abs(view.arrange(tensors[name]) - view.arrange(key[name]))
        first = several[0]
        rows, columns = first["rows"], first["columns"]
        shows = off[first["image"], first["slice"], rows[0] : rows[-1], columns[0] : columns[-1]]
        assert shows.max() == off.max()
    assert sizes[SHIFTED] >= sizes["layers.1.blocks.1.mlp.fc2"]


def test_of_a_thinned_key_the_whole_tensor_is_shown(tmp_path, key, tensors):
    thinned = make_key(tmp_path, sample=7)
    data = embedded(page.comparison_page(*compared(thinned, tensors)))
    view = views(key)[PROBABILITIES]
    for plane in data["planes"][PROBABILITIES]:
        assert_shows(plane, view, key[PROBABILITIES], tensors[PROBABILITIES])
    found = data["rows"][PROBABILITIES]["found"]
    assert key[PROBABILITIES][tuple(found["where"])] == pytest.approx(found["right"])


def test_what_cannot_be_drawn_is_left_out(key, tensors):
    bent = {**tensors, SHIFTED: tensors[SHIFTED][:, :, :-1]}
    data = embedded(page.comparison_page(*compared(key, bent, **{PROBABILITIES: "broken"})))
    assert not {SHIFTED, PROBABILITIES} & set(data["planes"])
    assert data["rows"][SHIFTED]["note"] == "shape 2×6×8×4, the key has 2×6×9×4: B, Hp, Wp, C"


needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")


def browse(tmp_path, text, *options, tensor=""):
    file = tmp_path / "page.html"
    file.write_text(text, encoding="utf-8")
    return open_page(file, tmp_path / "profile", *options, tensor=tensor)


def body(dom):
    """The attributes in which the page stores its state."""
    attributes = re.search(r"<body([^>]*)>", dom)[1]
    return {name: html.unescape(value) for name, value in re.findall(r'data-(\w+)="([^"]*)"', attributes)}


def canvases(dom):
    return re.findall(r'<canvas[^>]*id="canvas-\d"[^>]*data-checksum="(\d+)"', dom)


@needs_browser
def test_it_opens_at_the_first_divergence(tmp_path, text):
    dom = browse(tmp_path, text, "--dump-dom")
    assert body(dom) == {"ready": "true", "chosen": SHIFTED}
    assert f'<h2 id="name">{SHIFTED}</h2>' in dom
    assert re.search(rf'<g class="tensor"[^>]*data-name="{SHIFTED}"[^>]*aria-current="true"', dom)
    sums = canvases(dom)
    assert len(sums) == 3
    assert len(set(sums)) == 3


@needs_browser
def test_the_causes_stand_above_what_was_compared(tmp_path, key):
    tensors = ported(key, "roll-direction", SHIFTED)
    comparer, comparison = compared(key, tensors)
    dom = browse(tmp_path, page.comparison_page(comparer, comparison, search_mistakes(comparer)), "--dump-dom")
    causes = re.search(r'<ul id="causes">(.*?)</ul>', dom)[1]
    assert causes.startswith('<li class="">1. the cyclic shift rolls the other way (there and back)</li>')
    assert f'<li class="further">at {SHIFTED}</li>' in causes


@needs_browser
def test_the_screenshot_has_the_colours(tmp_path, text):
    image = pytest.importorskip("PIL.Image", reason="Pillow reads the screenshot")
    browse(tmp_path, text, f"--screenshot={tmp_path / 'page.png'}", tensor=PROBABILITIES)
    with image.open(tmp_path / "page.png") as picture:
        counts = picture.convert("RGB").getcolors(10**7)
    colours = {colour: count for count, colour in counts}
    assert len(colours) > 60
    assert colours[(0xB8, 0x29, 0x0F)] > 100  # wrong here
    assert colours[(0x44, 0x01, 0x54)] > 1000  # of the key: most probabilities are nearly zero
    assert colours[(0x08, 0x04, 0x0F)] > 1000  # of the difference


@needs_browser
def test_nothing_of_a_hostile_dump_runs(tmp_path, key, tensors):
    dom = browse(tmp_path, page.comparison_page(*hostile(key, tensors)), "--dump-dom", tensor=PROBABILITIES)
    assert body(dom) == {"ready": "true", "chosen": PROBABILITIES}
    assert re.search(r'<p[^>]*id="note"[^>]*>&lt;/script&gt;', dom)


WALK = """<script>
const wrong = [];
for (const name of Object.keys(data.rows)) {
  chosen = name;
  describe();
  const found = data.rows[name].found, {columns, arrays} = picture;
  const index = at => String(indexOf(Math.floor(at / columns), at % columns)[0]);
  const place = arrays[0].findIndex((_, at) => index(at) === String(found.where));
  const near = (value, right) => Math.abs(value - right) <= 1e-4 * Math.max(1e-300, ...arrays[0].map(Math.abs), right);
  if (!near(arrays[0][place], found.right) || !near(arrays[1][place], found.wrong)) wrong.push(name);
  if (found.largest > 1e-9 && !near(arrays[2][place], found.largest)) wrong.push(name);
}
document.body.dataset.wrong = wrong.join();
document.body.dataset.walked = Object.keys(data.rows).length;
</script></body>"""


@needs_browser
def test_each_cell_has_the_index_of_its_number(tmp_path, text, comparison):
    """Of every tensor, where the comparison found the largest difference."""
    found = body(browse(tmp_path, text.replace("</body>", WALK), "--dump-dom"))
    assert "error" not in found
    assert found["wrong"] == ""
    assert found["walked"] == str(len(comparison[1].rows))


KEYS = """<script>
const seen = [], press = (key, target = document.body) => {
  target.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
  seen.push(chosen);
};
for (const key of ["ArrowDown", "ArrowRight", "ArrowUp", "ArrowLeft", "n", "p"]) press(key);
const header = graph.querySelector('[data-group="layers.1.blocks.1"]');
press("Enter", header);
seen.push(String(opened.has("layers.1.blocks.1")));
document.querySelector("#detail select").value = "1";
document.querySelector("#detail select").dispatchEvent(new Event("change"));
seen.push(String(picture.plane.image));
press("ArrowDown", document.querySelector(".frame"));
seen.push(document.getElementById("readout").textContent.split("]")[0]);
document.body.dataset.seen = seen.join("|");
</script></body>"""


@needs_browser
def test_the_page_can_be_used_by_keyboard(tmp_path, text):
    found = body(browse(tmp_path, text.replace("</body>", KEYS), "--dump-dom", tensor=SHIFTED))
    assert "error" not in found
    windows = "layers.0.blocks.1.attn.windows"
    steps = [windows, f"grad/{windows}", f"grad/{SHIFTED}", SHIFTED, windows, SHIFTED]
    *others, place = found["seen"].split("|")
    assert others == [*steps, SHIFTED, "true", "1", SHIFTED]
    assert place.startswith("[1, ")
