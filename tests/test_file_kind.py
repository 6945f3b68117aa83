"""What a file is, from its first bytes."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from sepcnn.file_kind import complaint, identify, kind_of, missing_link

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.jpg"))
    return file.getvalue()


def torch_file() -> bytes:
    file = io.BytesIO()
    torch.save({"weight": torch.zeros(2)}, file)
    return file.getvalue()


def numpy_archive() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=np.zeros(2))
    return file.getvalue()


KINDS: dict[str, tuple[bytes, str]] = {
    "lfs": (POINTER, "a Git LFS pointer"),
    "annex": (b"/annex/objects/SHA256E-s12--ab.jpg\n", "a git-annex pointer"),
    "empty": (b"", "empty (0 bytes)"),
    "zeros": (bytes(5000), "filled with zero bytes"),
    "ones": (b"\xff" * 5000, "filled with bytes 0xff"),
    "html": (b"\n<!DOCTYPE html>\n<html><title>404</title>", "an HTML page"),
    "html with comment": (b"\xef\xbb\xbf<!-- saved --><HTML>", "an HTML page"),
    "svg": (b"<?xml version='1.0'?>\n<!-- Inkscape -->\n<svg width='3'>", "an SVG drawing"),
    "svg with doctype": (b"<!DOCTYPE svg PUBLIC 'x'><svg/>", "an SVG drawing"),
    "xml": (b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code>", "XML ('AccessDenied')"),
    "json": (b'{"message": "Not Found"}', 'JSON, \'{"message": "Not Found"}\''),
    "text": (b"404: Not Found", "text, '404: Not Found'"),
    "long text": (("é" * 5000).encode(), f"text, '{'é' * 40}…'"),
    "blank": (b" \n\n", "blank text"),
    "utf-16": ("path,label".encode("utf-16"), "UTF-16 text"),
    "base64": (b"data:image/png;base64,iVBORw0KGgo=", "an image as Base64 text"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC photo"),
    "cr3": (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a raw photo of a camera (CR3)"),
    "mp4": (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2mp41", "a video"),
    "mov": (b"\0\0\0\x14ftypqt  \0\0\2\0qt  ", "a video"),
    "mkv": (b"\x1aE\xdf\xa3\x01\0\0\0\0", "a video"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
    "psd": (b"8BPS\0\1\0\0\0\0", "a Photoshop document"),
    "cr2": (b"II*\0\x10\0\0\0CR\2\0", "a raw photo of a camera (CR2)"),
    "raf": (b"FUJIFILMCCD-RAW 0201", "a raw photo of a camera (RAF)"),
    "jxl": (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    "dicom": (b"\0" * 128 + b"DICM\2\0", "a DICOM image"),
    "zip": (zipped("photos/a.jpg"), "a zip archive"),
    "xlsx": (zipped("[Content_Types].xml", "xl/a.xml"), "an Office document"),
    "keras": (zipped("metadata.json", "config.json"), "a Keras model"),
    "npz": (numpy_archive(), "a NumPy archive (.npz)"),
    "pt": (torch_file(), "a pickled PyTorch file"),
    "pickle": (pickle.dumps({"a": 1}), "a pickled Python object"),
    "onnx": (b"\x08\x08\x12\x07pytorch\x1a\x052.5.0", "an ONNX model"),
    "hdf5": (b"\x89HDF\r\n\x1a\n\0", "an HDF5 file, as of Keras"),
    "safetensors": (save({"a": torch.zeros(2)}), "a safetensors file"),
    "gzip": (gzip.compress(b"image"), "a gzip archive"),
    "tar": (tarred(), "a tar archive"),
    "icloud": (b"bplist00\xd4\1", "a property list, as of a file in iCloud"),
    "apple double": (b"\0\5\x16\7\0\2\0\0Mac OS X", "metadata of macOS (AppleDouble)"),
    "crlf": (b"\x89PNG\n\x1a\n\0\0\0\rIHDR", "a binary file that was transferred or saved as text"),
    "utf-8": (
        b"\xff\xd8\xff\xe0\0\x10JFIF".decode("utf-8", "replace").encode(),
        "a binary file that was transferred or saved as text",
    ),
    "embedded": (b"\r\n\x00\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image after 3 other bytes"),
    "short jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image"),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_kind_of_a_file(name: str) -> None:
    content, expected = KINDS[name]
    kind = kind_of(content)
    assert kind is not None
    assert kind.name == expected


def test_bytes_of_no_known_kind(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    for _ in range(50):
        kind_of(numbers.bytes(int(numbers.integers(1, 300))))  # raises nothing
    assert kind_of(b"\xc1\x00\xfe\x11") is None
    assert identify(tmp_path / "missing") is None
    assert identify(tmp_path) is None
    path = tmp_path / "a"
    path.write_bytes(b"\xc1\x00\xfe\x11")
    assert complaint(path, "an image file") == f"{path}: not an image file"


def test_the_message_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(POINTER)
    expected = f"{path}: not an image file: it is a Git LFS pointer; run git lfs pull"
    assert complaint(path, "an image file") == expected
    path.write_bytes(b"%PDF-1.7")
    assert complaint(path, "an image file").endswith("export its pages as JPEG or PNG")
    assert complaint(path, "a checkpoint") == f"{path}: not a checkpoint: it is a PDF document"
    assert complaint(path, "a checkpoint", b"").endswith("it is empty (0 bytes); " + AGAIN)


AGAIN = "download or copy it again"


def test_a_link_without_target(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.symlink_to(".git/annex/objects/x/y/SHA256E-s3--ab/SHA256E-s3--ab.jpg")
    assert missing_link(path) == "its content is not here; run git annex get"
    other = tmp_path / "b.jpg"
    other.symlink_to("photos/b.jpg")
    assert missing_link(other) == "it is a link to photos/b.jpg"
    assert missing_link(tmp_path / "c.jpg") == ""
