"""Images of every kind become red, green and blue in 8 bits; numbers in label images stay as they are."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.data import DataFileError
from npswin.data.formats import image_files
from npswin.data.formats.image_files import read_image, read_label_image
from npswin.data.sample_transforms import LARGEST_SIDE
from tests.data.formats.drawn import Image, encoded, labels, pixels


def saved(path, image, **options):
    image.save(path, **options)
    return path


def grey(array):
    """What a grey image (H, W) becomes."""
    return np.repeat(array[None], 3, axis=0)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "webp"])
def test_colours_are_read_as_they_are(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(encoded(pixels(5, 7), suffix, **({"lossless": True} if suffix == "webp" else {})))
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, pixels(5, 7).transpose(2, 0, 1))


def test_jpeg(tmp_path):
    flat = np.full((8, 8, 3), (200, 40, 90), np.uint8)
    (tmp_path / "a.jpg").write_bytes(encoded(flat, "jpg", quality=95))
    difference = read_image(tmp_path / "a.jpg").astype(int) - flat.transpose(2, 0, 1)
    assert abs(difference).max() <= 3


def test_grey_is_repeated_and_a_palette_looked_up(tmp_path):
    levels = pixels(5, 7)[..., 0]
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png", Image.fromarray(levels))), grey(levels))
    indexed = Image.fromarray(levels % 4)
    indexed.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    table = np.arange(10, 130, 10).reshape(4, 3)
    expected = table[levels % 4].transpose(2, 0, 1)
    np.testing.assert_array_equal(read_image(saved(tmp_path / "b.png", indexed)), expected)
    black_and_white = Image.fromarray(levels > 100)
    expected = grey(255 * (levels > 100).astype(np.uint8))
    np.testing.assert_array_equal(read_image(saved(tmp_path / "c.png", black_and_white)), expected)


def test_grey_for_a_model_of_one_channel(tmp_path):
    levels = pixels(5, 7)[..., 0]
    for number, image in enumerate((Image.fromarray(levels), Image.fromarray(levels * np.uint16(256) + np.uint16(9)))):
        found = read_image(saved(tmp_path / f"{number}.png", image), channels=1)
        np.testing.assert_array_equal(found, levels[None])
    colours = saved(tmp_path / "c.png", Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)))
    np.testing.assert_array_equal(read_image(colours, channels=1), [[[76, 150, 29]]])  # of ITU-R 601


def test_transparency_is_ignored(tmp_path):
    with_alpha = np.concatenate([pixels(5, 7), pixels(5, 7, 1)[..., :1]], axis=2)
    found = read_image(saved(tmp_path / "a.png", Image.fromarray(with_alpha)))
    np.testing.assert_array_equal(found, pixels(5, 7).transpose(2, 0, 1))
    found = read_image(saved(tmp_path / "b.png", Image.fromarray(with_alpha[..., 2:])))
    np.testing.assert_array_equal(found, grey(with_alpha[..., 2]))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_of_16_bits_the_upper_8_are_taken(tmp_path, suffix):
    deep = np.random.default_rng(0).integers(0, 65536, (5, 7), np.uint16)
    found = read_image(saved(tmp_path / f"a.{suffix}", Image.fromarray(deep)))
    np.testing.assert_array_equal(found, grey((deep >> 8).astype(np.uint8)))


def test_cmyk_is_converted(tmp_path):
    ink = np.zeros((4, 4, 4), np.uint8)
    ink[..., 1] = 255  # magenta: no green
    found = read_image(saved(tmp_path / "a.tif", Image.fromarray(ink, "CMYK")))
    np.testing.assert_array_equal(found[:, 0, 0], [255, 0, 255])


@pytest.mark.parametrize(("orientation", "turns", "mirrored"), [(1, 0, 0), (3, 2, 0), (6, 3, 0), (8, 1, 0), (2, 0, 1)])
@pytest.mark.parametrize("deep", [False, True])
def test_an_image_is_turned_as_its_orientation_says(tmp_path, orientation, turns, mirrored, deep):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.random.default_rng(0).integers(0, 65536, (5, 7), np.uint16) if deep else pixels(5, 7)
    path = saved(tmp_path / "a.png", Image.fromarray(stored), exif=exif)
    upright = np.rot90(stored[:, ::-1] if mirrored else stored, turns)
    expected = grey((upright >> 8).astype(np.uint8)) if deep else upright.transpose(2, 0, 1)
    np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize(("orientation", "turns", "mirrored"), [(1, 0, 0), (3, 2, 0), (6, 3, 0), (8, 1, 0), (2, 0, 1)])
@pytest.mark.parametrize("kind", ["grey", "palette", "16 bits"])
def test_a_label_image_is_turned_as_its_orientation_says(tmp_path, orientation, turns, mirrored, kind):
    numbers = labels(5, 7, 200, dtype=np.uint16 if kind == "16 bits" else np.uint8)
    image, exif = Image.fromarray(numbers), Image.Exif()
    exif[0x0112] = orientation
    if kind == "palette":
        image.putpalette(list(range(255, -1, -1)) * 3)
    found = read_label_image(saved(tmp_path / "a.png", image, exif=exif))
    np.testing.assert_array_equal(found, np.rot90(numbers[:, ::-1] if mirrored else numbers, turns))


def test_numbers_of_more_than_16_bits_are_refused(tmp_path):
    for index, array in enumerate((pixels(5, 7)[..., 0].astype(np.int32), np.ones((5, 7), np.float32))):
        path = saved(tmp_path / f"{index}.tif", Image.fromarray(array))
        with pytest.raises(DataFileError, match=rf"{index}\.tif: has Pillow's mode [IF], expected 8 or 16 bits"):
            read_image(path)


@given(st.sampled_from([1, 2, 4, 8]), st.integers(0, 2**32), st.sampled_from(["PNG", "BMP", "TIFF"]))
def test_labels_are_the_indices_of_a_palette(tmp_path_factory, bits, seed, kind):
    numbers = labels(4, 6, 2**bits - 1, seed)
    image = Image.fromarray(numbers)
    image.putpalette(np.random.default_rng(seed).permutation(768).astype(np.uint8).tolist())
    path = tmp_path_factory.mktemp("labels") / "a"
    image.save(path, kind, **({"bits": bits} if kind == "PNG" else {}))
    found = read_label_image(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, numbers)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_labels_in_grey(tmp_path, kind):
    numbers = labels(4, 6, 255)
    np.testing.assert_array_equal(
        read_label_image(saved(tmp_path / "a", Image.fromarray(numbers), format=kind)), numbers
    )


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_labels_of_16_bits(tmp_path, suffix):
    numbers = labels(4, 6, 40_000, dtype=np.uint16)
    found = read_label_image(saved(tmp_path / f"a.{suffix}", Image.fromarray(numbers)))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, numbers)


def grey_png_of_few_bits(numbers, bits):
    """A PNG whose grey has 2 or 4 bits, which Pillow does not write."""
    import struct
    import zlib

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b""
    for row in numbers:
        places = row.reshape(-1, 8 // bits) << np.arange(8 - bits, -1, -bits)
        rows += b"\0" + places.sum(axis=1).astype(np.uint8).tobytes()
    header = struct.pack(">IIBBBBB", numbers.shape[1], numbers.shape[0], bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_labels_in_grey_of_few_bits(tmp_path, bits):
    numbers = labels(4, 8, 2**bits - 1)
    (tmp_path / "a.png").write_bytes(grey_png_of_few_bits(numbers, bits))
    np.testing.assert_array_equal(read_label_image(tmp_path / "a.png"), numbers)


@pytest.mark.parametrize(
    ("name", "image", "match"),
    [
        ("a.png", Image.fromarray(pixels(4, 5)), r"has colours \(RGB\); a label image has a number for"),
        ("a.png", Image.fromarray(pixels(4, 5)).convert("LA"), "in LA"),
        ("a.jpg", Image.fromarray(labels(4, 5, 9)), "in the format JPEG, expected one of BMP, PNG, TIFF"),
        ("a.tif", Image.fromarray(labels(4, 5, 9).astype(np.int32)), "in I;32"),
    ],
)
def test_label_images_of_other_kinds_are_refused(tmp_path, name, image, match):
    with pytest.raises(DataFileError, match=match):
        read_label_image(saved(tmp_path / name, image))


@pytest.mark.parametrize("read", [read_image, read_label_image])
def test_damaged_files_are_refused(tmp_path, read, monkeypatch):
    path = tmp_path / "a.png"
    with pytest.raises(DataFileError, match=r"a\.png") as caught:
        read(path)
    assert isinstance(caught.value, FileNotFoundError)
    whole = encoded(pixels(40, 50)[..., 0])
    for content in (b"", b"no image", whole[:-40], whole[:60] + b"\0" + whole[61:]):
        path.write_bytes(content)
        with pytest.raises(DataFileError, match=r"a\.png: (cannot be read by Pillow|is not an image of the formats)"):
            read(path)
    path.write_bytes(whole)
    monkeypatch.setattr(image_files, "MOST_PIXELS", 1999)
    with pytest.raises(DataFileError, match=r"a\.png: has 50×40 pixels, expected at most 1999"):
        read(path)


@pytest.mark.parametrize("read", [read_image, read_label_image])
def test_sides_that_no_image_may_be_resized_to_are_refused(tmp_path, read):
    path = saved(tmp_path / "a.png", Image.new("L", (LARGEST_SIDE, 1)))
    assert read(path).shape[-2:] == (1, LARGEST_SIDE)
    for size in ((LARGEST_SIDE + 1, 2), (2, LARGEST_SIDE + 1)):
        with pytest.raises(DataFileError, match=rf"a\.png: has {size[0]}×{size[1]} pixels, expected sides of at most"):
            read(saved(path, Image.new("L", size)))


# Labels of 16 bits, with bytes changed at the end of the pixels.
CHANGED_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000a0000000c10000000002e90af3f0000005249444154789c4d8e4112c000040337"
    "99feffc9d2035a0e86200b8c10372c8408202000c8236484f495d9dc26421cbf75d7f3cdf9f6e22d80fa4f420da4a1599f4caba6"
    "9b3aa810827ca445c640b1a3fe343239343936373239352f55aa1926a21fb61d0000000049454e44ae426082"
)


@pytest.mark.parametrize("read", [read_image, read_label_image])
def test_a_wrong_checksum_is_found(tmp_path, read):
    """Pillow decodes the changed bytes to another label without an error."""
    assert (np.asarray(Image.open(io.BytesIO(CHANGED_PNG))) != labels(12, 10, 2)).sum() == 1
    (tmp_path / "a.png").write_bytes(CHANGED_PNG)
    with pytest.raises(DataFileError, match=r"a\.png: cannot be read by Pillow \(.*checksum"):
        read(tmp_path / "a.png")


def test_a_truncated_jpeg_is_refused(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(pixels(40, 50)).save(stream, "JPEG")
    (tmp_path / "a.jpg").write_bytes(stream.getvalue()[:-200])
    with pytest.raises(DataFileError, match=r"a\.jpg: cannot be read by Pillow"):
        read_image(tmp_path / "a.jpg")
