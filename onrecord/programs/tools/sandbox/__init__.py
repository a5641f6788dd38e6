"""The sandbox of the tool `python`: a process of its own, walled in by the kernel.

`running` starts it and reads what it says; `readable` is what it sees of the real files; `job`
is what it is asked for. Everything else runs inside of it, before the model's
code does, in an interpreter that imports nothing but the standard library and the modules of this
room: `launcher` (waits, and ends it all), `supervisor` (the first process inside), `program` (runs
the code). The walls: `namespaces`, `landlock`, `seccomp` (with `permitted`), `limits`.
"""
