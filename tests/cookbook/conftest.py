"""Notebooks, executed as their readers execute them: in a folder of their own, without a key and without a network."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

COOKBOOK = Path(__file__).parents[2] / "cookbook"

# Runs before the first cell of a notebook: the kernel may talk to this machine alone.
NO_NETWORK = """
def _loopback_only():
    import socket

    def checked(call, address_of):
        def guarded(*arguments, **options):
            host = address_of(arguments)
            if host not in {"127.0.0.1", "::1", "localhost", None}:
                raise OSError(f"A notebook asked for {host!r}. Notebooks run without a network.")
            return call(*arguments, **options)
        return guarded

    def host_of(arguments):
        return arguments[1][0] if isinstance(arguments[1], tuple) else None

    socket.socket.connect = checked(socket.socket.connect, host_of)
    socket.socket.connect_ex = checked(socket.socket.connect_ex, host_of)
    socket.getaddrinfo = checked(socket.getaddrinfo, lambda arguments: arguments[0])

_loopback_only()
del _loopback_only
"""


@pytest.fixture(scope="session")
def execute(tmp_path_factory, worker_id):
    """Executes a notebook of the cookbook, once, and returns it with its new outputs and the folder that it ran in."""
    # What several workers execute for one run of tests lies where all of them look.
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    @functools.cache
    def execute(name):
        home = shared / name.removesuffix(".ipynb")
        folder, executed = home / "cookbook", home / "executed.ipynb"
        with _alone(home.with_suffix(".lock")):
            if not executed.exists():
                shutil.rmtree(home, ignore_errors=True)
                shutil.copytree(COOKBOOK, folder, ignore=shutil.ignore_patterns("*-data", ".ipynb_checkpoints"))
                nbformat.write(_executed(folder / name), executed)
        return nbformat.read(executed, as_version=4), folder

    return execute


@contextlib.contextmanager
def _alone(file):
    """One process after the other."""
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _executed(path):
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(NO_NETWORK))
    client = NotebookClient(
        notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute(env=_environment(path.parents[1]))
    del notebook.cells[0]
    return notebook


def _environment(home):
    """A home of its own and none of the user's settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TABLESTORE_", "DASHSCOPE_", "JUPYTER", "IPYTHON", "XDG_"))
    }
    # Threads of small matrix products take each other's time where tests run side by side.
    return kept | {"HOME": str(home), "USERPROFILE": str(home), "OPENBLAS_NUM_THREADS": "1"}
