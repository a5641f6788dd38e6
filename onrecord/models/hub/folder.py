"""The facts of a model in a folder: its config.json, its card and its weights' own headers."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from onrecord.errors import UsageError
from onrecord.models.hub.card import (
    ModelFacts,
    Weights,
    filed,
    read_card,
    stated,
    training,
    whole,
    word,
    words,
)


def folder_facts(folder: Path, *, name: str = "", source: str = "") -> ModelFacts:
    """The facts of the model in a folder; its weights are not loaded, only their headers read.

    Raises UsageError where nothing says that a model is there.
    """
    warnings: list[str] = []
    sizes = {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(_files(folder, warnings))
    }
    files = filed(sizes)
    # Much else ends in .bin or .h5; without a config.json those are no model.
    if "config.json" not in sizes and not _ALONE & {each.format for each in files}:
        raise UsageError(
            "there is no model in this folder: neither a config.json nor a weight file",
            where=str(folder),
            cure=" ".join([*(f"{each}." for each in warnings), "Name the folder that holds them."]),
        )
    card = read_card(_text(folder / "README.md", warnings)) if "README.md" in sizes else None
    if card is not None and card.problem:
        warnings.append(f"README.md: {card.problem}")
    config = _config(folder / "config.json", warnings) if "config.json" in sizes else {}
    weights = _weights([folder / path for path in sizes], warnings)
    newest = max((folder / path).stat().st_mtime for path in sizes)
    architectures = words(config.get("architectures"))
    facts: dict[str, Any] = {
        **(stated(card.fields) if card else {}),
        "parameters": sum(each.parameters for each in weights) or None,
        "weights": weights,
        "files": files,
        "architecture": architectures[0] if architectures else word(config.get("model_type")),
        "context": next(filter(None, (whole(config.get(field)) for field in _CONTEXT)), None),
        "training": training(card.text) if card else "",
        "updated": datetime.fromtimestamp(newest, UTC).replace(microsecond=0),
        "as_of": datetime.now(UTC),
        "warnings": tuple(warnings),
    }
    return ModelFacts(name=name or str(folder), source=source or str(folder), **facts)


def _files(folder: Path, warnings: list[str], deeper: bool = True) -> Iterator[Path]:
    """The files of a folder and of the folders in it, where ONNX files and parts of models are;
    not deeper, for it may be anybody's folder."""
    try:
        paths = list(folder.iterdir())
    except OSError as error:
        warnings.append(f"{folder.name or folder} cannot be read: {error.strerror}")
        return
    for path in paths:
        if path.is_file():
            yield path
        elif deeper and path.is_dir() and not path.name.startswith("."):
            yield from _files(path, warnings, deeper=False)


def _config(path: Path, warnings: list[str]) -> dict[str, Any]:
    try:
        config = json.loads(_text(path, warnings) or "{}")
    except (ValueError, RecursionError):
        config = None
    if isinstance(config, dict):
        return config
    warnings.append("config.json is not a JSON object")
    return {}


def _text(path: Path, warnings: list[str]) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST_TEXT).decode("utf-8", "replace")
    except OSError as error:
        warnings.append(f"{path.name} cannot be read: {error.strerror}")
        return ""


def _weights(paths: list[Path], warnings: list[str]) -> tuple[Weights, ...]:
    """What the headers of the safetensors files say, together."""
    parameters: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for path in paths:
        if path.suffix.lower() != ".safetensors":
            continue
        try:
            for dtype, count, size in _header(path):
                parameters[dtype] += count
                taken[dtype] += size
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            warnings.append(f"{path.name} cannot be read: {reason}; it is not counted")
    return tuple(
        Weights(dtype, count, taken[dtype]) for dtype, count in parameters.most_common() if count
    )


def _header(path: Path) -> list[tuple[str, int, int]]:
    """Type, parameters and bytes of each tensor of a safetensors file. Raises ValueError."""
    from huggingface_hub import parse_local_safetensors_file_metadata
    from huggingface_hub.errors import SafetensorsParsingError

    try:
        tensors = parse_local_safetensors_file_metadata(path).tensors.values()
        read = [
            (str(each.dtype), math.prod(each.shape), int(end) - int(begin))
            for each in tensors
            for begin, end in [each.data_offsets]
        ]
    except (SafetensorsParsingError, TypeError, LookupError, AttributeError, RecursionError):
        raise ValueError("its header is damaged") from None
    if sum(size for _, _, size in read) > path.stat().st_size:
        raise ValueError("it is cut off")
    return read


_ALONE = {"safetensors", "gguf", "onnx"}
_CONTEXT = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len")
_LONGEST_TEXT = 2 * 1024 * 1024
