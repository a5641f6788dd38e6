"""What a walk leaves out: what `.gitignore` says, hidden things, dependencies, binary files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


class Rules(NamedTuple):
    """The `.gitignore` files in force in a folder, outermost first; the innermost to speak wins."""

    files: tuple[tuple[Path, GitIgnoreSpec], ...] = ()

    @classmethod
    def above(cls, root: Path) -> Rules:
        """The rules that the repository around `root` lays on it.

        None where there is no repository, or where they ignore `root` itself: who names an ignored
        folder means it.
        """
        top = next((folder for folder in root.parents if _exists(folder / ".git")), None)
        if top is None or _exists(root / ".git"):
            return cls()
        rules = cls()
        for part in reversed(root.parents):
            if part == top or top in part.parents:
                rules = rules.inside(part)
                below = root if part == root.parent else part / root.relative_to(part).parts[0]
                if rules.ignores(below, folder=True):
                    return cls()
        return rules

    def inside(self, folder: Path) -> Rules:
        """These rules and those of the folder's own `.gitignore`, if it has one."""
        file = folder / ".gitignore"
        try:
            text = file.read_text("utf-8", errors="replace") if file.is_file() else ""
        except OSError:  # git, too, goes on without a .gitignore that it cannot read
            return self
        return Rules((*self.files, (folder, _spec(text)))) if text.strip() else self

    def ignores(self, path: Path, *, folder: bool) -> bool:
        """Whether the rules leave `path` out."""
        for base, spec in reversed(self.files):
            name = path.relative_to(base).as_posix() + ("/" if folder else "")
            verdict = spec.check_file(name).include
            if verdict is not None:
                return verdict
        return False


def is_hidden(name: str) -> bool:
    """Hidden files and folders, and the lock and backup files that editors leave behind."""
    return name.startswith((".", "~$")) or name.endswith("~")


def is_dependency(folder: Path) -> bool:
    """A folder of other people's code: virtual environments, node_modules, byte code."""
    return folder.name in _DEPENDENCIES or _exists(folder / "pyvenv.cfg")


def is_marker(path: Path) -> bool:
    """A file that is empty by design, such as `__init__.py`: nothing to load, nothing to report."""
    return path.name in _MARKERS and path.stat().st_size == 0


def holds_no_text(path: Path) -> bool:
    """Images, sound, archives, programs: known by their suffix, not worth opening."""
    return path.suffix.lower() in _BINARY_SUFFIXES


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # in a folder that may not be looked into
        return False


def _spec(text: str) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    lines = text.removeprefix("\ufeff").splitlines()
    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        return GitIgnoreSpec.from_lines([line for line in lines if _is_pattern(line)])


def _is_pattern(line: str) -> bool:
    """git passes over a line that is no pattern, where pathspec gives up on the file."""
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True


_DEPENDENCIES = frozenset({"__pycache__", "node_modules", "__MACOSX"})
_MARKERS = frozenset({"__init__.py", "py.typed"})
_BINARY_SUFFIXES = frozenset(
    """
    .7z .a .aac .apk .avi .bin .bmp .br .bz2 .cab .class .dat .db .deb .dll .dmg .dylib .eot .exe
    .faiss .flac .gif .gz .h5 .heic .icns .ico .img .iso .jar .jpeg .jpg .lib .lz4 .m4a .m4v .mkv
    .mov .mp3 .mp4 .mpeg .mpg .npy .npz .o .obj .ogg .onnx .otf .parquet .pickle .pkl .png .psd .pt
    .pth .pyc .pyd .pyo .rar .rpm .safetensors .so .sqlite .sqlite3 .svg .tar .tgz .tif .tiff .ttf
    .wasm .wav .webm .webp .whl .woff .woff2 .wmv .xz .zip .zst
    """.split()
)
