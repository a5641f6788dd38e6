"""The frame of a page that loads nothing and runs nothing: its policy allows its style alone."""

from __future__ import annotations

import base64
import hashlib

from onrecord.notebook import escaped

COLOURS = """
:root{color-scheme:light dark;--ink:#1c1c1c;--dim:#606060;--line:#d4d4d4;--paper:#fff;
--mark:#2f6fdb;--good:#1d7f45;--bad:#c2342e;--warn:#8f5a00;--soft:#f3f4f6}
@media (prefers-color-scheme:dark){:root{--ink:#ececec;--dim:#a4a4a4;--line:#3d3d3d;
--paper:#151515;
--mark:#7aa9f7;--good:#5fc98b;--bad:#f0837d;--warn:#e0ad55;--soft:#202225}}
body{margin:2rem auto;max-width:66rem;padding:0 1rem;font:15px/1.5 system-ui,sans-serif;
color:var(--ink);background:var(--paper);overflow-wrap:break-word}
"""
"""The house's colours, light and dark, and its type: the beginning of a page's style."""


def document(title: str, style: str, inside: str) -> str:
    """A whole page. `title` is a text, `inside` is HTML whose texts are escaped already."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"style-src '{_hash(style)}'\">"
        f"<title>{escaped(title)}</title><style>{style}</style></head>\n"
        f"<body>{inside}</body></html>\n"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
