"""Several processes on one file, and a process that forks."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from pathlib import Path

import pytest
from engine_calls import EVERYTHING, create, get, scan
from tablestore import INF_MAX, INF_MIN

from langchain_tablestore_memory.local.engine import Engine

pytestmark = pytest.mark.slow


@pytest.fixture
def run_python():
    """Starts programs that find the helpers of these tests."""
    places = [str(Path(__file__).parent), *sys.path]
    with ExitStack() as stack:

        def start(code: str, *arguments: object) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                stdin=subprocess.PIPE,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


class TestOneFile:
    WRITER = """
        import sys
        from pathlib import Path
        from langchain_tablestore_memory.local.engine import Engine
        from engine_calls import put, update

        path, partition, count = sys.argv[1:]
        engine = Engine(Path(path), durability="normal")
        for number in range(int(count)):
            put(engine, [("p", partition), ("n", number)], [("d", number)])
            update(engine, [("p", "shared"), ("n", 0)], {"INCREMENT": [("total", 1)]})
        engine.close()
    """

    def test_write_one_file_at_a_time(self, engine, path, run_python):
        create(engine, index="i")
        writers = [run_python(self.WRITER, path, f"w{index}", 100) for index in range(3)]
        for writer in writers:
            _, errors = writer.communicate(timeout=100)
            assert writer.returncode == 0, errors
        assert len(scan(engine, *EVERYTHING)) == 301
        assert get(engine, [("p", "shared"), ("n", 0)]) == {"total": 300}
        bounds = ([("p", bound), ("d", bound), ("n", bound)] for bound in (INF_MIN, INF_MAX))
        assert len(scan(engine, *bounds, "i")) == 300

    def test_open_a_new_file_at_once(self, path, run_python):
        code = """
            import sys
            from pathlib import Path
            from langchain_tablestore_memory.local.engine import Engine

            Engine(Path(sys.argv[1])).close()
        """
        for started in [run_python(code, path) for _ in range(3)]:
            _, errors = started.communicate(timeout=100)
            assert started.returncode == 0, errors


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
class TestFork:
    def test_a_forked_child_has_connections_of_its_own(self, path, run_python):
        code = """
            import os, sys
            from pathlib import Path
            from langchain_tablestore_memory.local.engine import Engine
            from engine_calls import create, get, put

            engine = Engine(Path(sys.argv[1]))
            memory = Engine(None)
            create(engine)
            create(memory)
            put(engine, [("p", "a"), ("n", 0)], [])
            child = os.fork()
            if child == 0:
                for number in range(1, 20):
                    put(engine, [("p", "a"), ("n", number)], [])
                    put(memory, [("p", "a"), ("n", number)], [])
                os._exit(0)
            for number in range(101, 120):
                put(engine, [("p", "a"), ("n", number)], [])
            assert os.waitpid(child, 0)[1] == 0
            assert get(memory, [("p", "a"), ("n", 1)]) is None
            engine.close()
            memory.close()
        """
        started = run_python(code, path)
        _, errors = started.communicate(timeout=100)
        assert started.returncode == 0, errors
        engine = Engine(path)
        assert len(scan(engine, *EVERYTHING)) == 1 + 19 + 19
        engine.close()

    def test_a_forked_child_writes_on_when_its_parent_closes(self, path, run_python):
        """SQLite in the child would take the parent's locks for its own; the parent would not know of the child."""
        code = """
            import os, sys
            from pathlib import Path
            from langchain_tablestore_memory.local.engine import Engine
            from engine_calls import create, put

            engine = Engine(Path(sys.argv[1]))
            create(engine)
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                put(engine, [("p", "a"), ("n", 0)], [])
                sys.stdout.write("begun")
                sys.stdout.close()
                os.read(read, 1)
                for number in range(1, 10):
                    put(engine, [("p", "a"), ("n", number)], [])
                os._exit(0)
            put(engine, [("p", "b"), ("n", 0)], [])
            sys.stdin.read(1)
            engine.close()
            os.write(write, b"x")
            sys.exit(os.waitpid(child, 0)[1])
        """
        started = run_python(code, path)
        assert started.stdout.read(5) == "begun"
        _, errors = started.communicate("x", timeout=100)
        assert started.returncode == 0, errors
        engine = Engine(path)
        assert len(scan(engine, *EVERYTHING)) == 11
        engine.close()

    def test_a_process_forks_while_its_threads_read_and_write(self, path, run_python):
        code = """
            import os, sys, threading
            from pathlib import Path
            from tablestore import INF_MAX, INF_MIN
            from langchain_tablestore_memory.local.engine import Engine
            from engine_calls import create, put, scan

            engine, memory = Engine(Path(sys.argv[1]), durability="normal"), Engine(None)
            create(engine)
            create(memory)
            done = threading.Event()

            def write():
                number = 0
                while not done.is_set():
                    put(engine, [("p", "parent"), ("n", number)], [])
                    put(memory, [("p", "parent"), ("n", 0)], [])
                    number += 1
                sys.stdout.write(str(number))

            def read():
                while not done.is_set():
                    scan(engine, [("p", "parent"), ("n", INF_MIN)], [("p", "parent"), ("n", INF_MAX)])

            threads = [threading.Thread(target=work) for work in (write, read, read)]
            for thread in threads:
                thread.start()
            status = 0
            for name in range(10):
                child = os.fork()
                if child == 0:
                    for number in range(10):
                        put(engine, [("p", f"child {name}"), ("n", number)], [])
                        put(memory, [("p", "child"), ("n", number)], [])
                    os._exit(0)
                status |= os.waitpid(child, 0)[1]
            done.set()
            for thread in threads:
                thread.join()
            engine.close()
            sys.exit(status)
        """
        started = run_python(code, path)
        written, errors = started.communicate(timeout=100)
        assert started.returncode == 0, errors
        engine = Engine(path)
        assert len(scan(engine, *EVERYTHING)) == int(written) + 10 * 10
        engine.close()
