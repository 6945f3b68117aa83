"""Image files of many kinds as the net's arrays, and files that are none."""

from __future__ import annotations

import os
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from sepcnn.data.decoding.opening import MAX_PIXELS
from sepcnn.data.decoding.pages import ORIENTATION
from sepcnn.data.decoding.pixel_values import RANGE_HINT
from sepcnn.data.decoding.reading import read_image
from sepcnn.data.decoding.resizing import Resize
from sepcnn.data.listing.image_names import image_suffixes
from sepcnn.data.listing.listing import find_images
from sepcnn.errors import DataError

SIZE = 8
SHAPE = (SIZE, SIZE, 3)

Pixels = NDArray[np.uint8]


def corners() -> Pixels:
    """A black square with red, green and blue corners, so that all rotations differ."""
    pixels = np.zeros(SHAPE, dtype=np.uint8)
    for channel, (row, column) in enumerate([(0, 0), (0, 4), (4, 0)]):
        pixels[row : row + 4, column : column + 4, channel] = 255
    return pixels


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def complaint(path: Path, shape: tuple[int, int, int] = SHAPE) -> str:
    with pytest.raises(DataError) as caught:
        read_image(path, shape)
    return str(caught.value)


# ── reading ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.bmp", "a.tif", "a.TIFF", "a.ppm"])
def test_lossless_images_of_the_right_size_are_unchanged(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / name, Image.fromarray(corners()))
    found = read_image(path, SHAPE)
    assert found.dtype == np.uint8
    assert found.flags.writeable
    np.testing.assert_array_equal(found, corners())


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.webp", "a.gif"])
def test_lossy_images_are_nearly_unchanged(tmp_path: Path, name: str) -> None:
    options = {} if name == "a.gif" else {"quality": 95}
    path = saved(tmp_path / name, Image.fromarray(corners()), **options)
    difference = read_image(path, SHAPE).astype(int) - corners()
    assert np.abs(difference).mean() < 20


