"""Image files as pixels: each format, and what is damaged, too large, or not 8 bits a channel."""

import io
import os
import struct
import zlib

import numpy as np
import pytest

from npswin.data import DataFileError
from npswin.verify.key import golden
from npswin.verify.key.golden import read_images

Image = pytest.importorskip("PIL.Image")
PIXELS = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)


def encoded(kind, mode="RGB", pixels=PIXELS):
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind)
    return stream.getvalue()


def write(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats(tmp_path, kind):
    found = read_images([write(tmp_path / "image", encoded(kind))], (8, 6))
    assert np.array_equal(found, PIXELS.transpose(2, 0, 1)[None])


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "WEBP"])
def test_lossy_formats(tmp_path, kind):
    smooth = np.indices((8, 6, 3)).sum(0).astype(np.uint8) * 4
    found = read_images([write(tmp_path / "image", encoded(kind, pixels=smooth))] * 2, (8, 6))
    assert found.shape == (2, 3, 8, 6)
    assert np.abs(found[0].astype(int) - smooth.transpose(2, 0, 1)).max() < 30


def test_images_are_resized(tmp_path):
    grey = np.full((8, 6, 3), 100, np.uint8)
    assert (read_images([write(tmp_path / "image", encoded("PNG", pixels=grey))], (3, 5)) == 100).all()


def _png_of(width, height):
    """The header of a picture, without its pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + struct.pack(">I", zlib.crc32(header)) + encoded("PNG")[33:]


def _png_with_other_pixels():
    """A picture whose pixels were replaced, so that all but the checksum is right."""
    data = encoded("PNG")
    place = data.index(b"IDAT")
    end = place + 4 + int.from_bytes(data[place - 4 : place], "big")
    rows = bytearray(zlib.decompress(data[place + 4 : end]))
    rows[5] ^= 64
    packed = zlib.compress(bytes(rows))
    return data[: place - 4] + len(packed).to_bytes(4, "big") + b"IDAT" + packed + data[end:]


def _png_of_16_bits(colour_type, channels):
    """A picture of random numbers of 16 bits, which Pillow cannot write with several channels."""
    rows = np.random.default_rng(0).integers(0, 65536, (8, 6 * channels)).astype(">u2")

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 6, 8, 16, colour_type, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def _tiff_of_16_bits():
    """A picture (8, 6, 3) without compression."""
    data = np.random.default_rng(0).integers(0, 65536, (8, 6, 3)).astype("<u2").tobytes()
    tags = {256: 6, 257: 8, 258: 8 + len(data), 259: 1, 262: 2, 273: 8, 277: 3, 278: 8, 279: len(data)}
    entries = [struct.pack("<HHII", tag, 4 - (tag == 258), 1 + 2 * (tag == 258), value) for tag, value in tags.items()]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 14 + len(data)) + data + struct.pack("<HHH", 16, 16, 16) + directory


PPM_OF_16_BITS = b"P6 6 8 65535\n" + bytes(range(256)) + bytes(32)


@pytest.mark.parametrize(
    "data",
    [_png_of_16_bits(2, 3), _png_of_16_bits(4, 2), _png_of_16_bits(6, 4), _tiff_of_16_bits(), PPM_OF_16_BITS],
    ids=["RGB", "LA", "RGBA", "TIFF", "PPM"],
)
def test_longer_numbers_are_not_cut_off(tmp_path, data):
    with pytest.raises(DataFileError, match="has more than 8 bits a channel, expected 8"):
        read_images([write(tmp_path / "image", data)], (8, 6))


def test_five_bits_a_channel_are_read(tmp_path):
    """BMP's 16 bits hold all three channels."""
    header = b"BM" + struct.pack("<IHHI", 54 + 96, 0, 0, 54)
    header += struct.pack("<IiiHHIIiiII", 40, 6, 8, 1, 16, 0, 96, 2835, 2835, 0, 0)
    found = read_images([write(tmp_path / "image.bmp", header + bytes(range(96)))], (8, 6))
    assert found.shape == (1, 3, 8, 6)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_png_with_other_pixels(), "not an image that Pillow reads"),
        (b"", "not an image"),
        (b"junk" * 100, "not an image"),
        (encoded("PNG")[:-30], "not an image that Pillow reads"),
        (encoded("JPEG")[:-40], "not an image that Pillow reads"),
        (encoded("PNG")[:60] + b"\xff" + encoded("PNG")[61:], "not an image that Pillow reads"),
        (_png_of(20_000, 10_000), "pixels"),
        (_png_of(2**31 - 1, 2**31 - 1), "pixels"),
        (_png_of(0, 5), "not an image"),
        (encoded("EPS"), "not an image"),
        (encoded("PNG", "I;16", PIXELS[..., 0].astype(np.uint16) * 200), "has Pillow's mode I;16, expected 8 bits"),
        (encoded("TIFF", "F"), "has Pillow's mode F, expected 8 bits"),
    ],
)
def test_an_error_names_the_file(tmp_path, data, message):
    path = write(tmp_path / "image.png", data)
    with pytest.raises(DataFileError, match=message) as error:
        read_images([path], (8, 6))
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 1000


def test_the_size_is_compared_before_pixels_are_decoded(tmp_path, monkeypatch):
    path = write(tmp_path / "image", encoded("PNG"))
    monkeypatch.setattr(golden, "MOST_PIXELS", 47)
    monkeypatch.setattr("PIL.Image.Image.convert", lambda *_: pytest.fail("decoded"))
    with pytest.raises(DataFileError, match="has 6×8 pixels, expected at most 47"):
        read_images([path], (8, 6))
    monkeypatch.setattr(golden, "LARGEST_IMAGE_FILE", 10)
    with pytest.raises(DataFileError, match="bytes, expected at most 10"):
        read_images([path], (8, 6))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, message in ((tmp_path / "pipe", "is a pipe"), (tmp_path, "is a folder"), ("/dev/zero", "a device")):
        with pytest.raises(DataFileError, match=message):
            read_images([path], (8, 6))
