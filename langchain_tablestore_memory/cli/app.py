"""The commands and their options. What a command does stands in a module of its own."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from langchain_tablestore_memory.core.records import DEFAULT_USER
from langchain_tablestore_memory.errors import ConfigurationError, InvalidArgumentError, TablestoreMemoryError

FAILURE = 1
"""Exit status where the service refused, or could not be reached."""
USAGE_ERROR = 2
"""Exit status of everything that can be mended on the command line."""
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

app = typer.Typer(
    name="tablestore-memory",
    add_completion=False,
    # An error is one line of ours; a traceback, should there be one, Python's own.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Durability(StrEnum):
    """What an acknowledged write survives."""

    full = "full"
    normal = "normal"


def run(arguments: list[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: What follows the command's name; those of the process unless given.

    Returns:
        The exit status. What went wrong has been told in one line on standard error.
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        # A terminal that cannot show Chinese shows question marks, rather than a traceback; so does what is no text.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        status = app(arguments, prog_name="tablestore-memory", standalone_mode=False)
        sys.stdout.flush()
    except (ConfigurationError, InvalidArgumentError) as error:
        return _complain(str(error))
    except TablestoreMemoryError as error:
        return _complain(str(error), FAILURE)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output wants no more of it.
        _drop_output()
        return FAILURE
    except OSError as error:
        # What is left is the disk, such as a full one that the output is sent to.
        _drop_output()
        return _complain(f"Reading or writing failed: {error.strerror or error}.", FAILURE)
    except Exception as error:
        # The option parser raises its own: typer brings or imports them, by version, and their methods stay.
        format_message = getattr(error, "format_message", None)
        if format_message is None:
            raise
        return _complain(format_message())
    return status if isinstance(status, int) else 0


def _drop_output() -> None:
    """Let go of what is still to be flushed at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(message: str, status: int = USAGE_ERROR) -> int:
    print("Error:", " ".join(message.split()), file=sys.stderr)
    return status


def _print_version(wanted: bool) -> None:
    if wanted:
        print(version("langchain-tablestore-memory"))
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit."),
    ] = False,
) -> None:
    """Memory for LangChain, kept in Tablestore: chat, look at it, move it, and serve it locally."""
    if context.invoked_subcommand is None:
        print(context.get_help())


Endpoint = Annotated[
    str | None,
    typer.Option(
        help="Where the data is, as connect() takes it.  [default: TABLESTORE_ENDPOINT, or the user's folder]"
    ),
]
Data = Annotated[Path | None, typer.Option(help="The folder of the embedded engine, in place of --endpoint.")]
User = Annotated[str, typer.Option(help="Whose conversations and memories.")]
Embedding = Annotated[
    str | None,
    typer.Option(help="How memories are found: an embedding model of DashScope, offline, or none (by words)."),
]


@app.command()
def chat(
    *,
    endpoint: Endpoint = None,
    data: Data = None,
    user: User = DEFAULT_USER,
    session: Annotated[
        str | None, typer.Option(help="The conversation to go on with: its id, or 1 for the most recent one.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A model of DashScope, or offline.  [default: qwen-plus where there is a key]")
    ] = None,
    embedding: Embedding = None,
    knowledge: Annotated[
        Path | None, typer.Option(help="A folder of text and Markdown files to look things up in.")
    ] = None,
) -> None:
    """Talk with a model that remembers, on the terminal or through a pipe."""
    from langchain_tablestore_memory.cli import chat as command

    options = command.Options(endpoint, data, user, session, model, embedding, knowledge)
    raise typer.Exit(command.chat(options))


@app.command()
def sessions(
    *,
    endpoint: Endpoint = None,
    data: Data = None,
    user: User = DEFAULT_USER,
    limit: Annotated[int, typer.Option(min=1, help="How many at the most.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON lines.")] = False,
) -> None:
    """List a user's conversations, the most recently active first."""
    from langchain_tablestore_memory.cli.places import open_place
    from langchain_tablestore_memory.cli.session_list import print_sessions

    with open_place(endpoint, data) as connection:
        print_sessions(connection, user, limit=limit, as_json=as_json)


