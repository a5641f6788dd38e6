"""From a path to documents: walk a folder, read one file.

`find_files` walks, `load` reads, `failure` turns what `load` raised into a value for a report.
A new format is one function and one line in `registry.py`.
"""

from onrecord.retrieval.loading.load import failure, load
from onrecord.retrieval.loading.registry import Loaded, Loader, can_load
from onrecord.retrieval.loading.walk import find_files

__all__ = ["Loaded", "Loader", "can_load", "failure", "find_files", "load"]