@pytest.mark.parametrize(
    ("orientation", "transpose"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_exif_orientation_is_applied(
    tmp_path: Path, orientation: int, transpose: Image.Transpose | None, suffix: str
) -> None:
    """EXIF describes how to rotate the stored pixels back."""
    image = Image.fromarray(corners())
    turned = image if transpose is None else image.transpose(transpose)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = saved(tmp_path / f"photo{suffix}", turned, exif=exif)
    np.testing.assert_array_equal(read_image(path, SHAPE), corners())


def grey(value: int, mode: str = "L") -> Image.Image:
    return Image.new(mode, (SIZE, SIZE), value)


def palette(transparency: bool) -> Image.Image:
    image = Image.new("P", (SIZE, SIZE), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    if transparency:
        image.info["transparency"] = 1
    return image


def sixteen_bits(value: int) -> Image.Image:
    return Image.fromarray(np.full((SIZE, SIZE), value, dtype=np.uint16))


def see_through(*pixel: int) -> Image.Image:
    return Image.new("RGBA" if len(pixel) == 4 else "LA", (SIZE, SIZE), pixel)


WHITE = (255, 255, 255)


@pytest.mark.parametrize(
    ("image", "suffix", "expected"),
    [
        pytest.param(grey(77), ".png", (77, 77, 77), id="grey"),
        pytest.param(grey(1, "1"), ".png", WHITE, id="one-bit"),
        pytest.param(palette(False), ".png", (200, 100, 50), id="palette"),
        pytest.param(palette(True), ".png", WHITE, id="palette-transparent"),
        pytest.param(see_through(10, 20, 30, 255), ".png", (10, 20, 30), id="rgba-opaque"),
        pytest.param(see_through(10, 20, 30, 0), ".png", WHITE, id="rgba-transparent"),
        pytest.param(see_through(0, 100, 200, 51), ".png", (204, 224, 244), id="rgba-half"),
        pytest.param(see_through(10, 0), ".png", WHITE, id="grey-transparent"),
        pytest.param(sixteen_bits(0), ".png", (0, 0, 0), id="16-bit-black"),
        pytest.param(sixteen_bits(65535), ".png", WHITE, id="16-bit-white"),
        pytest.param(sixteen_bits(200 * 257), ".png", (200, 200, 200), id="16-bit-png"),
        pytest.param(sixteen_bits(200 * 257), ".tif", (200, 200, 200), id="16-bit-tiff"),
        pytest.param(grey(200 * 257, "I"), ".tif", (200, 200, 200), id="32-bit-tiff"),
        pytest.param(
            Image.new("CMYK", (SIZE, SIZE), (0, 255, 255, 0)), ".tif", (255, 0, 0), id="cmyk-tiff"
        ),
    ],
)
def test_every_mode_is_converted_to_rgb(
    tmp_path: Path, image: Image.Image, suffix: str, expected: tuple[int, int, int]
) -> None:
    found = read_image(saved(tmp_path / f"a{suffix}", image), SHAPE)
    np.testing.assert_array_equal(found, np.broadcast_to(expected, SHAPE))


def test_a_cmyk_jpeg_is_converted_to_rgb(tmp_path: Path) -> None:
    image = Image.new("CMYK", (SIZE, SIZE), (0, 255, 255, 0))
    found = read_image(saved(tmp_path / "a.jpg", image, quality=95), SHAPE).astype(int)
    assert np.abs(found - (255, 0, 0)).max() < 5


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_colour_is_converted_to_luma(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / name, Image.new("RGB", (SIZE, SIZE), (255, 0, 0)))
    found = read_image(path, (SIZE, SIZE, 1))
    assert found.shape == (SIZE, SIZE, 1)
    # 0.299 of 255 (ITU-R 601); JPEG may round it once more.
    assert np.abs(found.astype(int) - 76).max() <= 1


def test_four_channels_keep_transparency(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", see_through(10, 20, 30, 40))
    found = read_image(path, (SIZE, SIZE, 4))
    np.testing.assert_array_equal(found, np.broadcast_to((10, 20, 30, 40), (SIZE, SIZE, 4)))


def test_four_channels_of_an_opaque_image(tmp_path: Path) -> None:
    found = read_image(saved(tmp_path / "a.png", grey(7)), (SIZE, SIZE, 4))
    np.testing.assert_array_equal(found, np.broadcast_to((7, 7, 7, 255), (SIZE, SIZE, 4)))


@pytest.mark.parametrize("size", [(12, 8), (8, 12)], ids=["wide", "tall"])
def test_crop_keeps_the_centre(tmp_path: Path, size: tuple[int, int]) -> None:
    """Both ends of the longer side, a sixth each, are white and are cropped."""
    width, height = size
    pixels = np.full((height, width, 3), 100, dtype=np.uint8)
    margin = abs(width - height) // 2
    if width > height:
        pixels[:, :margin] = pixels[:, width - margin :] = 255
    else:
        pixels[:margin] = pixels[height - margin :] = 255
    found = read_image(saved(tmp_path / "a.png", Image.fromarray(pixels)), SHAPE)
    assert found.shape == SHAPE
    assert (found == 100).all()


@pytest.mark.parametrize("shape", [(8, 8, 3), (5, 16, 3), (16, 5, 1)], ids=str)
def test_an_image_of_one_pixel_is_enlarged(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGB", (1, 1), (9, 9, 9)))
    np.testing.assert_array_equal(read_image(path, shape), np.full(shape, 9))


@pytest.mark.parametrize("shape", [(32, 16, 1), (16, 32, 3)], ids=["tall", "wide"])
@pytest.mark.parametrize("orientation", [1, 6], ids=["upright", "lying"])
def test_a_jpeg_decoded_at_a_fraction_of_its_size_is_as_good(
    tmp_path: Path, orientation: int, shape: tuple[int, int, int]
) -> None:
    rows, columns = np.mgrid[:512, :1024]
    checks = Image.fromarray(((rows // 64 + columns // 64) % 2 * 255).astype(np.uint8))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    small = read_image(saved(tmp_path / "a.jpg", checks, exif=exif, quality=95), shape)
    whole = read_image(saved(tmp_path / "a.png", checks, exif=exif), shape)
    assert np.abs(small.astype(int) - whole).max() < 10


# ── refusals ──────────────────────────────────────────────────────────────────────────────────


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.png"
    assert complaint(path) == f"there is no file {path}"


def test_only_regular_files_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    os.mkfifo("a.jpg")
    Path("b.jpg").symlink_to("a.jpg")
    Path("c.jpg").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("d.jpg")
        for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "."):
            assert complaint(Path(name)) == f"{name}: not a regular file"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty (0 bytes); download or copy it again"),
        (b"404: Not Found\n", "text, '404: Not Found'"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer; run git lfs pull"),
    ],
    ids=["empty", "text", "lfs"],
)
def test_a_file_that_is_not_an_image(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    expected = f"{path}: not an image file: it is {kind}"
    assert complaint(path) == expected
    with pytest.raises(DataError) as error:
        read_image(path, SHAPE, content=content)
    assert error.value.message == expected


def test_no_other_program_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow runs Ghostscript on PostScript, even if the file has the suffix of a photo."""
    started: list[object] = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *a, **k: started.append(a))
    path = tmp_path / "a.jpg"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n%%EOF\n")
    expected = "not an image file: it is a PostScript file; export it as JPEG or PNG"
    assert complaint(path) == f"{path}: {expected}"
    assert not started


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif", "a.bmp", "a.tif", "a.ppm"])
def test_a_truncated_file(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path / name, Image.fromarray(noise))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(OSError, match=r".") as error, Image.open(path) as image:
        image.load()
    cut = "the file is cut off; download or copy it again"
    reason = error.value if name == "a.tif" else cut
    assert complaint(path) == f"{path}: cannot be read ({reason})"


def test_any_damage_is_a_data_error(tmp_path: Path) -> None:
    """Decoders raise many exceptions and warnings, which are errors here; none may escape."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    numbers = np.random.default_rng(0)
    refused = 0
    for name in ("a.png", "a.jpg", "a.tif", "a.gif", "a.webp"):
        path = saved(tmp_path / name, Image.fromarray(corners()), exif=exif)
        whole = path.read_bytes()
        for _ in range(40):
            content = bytearray(whole)
            for place in numbers.integers(min(len(whole), 300), size=3):
                content[place] = numbers.integers(256)
            path.write_bytes(content)
            try:
                assert read_image(path, SHAPE).shape == SHAPE
            except DataError:
                refused += 1
    assert refused > 60


def png_header(width: int, height: int) -> bytes:
    """A PNG file whose header gives this size, without pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT"


@pytest.mark.parametrize(
    "side", [10_000, 100_000], ids=["pillow-would-warn", "pillow-would-refuse"]
)
def test_a_decompression_bomb_is_refused_before_decoding(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side))
    megapixels = side * side // 1_000_000
    assert complaint(path) == (
        f"{path}: {side:,}×{side:,} pixels: {megapixels:,} megapixels to decode, more than "
        "max_megapixels 90\n"
        f"   use a smaller copy, or set max_megapixels: {megapixels} in data.source.Folder"
    )


def test_images_up_to_the_limit_are_read(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png_header(MAX_PIXELS // 9000, 9000))
    assert complaint(path).startswith(f"{path}: cannot be read (")


def test_other_numbers_of_channels_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(corners()))
    expected = (
        f"{path}: mode RGB, expected 2 channels\n"
        "   use 1, 3 or 4 channels, or a TIFF with one grey page per channel"
    )
    assert complaint(path, (SIZE, SIZE, 2)) == expected


@pytest.mark.parametrize("count", [2, 3, 5])
def test_grey_pages_of_a_tiff_are_channels(tmp_path: Path, count: int) -> None:
    first, *others = [grey(10 * page) for page in range(count)]
    path = saved(tmp_path / "a.tif", first, save_all=True, append_images=others)
    found = read_image(path, (SIZE, SIZE, count))
    expected = [10 * page for page in range(count)]
    np.testing.assert_array_equal(found, np.broadcast_to(expected, (SIZE, SIZE, count)))


def test_other_numbers_of_pages_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", grey(1), save_all=True, append_images=[grey(2)])
    assert complaint(path, (SIZE, SIZE, 5)) == (
        f"{path}: 2 pages of mode L, expected 5 channels\n"
        "   use 1, 3 or 4 channels, or a TIFF with one grey page per channel"
    )


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    """Their range is unknown: 0 to 1, 0 to 255, or heights in metres."""
    path = saved(tmp_path / "a.tif", Image.new("F", (SIZE, SIZE), 0.5))
    assert complaint(path) == (
        f"{path}: floating-point pixels from 0.5 to 0.5 need a value_range\n   {RANGE_HINT}"
    )


@pytest.mark.parametrize(("low", "high"), [(0, 65_536), (-5, 3)], ids=str)
def test_pixels_beyond_16_bits_are_refused(tmp_path: Path, low: int, high: int) -> None:
    pixels = np.full((SIZE, SIZE), low, np.int32)
    pixels[0, 0] = high
    path = saved(tmp_path / "a.tif", Image.fromarray(pixels))
    assert complaint(path) == (
        f"{path}: pixels from {low:,} to {high:,} need a value_range\n   {RANGE_HINT}"
    )


def test_16_bits_in_32(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", Image.fromarray(np.full((SIZE, SIZE), 0xFFFF, np.int32)))
    assert (read_image(path, SHAPE) == 255).all()


def test_other_frames_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [Image.new("L", (SIZE, SIZE), light) for light in (10, 200)]
    path = saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    looked_at: list[int] = []
    seek = GifImageFile.seek

    def watched(image: GifImageFile, frame: int) -> None:
        looked_at.append(frame)
        seek(image, frame)

    monkeypatch.setattr(GifImageFile, "seek", watched)
    assert (read_image(path, SHAPE) == 10).all()
    assert not looked_at


# ── other proportions ─────────────────────────────────────────────────────────────────────────


def test_letterbox_adds_black_bars(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGB", (16, 8), (200, 100, 50)))
    found = read_image(path, SHAPE, "letterbox")
    expected = np.zeros(SHAPE, dtype=np.uint8)
    expected[2:6] = (200, 100, 50)
    np.testing.assert_array_equal(found, expected)


def test_stretch_distorts_the_image(tmp_path: Path) -> None:
    halves = np.zeros((4, 16, 3), dtype=np.uint8)
    halves[:, 8:] = 255
    found = read_image(saved(tmp_path / "a.png", Image.fromarray(halves)), SHAPE, "stretch")
    assert (found[:, :3] < 10).all()
    assert (found[:, 5:] > 245).all()


@pytest.mark.parametrize("resize", ["crop", "letterbox", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (1, 1000), (1000, 1)], ids=str)
def test_the_thinnest_images_are_read(
    tmp_path: Path, size: tuple[int, int], resize: Resize
) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGB", size, (9, 9, 9)))
    found = read_image(path, (5, 16, 3), resize)
    assert set(np.unique(found)) <= {0, 9}
    assert (found == 9).any()


@pytest.mark.parametrize("suffix", sorted(image_suffixes()))
def test_files_with_every_listed_suffix_can_be_read(tmp_path: Path, suffix: str) -> None:
    image = grey(50) if suffix == ".pgm" else Image.new("RGB", (SIZE, SIZE), (50, 50, 50))
    path = saved(tmp_path / f"a{suffix}", image)
    assert find_images(tmp_path)[0] == [path]
    assert np.abs(read_image(path, SHAPE).astype(int) - 50).max() <= 2


# ── memory ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "PA"])
def test_strips_cover_the_whole_image(
    tmp_path: Path, mode: str, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = tmp_path / "a.tif"
    if mode == "I;16":
        image = Image.fromarray(noise[..., :2].copy().view(np.uint16)[..., 0])
    else:
        image = Image.fromarray(noise).convert(mode)
    if mode == "PA":  # no format keeps it: a palette with transparent entries
        path = tmp_path / "a.png"
        image = Image.fromarray(noise).quantize(8)
        image.info["transparency"] = bytes(range(0, 256, 32))
    saved(path, image, exif=exif)
    whole = read_image(path, (9, 7, channels))
    monkeypatch.setattr("sepcnn.data.decoding.pixel_values.PIXELS_PER_STRIP", 1)
    np.testing.assert_array_equal(read_image(path, (9, 7, channels)), whole)
    assert whole.std() > 20