@app.command("export")
def export_(
    file: Annotated[Path | None, typer.Argument(help="The file to write.  [default: standard output]")] = None,
    *,
    endpoint: Endpoint = None,
    data: Data = None,
    user: User = DEFAULT_USER,
    all_users: Annotated[bool, typer.Option("--all-users", help="Of all users, in place of --user.")] = False,
    session: Annotated[str | None, typer.Option(help="Only this conversation, by its id.")] = None,
    memories: Annotated[bool, typer.Option("--memories", help="Memories too.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that exists.")] = False,
) -> None:
    """Write a user's conversations, and on demand memories, as JSON lines from which `import` makes them again."""
    from langchain_tablestore_memory.cli import transfer as command
    from langchain_tablestore_memory.cli.places import open_place

    if all_users and (session is not None or user != DEFAULT_USER):
        raise ConfigurationError("--all-users takes everything. Leave out --user and --session, or --all-users.")
    with open_place(endpoint, data) as connection:
        command.export_to(connection, file, None if all_users else user, session, memories=memories, force=force)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A file that `export` wrote, or - for standard input.")],
    *,
    endpoint: Endpoint = None,
    data: Data = None,
    embedding: Embedding = None,
) -> None:
    """Read what `export` wrote. Lines that are broken are told by their numbers, the rest is kept."""
    from langchain_tablestore_memory.cli import transfer as command
    from langchain_tablestore_memory.cli.chat.models import choose_recall
    from langchain_tablestore_memory.cli.places import open_place

    recall = choose_recall(embedding)
    with open_place(endpoint, data) as connection:
        raise typer.Exit(command.import_from(connection, file, recall))


@app.command()
def init(*, endpoint: Endpoint = None, data: Data = None, embedding: Embedding = None) -> None:
    """Create the tables and indexes that are missing, and verify those that exist."""
    from langchain_tablestore_memory.cli.chat.models import choose_recall
    from langchain_tablestore_memory.cli.places import open_place
    from langchain_tablestore_memory.cli.tables import initialise

    recall = choose_recall(embedding)
    with open_place(endpoint, data) as connection:
        initialise(connection, recall)


@app.command()
def doctor(*, endpoint: Endpoint = None, data: Data = None) -> None:
    """Look at the connection, the tables and their indexes: what is wrong, and how to mend it."""
    from langchain_tablestore_memory.cli import doctor as command
    from langchain_tablestore_memory.cli.places import open_place

    with open_place(endpoint, data) as connection:
        raise typer.Exit(command.doctor(connection))


@app.command()
def serve(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 picks a free one.")] = 8087,
    data: Annotated[
        Path | None, typer.Option(help="The folder to keep data in.  [default: the user's data folder]")
    ] = None,
    memory: Annotated[bool, typer.Option("--memory", help="Keep nothing: all data is gone at the end.")] = False,
    access_key_id: Annotated[
        str | None, typer.Option(help="The access key that clients must use.  [default: local]")
    ] = None,
    access_key_secret: Annotated[str | None, typer.Option(help="The secret of that key.  [default: local]")] = None,
    durability: Annotated[
        Durability,
        typer.Option(help="What a write survives: a power loss too (full), or a crash only (normal)."),
    ] = Durability.full,
    index_delay: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long after a write searches see it, as on the service.")
    ] = 0,
    latency: Annotated[float, typer.Option(min=0, hidden=True, help="Milliseconds to add per request.")] = 0,
) -> None:
    """Serve an embedded Tablestore over HTTP, for any Tablestore SDK."""
    from langchain_tablestore_memory.backends import default_folder
    from langchain_tablestore_memory.cli import serve as command

    if memory and data is not None:
        raise ConfigurationError("--data keeps data and --memory keeps none. Pass one of them.")
    command.serve(
        host=host,
        port=port,
        folder=None if memory else data or default_folder(),
        access_key=command.access_key(access_key_id, access_key_secret),
        durability=durability.value,
        index_delay=index_delay,
        latency=latency / 1000,
    )


@app.command()
def demo(
    *,
    data: Annotated[
        Path | None, typer.Option(help="The folder to keep the conversations in.  [default: a temporary folder]")
    ] = None,
) -> None:
    """Watch a chat that remembers, and reads documents.

    It needs no model and no network: conversations are kept, listed and resumed by a second process, documents are
    searched by meaning and by words, and answers are made of both.
    """
    from langchain_tablestore_memory.cli import demo as command

    raise typer.Exit(command.demo(data))


@app.command("demo-resume", hidden=True)
def demo_resume(*, data: Annotated[Path, typer.Option()]) -> None:
    """The second process of the demonstration."""
    from langchain_tablestore_memory.cli import demo as command

    command.resume(data)
