"""Save and read checkpoints: one safetensors file is enough to resume, evaluate or predict.

Tensors are named ``model/…``, ``optimizer/<slot>/…`` and ``sums``. Everything else is JSON in the
header of the file. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors

import sepcnn
from sepcnn.atomic_file import replace_file
from sepcnn.config.config import Config, Origin
from sepcnn.errors import CheckpointError, ConfigError, InputError, StorageError
from sepcnn.file_kind import SAFETENSORS, complaint, identify, missing_link, system_error
from sepcnn.language.yaml_reader import parse
from sepcnn.nn.model import Net, build
from sepcnn.training.records import EpochRecord, epoch_from_json, to_json
from sepcnn.training.state import State, check_finite, new_state

FORMAT = 1
HEADER = "sepcnn"
LAST, BEST = "last.safetensors", "best.safetensors"
"""file names of the checkpoints in a run folder"""
SUFFIX = ".safetensors"
RECALIBRATED = "recalibrated"
"""among the facts: the images from which the moving statistics were re-estimated, if they were"""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file, checked."""

    path: Path
    config: Config
    facts: dict[str, Any]
    """about the data: class names, counts, fingerprints, decoder"""
    machine: dict[str, Any]
    step: int
    epochs: list[EpochRecord]
    tensors: dict[str, torch.Tensor]

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.facts["class_names"])

    def net(self) -> Net:
        """The trained model, on the CPU, in inference mode."""
        net = build(self.config.graph(len(self.class_names)))
        self._restore(net.state_dict(), "model/")
        return net.eval()

    def state(self, config: Config, device: torch.device) -> State:
        """The state to continue from. ``config`` may train longer than the stored one."""
        graph = config.graph(len(self.class_names))
        state = new_state(config, graph, device)
        self._restore(state.tensors(), "")
        state.step, state.epochs = self.step, list(self.epochs)
        return state

    @torch.no_grad()
    def _restore(self, targets: dict[str, torch.Tensor], prefix: str) -> None:
        """Copy the stored tensors into ``targets`` by name. Errors: `CheckpointError`."""
        stored = {
            n.removeprefix(prefix): t for n, t in self.tensors.items() if n.startswith(prefix)
        }
        for name, target in targets.items():
            if name not in stored or stored[name].shape != target.shape:
                message = f"{self.path}: the weight '{name}' is missing or of another shape"
                raise CheckpointError(message, "the file was not written for this config")
            target.copy_(stored[name])


def save(
    path: Path, config: Config, facts: dict[str, Any], machine: dict[str, Any], state: State
) -> None:
    """Write a checkpoint; an older file of that name is replaced only by a complete one.

    Errors: `StorageError`; `DivergedError` for weights that are not finite, which are never saved.
    """
    tensors = on_cpu(state.tensors())
    check_finite(state, tensors)
    _write(path, config, facts, machine, state.step, state.epochs, tensors)


def save_recalibrated(path: Path, stored: Checkpoint, net: Net, source: dict[str, Any]) -> None:
    """Write a checkpoint again, with the weights and statistics of ``net`` in place of its own.

    ``source`` describes the images that the statistics come from. It is stored among the facts.
    Errors: `InputError` if the file exists, `StorageError`.
    """
    check_unused(path)
    weights = {f"model/{name}": tensor for name, tensor in net.state_dict().items()}
    tensors = {**stored.tensors, **on_cpu(weights)}
    facts = {**stored.facts, RECALIBRATED: source}
    _write(path, stored.config, facts, stored.machine, stored.step, stored.epochs, tensors)


def check_unused(path: Path) -> None:
    """Check the path of a new checkpoint. Errors: `InputError`."""
    if path.suffix != SUFFIX:
        raise InputError(f"{path} is not the name of a checkpoint", f"end it in {SUFFIX}")
    try:
        if path.exists() or path.is_symlink():
            raise InputError(f"{path} exists already", "choose another file")
        if not path.parent.is_dir():
            raise InputError(f"there is no folder {path.parent}", "make it first")
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise StorageError.of(path, error) from None


