"""Identifies what a file is from its first bytes, for messages about a file of the wrong kind."""

from __future__ import annotations

import errno
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path

HEAD_BYTES = 4096
"""number of bytes from which a file is identified"""
QUOTED = 40
"""number of characters of a text that a message quotes"""
MAX_READ = 1 << 20
"""number of bytes that must all be the same before the file is called filled with them"""
LEAST_FILLED = 16
"""shorter files are not called filled with one byte"""
COPY_AGAIN = "download or copy it again"
EXPORT = "export it as JPEG or PNG"
OLE_DOCUMENT = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
REPLACEMENT = "\ufffd".encode()
"""U+FFFD, which a program writes for bytes that are not text"""


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a file is, and what to do about it."""

    name: str
    """with its article, as in ``a PDF document``"""
    remedy: str = ""
    """what to do if the file was meant to be something else"""
    image_remedy: str = ""
    """what to do if the file was meant to be an image"""
    is_text: bool = False
    """plain text, which may be a table"""


LFS_POINTER = FileKind("a Git LFS pointer", "run git lfs pull")
ANNEX_POINTER = FileKind("a git-annex pointer", "run git annex get")
EMPTY = FileKind("empty (0 bytes)", COPY_AGAIN)
HEIC = FileKind("a HEIC photo", "", f"{EXPORT}, or pip install 'sepcnn[heic]'")
SAFETENSORS = FileKind("a safetensors file")
VIDEO = FileKind("a video", "", "save its frames as JPEG or PNG")
UNPACK = "unpack it"

MAGIC: tuple[tuple[int, bytes, FileKind], ...] = (
    (0, b"version https://git-lfs.github.com/", LFS_POINTER),
    (0, b"/annex/objects/", ANNEX_POINTER),
    (0, b"bplist00", FileKind("a property list, as of a file in iCloud", "download the file")),
    (0, b"book\0\0\0\0mark", FileKind("an alias of macOS", "copy the file itself")),
    (0, b"\0\5\x16\7", FileKind("metadata of macOS (AppleDouble)", "delete it")),
    (0, b"L\0\0\0\x01\x14\x02\0", FileKind("a shortcut of Windows", "copy the file itself")),
    (0, b"[InternetShortcut]", FileKind("a link to a web page", "download the file itself")),
    # Images that are not read.
    (0, b"%PDF-", FileKind("a PDF document", "", "export its pages as JPEG or PNG")),
    (0, b"%!PS", FileKind("a PostScript file", "", EXPORT)),
    (0, b"8BPS", FileKind("a Photoshop document", "", EXPORT)),
    (0, b"gimp xcf", FileKind("a GIMP document", "", EXPORT)),
    (0, b"FUJIFILMCCD-RAW", FileKind("a raw photo of a camera (RAF)", "", EXPORT)),
    (8, b"CR\2\0", FileKind("a raw photo of a camera (CR2)", "", EXPORT)),
    (0, b"IIU\0", FileKind("a raw photo of a camera (RW2)", "", EXPORT)),
    (0, b"IIRO", FileKind("a raw photo of a camera (ORF)", "", EXPORT)),
    (0, b"\0MRM", FileKind("a raw photo of a camera (MRW)", "", EXPORT)),
    (0, b"FOVb", FileKind("a raw photo of a camera (X3F)", "", EXPORT)),
    (0, b"\xff\n", FileKind("a JPEG XL image", "", EXPORT)),
    (4, b"JXL \r\n\x87\n", FileKind("a JPEG XL image", "", EXPORT)),
    (0, b"v/1\1", FileKind("an OpenEXR image", "", EXPORT)),
    (0, b"#?RADIANCE", FileKind("a Radiance HDR image", "", EXPORT)),
    (0, b"SIMPLE  =", FileKind("a FITS image", "", EXPORT)),
    (128, b"DICM", FileKind("a DICOM image", "", EXPORT)),
    (0, b"\0\0\1\0", FileKind("an icon", "", EXPORT)),
    (0, b"DDS ", FileKind("a DDS texture", "", EXPORT)),
    (0, b"AT&TFORM", FileKind("a DjVu document", "", EXPORT)),
    # Models and tables.
    (0, b"\x89HDF\r\n\x1a\n", FileKind("an HDF5 file, as of Keras")),
    (4, b"TFL3", FileKind("a TensorFlow Lite model")),
    (0, b"GGUF", FileKind("a GGUF model")),
    (0, b"\x93NUMPY", FileKind("a NumPy array")),
    (0, b"PAR1", FileKind("a Parquet table", "save it as CSV in UTF-8")),
    (0, b"SQLite format 3\0", FileKind("an SQLite database")),
    (0, OLE_DOCUMENT, FileKind("an Office document", "save a table as CSV in UTF-8")),
    # Archives, videos, sounds and programs.
    (0, b"\x1f\x8b", FileKind("a gzip archive", UNPACK)),
    (0, b"BZh", FileKind("a bzip2 archive", UNPACK)),
    (0, b"\xfd7zXZ\0", FileKind("an xz archive", UNPACK)),
    (0, b"\x28\xb5\x2f\xfd", FileKind("a Zstandard archive", UNPACK)),
    (0, b"7z\xbc\xaf\x27\x1c", FileKind("a 7z archive", UNPACK)),
    (0, b"Rar!\x1a\7", FileKind("a RAR archive", UNPACK)),
    (257, b"ustar", FileKind("a tar archive", UNPACK)),
    (0, b"\x1aE\xdf\xa3", VIDEO),
    (8, b"AVI LIST", VIDEO),
    (8, b"WAVE", FileKind("a sound")),
    (0, b"ID3", FileKind("a sound")),
    (0, b"\x7fELF", FileKind("a program")),
    # Images that are read: these are damaged, or were meant to be something else.
    (0, b"\xff\xd8\xff", FileKind("a JPEG image", "", COPY_AGAIN)),
    (0, b"\x89PNG\r\n\x1a\n", FileKind("a PNG image", "", COPY_AGAIN)),
    (0, b"GIF8", FileKind("a GIF image", "", COPY_AGAIN)),
    (8, b"WEBP", FileKind("a WebP image", "", COPY_AGAIN)),
    (0, b"II*\0", FileKind("a TIFF image", "", COPY_AGAIN)),
    (0, b"MM\0*", FileKind("a TIFF image", "", COPY_AGAIN)),
)
"""offset, bytes at this offset, kind; the first match counts"""
ISO_MEDIA = {
    b"heic": HEIC,
    b"heix": HEIC,
    b"hevc": HEIC,
    b"heim": HEIC,
    b"heis": HEIC,
    b"mif1": HEIC,
    b"msf1": HEIC,
    b"avif": FileKind("an AVIF image", "", f"{EXPORT}, or update Pillow"),
    b"avis": FileKind("an AVIF image", "", f"{EXPORT}, or update Pillow"),
    b"crx ": FileKind("a raw photo of a camera (CR3)", "", EXPORT),
}
"""kinds by brand; other brands are videos"""
ZIP_MEMBERS = (
    (re.compile(r"(.*/)?(data\.pkl|\.format_version|\.data/.*|byteorder)"),
     FileKind("a pickled PyTorch file", "sepcnn reads no pickled files")),
    (re.compile(r".*\.npy"), FileKind("a NumPy archive (.npz)")),
    (re.compile(r"metadata\.json|config\.json|model\.weights\.h5"), FileKind("a Keras model")),
    (re.compile(r"\[Content_Types\]\.xml|_rels/.*|docProps/.*"),
     FileKind("an Office document", "save a table as CSV in UTF-8")),
)  # fmt: skip
"""kinds by the name of the first file in a zip archive"""
DAMAGED_BY_TEXT_MODE = re.compile(
    rb"\x89PNG\n\x1a\n|\x89PNG\r\n\x1a\r\n|\x89PNG\r\r\n|\x09PNG|"
    + REPLACEMENT * 2 + rb"|" + REPLACEMENT + rb"PNG|\xc3\xbf\xc3\x98\xc3\xbf|\xc2\x89PNG"
)  # fmt: skip
MARKUP = re.compile(
    rb"(?:<!--.*?-->|<\?xml.*?\?>|\s)*<(!doctype\s+)?(html|head|body|svg|\w+)",
    re.DOTALL | re.IGNORECASE,
)
CLOUD_ERRORS = range(358, 405)
"""errors of Windows for a file in OneDrive that is not on the disk"""
EMBEDDED_IMAGE = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n")
BASE64_IMAGE = re.compile(rb"(data:image/|/9j/|iVBORw0KGgo|R0lGOD|UklGR)")


def complaint(path: Path, expected: str, content: bytes | None = None) -> str:
    """Return a message about a file that is not ``expected``, as in ``a checkpoint``.

    For example ``a.jpg: not an image file: it is a Git LFS pointer; run git lfs pull``.
    ``content`` are the bytes of the file, if they are in memory already.
    """
    kind = identify(path, content)
    if kind is None:
        return f"{path}: not {expected}"
    remedy = kind.remedy or (kind.image_remedy if "image" in expected else "")
    return f"{path}: not {expected}: it is {kind.name}" + (f"; {remedy}" if remedy else "")


def identify(path: Path, content: bytes | None = None) -> FileKind | None:
    """Return what a file is; None if it is not recognised or cannot be read."""
    try:
        if content is None:
            with path.open("rb") as file:
                content = file.read(MAX_READ)
    except OSError:
        return None
    return kind_of(content)


def kind_of(content: bytes) -> FileKind | None:
    """Return what a file with this content is, or with these first bytes."""
    if not content:
        return EMPTY
    if len(content) >= LEAST_FILLED and not content.strip(content[:1]):
        value = "zero bytes" if content[0] == 0 else f"bytes 0x{content[0]:02x}"
        return FileKind(f"filled with {value}", COPY_AGAIN)
    head = content[:HEAD_BYTES]
    for offset, magic, kind in MAGIC:
        if head.startswith(magic, offset):
            return kind
    if head[4:8] == b"ftyp":
        return ISO_MEDIA.get(head[8:12], VIDEO)
    if head.startswith(b"PK\3\4"):
        return _zip_kind(head)
    if DAMAGED_BY_TEXT_MODE.match(head):
        return FileKind("a binary file that was transferred or saved as text", COPY_AGAIN)
    return _model_kind(head) or _text_kind(head) or _embedded_kind(head)


def _zip_kind(head: bytes) -> FileKind:
    length = int.from_bytes(head[26:28], "little")
    name = head[30 : 30 + length].decode("utf-8", "replace")
    for pattern, kind in ZIP_MEMBERS:
        if pattern.fullmatch(name):
            return kind
    return FileKind("a zip archive", UNPACK)


def _model_kind(head: bytes) -> FileKind | None:
    if len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 1 << 30:
        return SAFETENSORS
    if re.match(rb"\x80[\x02-\x05][\x95(\]}\x8ac]", head):
        return FileKind("a pickled Python object", "sepcnn reads no pickled files")
    if re.match(rb"\x08[\x01-\x1f]\x12[\x01-\x40]\w", head):
        return FileKind("an ONNX model")
    return None


def _text_kind(head: bytes) -> FileKind | None:
    """Return the kind of a text: markup, JSON, an image as Base64, or text with its first line."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return FileKind("UTF-16 text", "save it as UTF-8")
    body = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if markup := MARKUP.match(body):
        tag = markup[2].lower()
        if tag == b"svg":
            return FileKind("an SVG drawing", "", EXPORT)
        if tag in (b"html", b"head", b"body") or markup[1]:
            return FileKind("an HTML page", "download the file itself")
        code = re.search(rb"<(?:code|message)>([ -~]{1,60}?)<", body, re.I)
        name = f"XML ('{code[1].decode()}')" if code else "XML"
        return FileKind(name, "download the file itself")
    if BASE64_IMAGE.match(body):
        return FileKind("an image as Base64 text", "", "decode it")
    try:
        text = body.decode("utf-8") if len(head) < HEAD_BYTES else body[:-4].decode("utf-8")
    except UnicodeDecodeError:
        return None
    if re.search(r"[\x00-\x08\x0e-\x1f\x7f]", text):
        return None
    first = text.split("\n", 1)[0].strip()
    quoted = first if len(first) <= QUOTED else f"{first[:QUOTED]}…"
    name = "JSON" if first[:1] in ("{", "[") else "text"
    return FileKind(f"{name}, '{quoted}'" if quoted else "blank text", is_text=True)


def _embedded_kind(head: bytes) -> FileKind | None:
    if found := EMBEDDED_IMAGE.search(head):
        name = "JPEG" if found[0].startswith(b"\xff") else "PNG"
        return FileKind(f"a {name} image after {found.start():,} other bytes", "", COPY_AGAIN)
    return None


def system_error(path: Path, error: OSError) -> str:
    """Return why the system cannot read a file, as in ``permission denied``."""
    if isinstance(error, FileNotFoundError) and (reason := missing_link(path)):
        return f"no such file: {reason}"
    if error.errno == errno.EDEADLK or getattr(error, "winerror", None) in CLOUD_ERRORS:
        return "the file is only in the cloud; download it first"
    return (error.strerror or str(error)).lower()


def missing_link(path: Path) -> str:
    """Return why the target of a symbolic link does not exist; empty for other paths."""
    try:
        target = os.readlink(path)
    except (OSError, ValueError):
        return ""
    if "annex/objects/" in target.replace("\\", "/"):
        return "its content is not here; run git annex get"
    if "/cache/files/md5/" in target.replace("\\", "/") or ".dvc/" in target.replace("\\", "/"):
        return "its content is not here; run dvc pull"
    return f"it is a link to {target}"
