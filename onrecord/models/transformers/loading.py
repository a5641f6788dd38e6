"""Where the files of an `hf:` model are, which ones exactly, and how they are loaded.

No code that comes with a model is ever run (`trust_remote_code` stays off).
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from onrecord.errors import (
    MissingExtraError,
    ModelError,
    ModelRefusedError,
    ModelUnavailableError,
    UnknownNameError,
    UsageError,
)
from onrecord.models.http.failures import note

T = TypeVar("T")


class Device(msgspec.Struct, frozen=True):
    """Where a model computes, and in which number format."""

    name: str
    dtype: str


class Source:
    """The files of a model: a folder, or a name on the Hub, at one commit of it.

    A folder is looked at when this is made; the Hub is asked when `version` is first needed.
    Raises MissingExtraError without the extra `hf`, UnknownNameError for a folder that is not there
    or lacks a file.
    """

    def __init__(self, name: str, *, revision: str | None = None) -> None:
        _need_packages()
        self.name = name
        self.where = f"hf:{name}"
        self._revision = revision
        self.folder = _folder(name, self.where)

    @functools.cached_property
    def version(self) -> str:
        """The first 16 digits of a hash of the folder's files, or of the Hub's commit.

        Of a file over 64 MiB its size and 4 KiB of every MiB are read, of others everything: any
        change of a tensor of a MiB changes it. Raises ModelError where the Hub knows no such model.
        """
        return self.commit[:16] if self.folder is None else _identity(self.folder)

    @functools.cached_property
    def commit(self) -> str:
        """The Hub's commit; "" for a folder. Raises ModelError."""
        if self.folder is not None:
            return ""
        from huggingface_hub import hf_hub_download

        with _said_clearly(self.where):
            path = hf_hub_download(self.name, "config.json", revision=self._revision)
        return Path(path).parent.name

    def load(self, load: Callable[..., Any], **options: Any) -> Any:
        """What a `from_pretrained` gives for these files. Raises ModelError."""
        from transformers.utils import logging

        place = {"revision": self.commit} if self.folder is None else {}
        with _LOADING, _said_clearly(self.where):
            # The bars would be drawn over whatever owns the terminal; of missing weights we speak
            # ourselves, and of those that are not used nobody has to.
            shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
            logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
            logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # as above
            try:
                return load(str(self.folder or self.name), **place, **options)
            finally:
                logging.set_verbosity(level)
                if shown:
                    logging.enable_progress_bar()  # type: ignore[no-untyped-call]  # as above

    def load_config(self) -> Any:
        """The model's configuration."""
        from transformers import AutoConfig

        return self.load(AutoConfig.from_pretrained)

    def load_tokenizer(self, **options: Any) -> Any:
        """The model's tokenizer."""
        from transformers import AutoTokenizer

        return self.load(AutoTokenizer.from_pretrained, **options)

    def load_weights(self, auto: Any, device: Device, *, may_lack: tuple[str, ...] = ()) -> Any:
        """A model of the Auto class `auto`, on its device, ready to answer.

        Raises ModelRefusedError where the files hold no weights for a part of it: transformers
        would fill that part with random numbers. `may_lack` are the beginnings of the names of
        parts that are not used.
        """
        import torch

        dtype = device.dtype if device.dtype == "auto" else getattr(torch, device.dtype)
        model, info = self.load(auto.from_pretrained, dtype=dtype, output_loading_info=True)
        lacks = sorted(
            key for key in info["missing_keys"] if not key.startswith(may_lack or ("/",))
        )
        if lacks:
            raise refusal(
                f"the files hold no weights for {lacks[0]}"
                + (f" and {len(lacks) - 1} more" if len(lacks) > 1 else ""),
                self.where,
                "Name a model that was trained for this task.",
            )
        with _said_clearly(self.where):
            return model.to(device.name).eval()

    def read(self, path: str) -> bytes | None:
        """A small file of the model; None where it has none of that name. Raises ModelError."""
        if self.folder is not None:
            file = self.folder / path
            return file.read_bytes() if file.is_file() else None
        from huggingface_hub import errors, hf_hub_download

        with _said_clearly(self.where):
            try:
                found = hf_hub_download(self.name, path, revision=self.commit)
            except errors.EntryNotFoundError:  # not there, or not known to be there while offline
                return None
            return Path(found).read_bytes()

    def read_json(self, path: str, kind: type[T]) -> T | None:
        """What a small JSON file of the model holds; None where there is no such file.

        Raises ModelRefusedError for one that holds something else than a `kind`, ModelError.
        """
        content = self.read(path)
        try:
            return None if content is None else msgspec.json.decode(content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise refusal(
                f"{path} cannot be read: {error}", self.where, "Check the model's files."
            ) from None

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """What changes when a file of the folder is written: names, sizes and times."""
        if self.folder is None:
            return ()
        found = ((path, path.stat()) for path in _files(self.folder))
        return tuple((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in found)


class Shelf(Generic[T]):
    """What was made of a name: one a process, so that weights are loaded once, and another one only
    when a file of its folder changed. The four that were asked for last are kept."""

    def __init__(self, make: Callable[[str], T]) -> None:
        self._make = make
        self._made: OrderedDict[str, tuple[object, T]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, name: str) -> T:
        """What is made of `name`. Raises what making it raises."""
        with self._lock:
            stamp = Source(name).stamp()
            known = self._made.pop(name, None)
            if known is None or known[0] != stamp:
                known = stamp, self._make(name)
            self._made[name] = known
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
            return known[1]


def choose_device(device: str | None, dtype: str | None) -> Device:
    """The device asked for, else the first GPU, else the CPU; in float32 on a CPU and in the
    format of the files elsewhere, where none is asked for. Raises UsageError."""
    import torch

    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UsageError(
            f"there is no device '{name}' here",
            cure="Use cpu, or cuda, cuda:1, mps where torch sees one.",
        ) from None
    kind = getattr(torch, dtype or "float32", None)
    if dtype is not None and not (isinstance(kind, torch.dtype) and kind.is_floating_point):
        raise UsageError(
            f"there is no number format '{dtype}' to compute in",
            cure="Use float32, bfloat16 or float16.",
        )
    return Device(name, dtype or ("float32" if torch.device(name).type == "cpu" else "auto"))


def context_of(config: Any, tokenizer: Any) -> int | None:
    """How many tokens a model reads, as its files say; None where they do not."""
    text = config.get_text_config(encoder=bool(getattr(config, "is_encoder_decoder", False)))
    said = [getattr(each, field, None) for each in (config, text) for field in _CONTEXT]
    said.append(tokenizer.model_max_length)
    counts = [count for count in said if isinstance(count, int) and 0 < count < _UNSAID]
    return min(counts, default=None)


def refusal(what: str, where: str, cure: str = "") -> ModelRefusedError:
    """The error of a request that nothing was computed for."""
    return note(ModelRefusedError(what, where=where, cure=cure), sent=False)


def _need_packages() -> None:
    if any(importlib.util.find_spec(name) is None for name in ("torch", "transformers")):
        raise MissingExtraError(
            "models that run in this process need torch and transformers",
            cure="Install them with `pip install 'onrecord[hf]'`.",
        )


def _folder(name: str, where: str) -> Path | None:
    """The folder of a name, None for a name on the Hub."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if name.startswith((".", "~", os.sep)) or name.count("/") > 1 or "\\" in name:
            raise UnknownNameError(
                "there is no such folder", where=where, cure="Name the folder of a model."
            )
        if not all(part and not part.startswith((".", "-")) for part in name.split("/")):
            raise UnknownNameError(
                "this is neither a folder nor a name on the Hub",
                where=where,
                cure="A name on the Hub looks like OWNER/NAME.",
            )
        return None
    lacks = [
        what
        for what, names in _NEEDED.items()
        if not any(path.name in names for path in folder.iterdir())
    ]
    if lacks:
        raise UnknownNameError(
            f"the model's folder lacks {' and '.join(lacks)}",
            where=where,
            cure="Copy all files of the model into it.",
        )
    _check_shards(folder, where)
    return folder


def _check_shards(folder: Path, where: str) -> None:
    """Whether the files that an index of the weights names are there."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return
    try:
        shards = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return  # it is said when the weights are loaded
    lacks = sorted(shard for shard in shards if not (folder / str(shard)).is_file())
    if lacks:
        raise UnknownNameError(
            f"the model's folder lacks {lacks[0]}, one of {len(shards)} files of its weights",
            where=where,
            cure="Copy all files of the model into it.",
        )


def _files(folder: Path) -> list[Path]:
    """The files of a model: those of the folder, and of sentence-transformers' parts in it."""
    parts = (path for path in folder.glob("[0-9]_*/*") if path.is_file())
    return sorted([*parts, *(path for path in folder.iterdir() if path.is_file())])


def _identity(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in _files(folder):
        if path.suffix.lower() == ".md" or path.name.startswith("."):
            continue  # what is written about a model changes no answer
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            content = hashlib.sha256()
            if size <= _READ_WHOLE:
                content.update(file.read())
            else:
                for start in range(0, size, _EVERY):
                    file.seek(start)
                    content.update(file.read(_SAMPLE))
        whole.update(
            f"{path.relative_to(folder).as_posix()} {size} {content.hexdigest()}\n".encode()
        )
    return whole.hexdigest()[:16]


@contextmanager
def _said_clearly(where: str) -> Iterator[None]:
    """Errors of transformers and of the Hub's client, in one sentence each."""
    try:
        yield
    except (ModelError, UsageError):
        raise
    except Exception as error:  # files can be wrong in any way
        raise _clear(error, where) from error


def _clear(error: Exception, where: str) -> ModelError:
    import httpx2
    from huggingface_hub import errors

    name = where.partition(":")[2]
    if isinstance(error, errors.GatedRepoError):
        cure = f"Accept its terms at https://huggingface.co/{name}, and set HF_TOKEN."
        return refusal("the model is gated, and no key that may read it is set", where, cure)
    if isinstance(error, errors.RevisionNotFoundError):
        return refusal("the model has no such revision", where)
    if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
        cure = "Look for it with `onrecord models search`; a private one needs HF_TOKEN."
        return refusal("there is no such model on the Hub", where, cure)
    offline = errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled | httpx2.TransportError
    if isinstance(error, offline):
        away = ModelUnavailableError(
            "the Hub cannot be reached, and the model is not on this machine",
            where=where,
            cure="Go online (HF_HUB_OFFLINE must not be set), or name a folder.",
        )
        return note(away, sent=False)
    if isinstance(error, errors.EntryNotFoundError):
        return refusal("the model has no config.json: it is not made for transformers", where)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return refusal("there is not enough memory for this model", where)
    said = " ".join(str(error).split())
    if "trust_remote_code" in said:
        return refusal("the model comes with code of its own, which is not run", where)
    if "not recognize this architecture" in said or "Unrecognized model" in said:
        kind = re.search(r"model type `([^`]+)`", said)
        what = f"the architecture '{kind[1]}'" if kind else "the architecture of this config.json"
        cure = "Install a newer one, or name another model."
        return refusal(f"the installed transformers does not know {what}", where, cure)
    if "Unrecognized configuration class" in said:
        return refusal("models of this architecture are not made for this task", where)
    if "ignore_mismatched_sizes" in said:
        what = "the weights have other shapes than config.json says"
        return refusal(what, where, "Copy all files of one model into the folder.")
    reason = f"{type(error).__name__}: {said[:200]}" if said else type(error).__name__
    return refusal(f"the model cannot be loaded: {reason}", where, "Check the model's files.")


# transformers' settings for the span of a load are the whole process's.
_LOADING = threading.RLock()
_KEPT = 4
_CONTEXT = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "max_sequence_length",
    "max_source_positions",
    "max_encoder_position_embeddings",
)
_UNSAID = 10_000_000  # a tokenizer that knows no length says 10**30
_NEEDED = {
    "config.json": {"config.json"},
    "weights (model.safetensors)": {
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    },
    "a tokenizer (tokenizer.json)": {
        "tokenizer.json",
        "tokenizer.model",
        "spiece.model",
        "sentencepiece.bpe.model",
        "vocab.txt",
        "vocab.json",
        "source.spm",
        "tokenizer_config.json",
    },
}
_READ_WHOLE, _EVERY, _SAMPLE = 64 << 20, 1 << 20, 4 << 10