def on_cpu(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _write(
    path: Path,
    config: Config,
    facts: dict[str, Any],
    machine: dict[str, Any],
    step: int,
    epochs: list[EpochRecord],
    tensors: dict[str, torch.Tensor],
) -> None:
    origin = config.origin
    header = {
        "format": FORMAT,
        "config": {
            "name": origin.name if origin else "",
            "text": origin.text if origin else "",
            "overrides": list(origin.overrides) if origin else [],
        },
        "resolved": config.resolved(),
        "data": facts,
        "machine": machine,
        "versions": versions(),
        "step": step,
        "epochs": [to_json(record) for record in epochs],
    }
    header["hash"] = content_hash(header, tensors)
    replace_file(path, to_safetensors(tensors, {HEADER: json.dumps(header)}))


def content_hash(header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> str:
    """BLAKE2 hash of the header and of all tensors. safetensors has no checksum of its own."""
    rest = {key: value for key, value in header.items() if key != "hash"}
    digest = hashlib.blake2b(json.dumps(rest, sort_keys=True).encode(), digest_size=16)
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    return {
        "sepcnn": sepcnn.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def read(path: Path) -> Checkpoint:
    """Read and check a file.

    Errors: `CheckpointError` if it is missing, damaged, not a checkpoint, or of a newer format.
    """
    try:
        content = path.read_bytes()  # once: a run may replace the file between two reads
        tensors = from_safetensors(content)
        metadata = metadata_of(content)
    except FileNotFoundError:
        hint = missing_link(path) or "check the path"
        raise CheckpointError(f"there is no checkpoint {path}", hint) from None
    except PermissionError:
        raise CheckpointError(f"{path}: permission denied", "you may not read the file") from None
    except (OSError, SafetensorError, ValueError) as error:
        kind = identify(path)
        if kind and kind != SAFETENSORS:
            hint = "give a run folder or a .safetensors file of a run"
            raise CheckpointError(complaint(path, "a checkpoint"), hint) from None
        message = f"{path}: not a complete checkpoint ({error})"
        raise CheckpointError(message, "it is damaged, or another kind of file") from None
    if HEADER not in metadata:
        message = f"{path}: a safetensors file, but not written by sepcnn"
        raise CheckpointError(message, "give a checkpoint such as last.safetensors of a run")
    header = read_header(path, metadata[HEADER])
    if header.get("hash") != content_hash(header, tensors):
        message = f"{path}: damaged, the content does not match the checksum"
        raise CheckpointError(message, "use another checkpoint of the run")
    try:
        return Checkpoint(
            path=path,
            config=config_of(header),
            facts=dict(header["data"]),
            machine=dict(header["machine"]),
            step=header["step"],
            epochs=[epoch_from_json(line) for line in header["epochs"]],
            tensors=tensors,
        )
    except (KeyError, TypeError, ValidationError, ConfigError) as error:
        message = f"{path}: the header is not valid ({error})"
        raise CheckpointError(message, "it is damaged") from None


def metadata_of(content: bytes) -> dict[str, str]:
    """The metadata of a valid safetensors file: JSON after its length, 8 bytes little-endian."""
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return metadata


def read_header(path: Path, text: str) -> dict[str, Any]:
    """The header in the current format. Errors: `CheckpointError`."""
    try:
        header: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError:
        raise CheckpointError(f"{path}: damaged, the header is not JSON") from None
    version = header.get("format") if isinstance(header, dict) else None
    if not isinstance(version, int):
        raise CheckpointError(f"{path}: damaged, the header has no format number")
    if version > FORMAT:
        message = f"{path}: format {version}, but this sepcnn reads up to format {FORMAT}"
        raise CheckpointError(message, "update sepcnn")
    return header


def config_of(header: dict[str, Any]) -> Config:
    """The resolved config. Every default is stored, so later changes of defaults do not matter."""
    resolved = header["resolved"]
    if "split_rule" not in resolved["data"]:  # an older checkpoint
        resolved = {**resolved, "data": {**resolved["data"], "split_rule": "names"}}
    config = Config.from_resolved(resolved)
    written = header["config"]
    if not written["text"]:
        return config
    node = parse(written["text"], written["name"], look_alikes=True)
    return config.with_origin(
        Origin(written["name"], written["text"], node, tuple(written["overrides"]))
    )


def locate(path: Path, names: Sequence[str] = (BEST, LAST)) -> Path:
    """The checkpoint file for a path: the file itself, or of a run folder the best, else the last.

    ``names`` is another order. Errors: `CheckpointError`.
    """
    try:
        if not path.is_dir():
            if path.suffix in (".yaml", ".yml") and path.exists():
                hint = "give the run folder that sepcnn train printed, as in runs/starter/1"
                raise CheckpointError(f"{path} is a config, not a trained model", hint)
            return path
        for name in names:
            if (path / name).exists():
                return path / name
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise CheckpointError(f"{path}: {system_error(path, error)}", "check the path") from None
    runs = sorted(str(found.parent) for found in path.glob(f"*/{LAST}"))
    hint = f"did you mean {runs[-1]}?" if runs else "give a run folder or a .safetensors file"
    raise CheckpointError(f"{path} holds no checkpoint", hint)
