"""Files for the tests of loading, made on the spot, and the one way to load them."""

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

from onrecord.retrieval.document import Document, Failure, Fields
from onrecord.retrieval.loading import load

REPOSITORY = Path(__file__).parents[2]
SHARED = REPOSITORY.parent / "shared" / "data"


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def one(path: Path, fields: Fields = Fields()) -> Document:  # noqa: B008
    """The single document of a file."""
    (document,) = load(path, fields, "the-id")
    assert isinstance(document, Document)
    return document


def rows(path: Path, fields: Fields = Fields()) -> list[Document]:  # noqa: B008
    return [item for item in load(path, fields, "f") if isinstance(item, Document)]


def failures(path: Path, fields: Fields = Fields()) -> list[str]:  # noqa: B008
    return [item.reason for item in load(path, fields, "f") if isinstance(item, Failure)]


def pdf(*pages: str, info: str = "", trailer: str = "", objects: Iterable[str] = ()) -> bytes:
    """A PDF with a line of text on each page, written by hand."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    bodies = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, page in enumerate(pages):
        shown = f"BT /F1 12 Tf 72 700 Td ({page}) Tj ET" if page else ""
        bodies.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>"
        )
        bodies.append(f"<< /Length {len(shown)} >>\nstream\n{shown}\nendstream")
    bodies += objects
    if info:
        bodies.append(f"<< {info} >>")
        trailer += f" /Info {len(bodies)} 0 R"
    out = io.BytesIO(b"%PDF-1.4\n")
    out.seek(0, io.SEEK_END)
    offsets = []
    for number, body in enumerate(bodies, 1):
        offsets.append(out.tell())
        out.write(f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1"))
    start = out.tell()
    out.write(f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n".encode())
    out.write("".join(f"{offset:010} 00000 n \n" for offset in offsets).encode())
    size = f"/Size {len(bodies) + 1} /Root 1 0 R {trailer}"
    out.write(f"trailer\n<< {size} >>\nstartxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()


def encrypted_pdf() -> bytes:
    """A PDF whose trailer names an encryption dictionary that no empty password opens."""
    key = "00" * 32
    encrypt = f"<< /Filter /Standard /V 1 /R 2 /P -44 /O <{key}> /U <{key}> >>"
    return pdf("secret", objects=[encrypt], trailer=f"/Encrypt 6 0 R /ID [<{key}> <{key}>]")


def archive(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/"), content)
    return out.getvalue()
