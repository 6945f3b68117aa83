"""Sorts the image files of a folder into training, validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from pathlib import Path

from sepcnn.data.cache.row_file import DIGEST_BYTES
from sepcnn.data.decoding.opening import check_regular
from sepcnn.data.hold_out import SplitRule, held_out_by_content, held_out_by_names
from sepcnn.data.listing.listing import ImageFile
from sepcnn.data.threads import map_in_threads
from sepcnn.errors import DataError


def split_of(file: ImageFile) -> str:
    """The split of a file; train if the images are not split."""
    return file.split or "train"


def split_files(
    files: Iterable[ImageFile],
    rule: SplitRule,
    share: float,
    split_seed: int,
    digests: Mapping[str, str] | None = None,
) -> dict[str, list[ImageFile]]:
    """The files of each split; ``share`` is held out from train if there is no val split.

    ``digests`` maps paths to digests of the content of files; None: the files are read.
    """
    splits: dict[str, list[ImageFile]] = {}
    for file in files:
        splits.setdefault(split_of(file), []).append(file)
    train = splits.get("train")
    if train is not None and "val" not in splits:
        classes = [file.class_name for file in train]
        if rule == "names":
            held = held_out_by_names([file.key for file in train], classes, share, split_seed)
        elif share:
            found = digests if digests is not None else content_digests(train)
            contents = [found[file.location] for file in train]
            held = held_out_by_content(contents, classes, share, split_seed)
        else:
            held = [False] * len(train)
        splits["train"] = [file for file, out in zip(train, held, strict=True) if not out]
        splits["val"] = list(compress(train, held))
    return splits


def content_digests(files: Sequence[ImageFile]) -> dict[str, str]:
    """Map each path to the digest of the file's content, or of its name if it cannot be read."""
    paths = (file.location for file in files)
    return dict(zip(paths, map_in_threads(_digest, files), strict=True))


def _digest(file: ImageFile) -> str:
    try:
        check_regular(file.path)
        return file_digest(file.path)
    except (OSError, DataError):
        return content_digest(file.name.encode(errors="surrogateescape"))


def content_digest(content: bytes) -> str:
    """BLAKE2 of the content of a file, hexadecimal."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).hexdigest()


def file_digest(path: Path) -> str:
    """As `content_digest`, for a file that need not fit into memory. Errors: OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.blake2b(digest_size=DIGEST_BYTES)
        ).hexdigest()
