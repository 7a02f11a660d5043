"""`jmem mcp`: carries a stdio client's messages to the daemon and its answers back. Standard library only.

Every message goes out on a connection of its own, from a thread of its own, so answers come back as they are
ready. The daemon keeps nothing about this process: when it dies it is started again and the work goes on.
`threading`, `signal` and `queue` cost twice a bare Python at import; their C halves are all that is needed.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock, start_new_thread

from jmem import wire
from jmem.cli.spec import Command, Option
from jmem.client import Client

try:
    import _signal as signals  # type: ignore[import-not-found]
    from _queue import SimpleQueue
except ImportError:  # not CPython
    import signal as signals
    from queue import SimpleQueue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args
    from jmem.core.errors import JmemError

    Message = dict[str, Any]

COMMAND = Command(
    "mcp",
    "Speak MCP on stdin and stdout, for one program.",
    run="jmem.cli.commands.mcp:run",
    help=(
        "What a program that speaks MCP over stdio runs; `jmem connect` writes it into the program's settings. "
        "It passes messages to the daemon, starts one where none runs, and carries on when the daemon is restarted. "
        "It prints nothing but the protocol, and ends with its input."
    ),
    params=(Option("--client", help="The program's name, as in `jmem clients`.", default="stdio"),),
    examples=(
        ("jmem mcp --client claude", "what Claude Desktop runs"),
        ("jmem mcp --client claude --user work", "the same for another user's memory"),
    ),
    json=False,
)

TRIES = 8
"""A daemon that is killed again and again is started again so many times for one message."""
TIMEOUT = 600.0
"""Seconds to wait for one answer: a tool that asks a language model may take minutes."""
THREADS = 32
"""Messages that are under way at once; the next one waits."""
MAX_LINE_BYTES = 8 * 1024 * 1024 + 256 * 1024
"""What the daemon takes; it would hang up in the middle of a longer one."""
PARSE_ERROR, INVALID_REQUEST, INTERNAL_ERROR = -32700, -32600, -32603
HARMLESS_TOOLS = ("search_memory", "list_memories")


def run(args: Args) -> int:
    """Serve one client until its input ends."""
    relay = Relay(Client(args.home, user=args.user, client=args.client), args.client)
    for number in (signals.SIGTERM, signals.SIGINT):
        signals.signal(number, relay.leave)
    relay.serve()
    return 0


def repeatable(message: Message) -> bool:
    """Whether sending a request again does no harm when the daemon may have acted on it already.

    An equal memory is not stored twice, so an add can be repeated, unless a language model rewrites its text. A
    repeated delete would find nothing and answer that the memories never were.
    """
    if message.get("method") != "tools/call":
        return True
    params = message.get("params")
    if not isinstance(params, dict):
        return False
    if params.get("name") == "add_memories":
        arguments = params.get("arguments")
        return not (isinstance(arguments, dict) and arguments.get("infer"))
    return params.get("name") in HARMLESS_TOOLS


class Relay:
    """One client's conversation: the version its handshake agreed on, and the answers that are still to come."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._target = f"/mcp/{wire.quote(name)}/stdio"
        self._conversation = os.urandom(4).hex()
        self._version = ""
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(THREADS):
            self._free.put(None)
        self._output = allocate_lock()

    def serve(self) -> None:
        """Read messages until the input ends, then wait for the answers that are due."""
        for line in sys.stdin.buffer:
            if line.strip():
                self._take(line)
        for _ in range(THREADS):
            self._free.get()

    def leave(self, *_: object) -> None:
        """End at once, but not in the middle of a line. Only threads write, so the lock can't be this one's already."""
        self._output.acquire(timeout=2)
        os._exit(0)

    def _take(self, line: bytes) -> None:
        self._free.get()
        done = allocate_lock()
        done.acquire()
        start_new_thread(self._work, (line, done))
        if b'"initialize"' in line:
            done.acquire()  # what it agrees on goes with every later message

    def _work(self, line: bytes, done: Any) -> None:
        try:
            answer = self._answer(line)
            if answer is not None:
                self._write(answer + b"\n")
        except Exception:  # noqa: BLE001 (a thread's edge: one message that can't be served must not end the others)
            sys.excepthook(*sys.exc_info())
        finally:
            done.release()
            self._free.put(None)

    def _write(self, line: bytes) -> None:
        with self._output:
            rest = memoryview(line)
            try:
                while rest:
                    rest = rest[os.write(1, rest) :]
            except BrokenPipeError:
                os._exit(0)  # nobody reads any more

    def _answer(self, line: bytes) -> bytes | None:
        """The line that answers a line; None where none is due."""
        try:
            message = wire.loads(line)
        except (ValueError, RecursionError):
            return _error(None, PARSE_ERROR, "Parse error: the line is not JSON")
        if not isinstance(message, dict):
            return _error(None, INVALID_REQUEST, "Invalid request: a line holds one JSON-RPC message")
        due = "method" in message and "id" in message
        if due and len(line) > MAX_LINE_BYTES:
            return _error(message["id"], INVALID_REQUEST, f"a message holds at most {MAX_LINE_BYTES:,} bytes")
        try:
            answer = self._deliver(line, message)
        except Exception as error:
            from jmem.core.errors import JmemError

            if not isinstance(error, JmemError):
                raise
            answer = _failure(message, error) if due else b""
        return answer if due else None

    def _deliver(self, line: bytes, message: Message) -> bytes:
        """The body of the daemon's answer; raises JmemError."""
        for left in reversed(range(TRIES)):
            sent = False
            try:
                connection = self._client.connect()
                reply = wire.exchange(connection, "POST", self._target, self._headers(), line, TIMEOUT)
                sent = True
                body = reply.body()
            except wire.Lost as lost:
                if left and (repeatable(message) or not (sent or lost.sent)):
                    continue
                break
            except TimeoutError:
                raise _unreachable(
                    f"the daemon did not answer within {TIMEOUT:.0f} seconds", "jmem daemon logs"
                ) from None
            return self._understand(message, reply, body)
        raise _unreachable(
            "jmem's daemon stopped before it answered; whether this was done is not known",
            "look with list_memories or search_memory, then do it again if need be",
        )

    def _headers(self) -> str:
        version = f"MCP-Protocol-Version: {self._version}\r\n" if self._version else ""
        return f"{self._client.identity()}X-Jmem-Conversation: {self._conversation}\r\n{version}"

    def _understand(self, message: Message, reply: wire.Answer, body: bytes) -> bytes:
        """The body of an answer, where it is the protocol's; raises the JmemError that any other one stands for."""
        if not body:
            return body
        content = wire.loads(body) if "json" in reply.headers.get("content-type", "") else None
        if not isinstance(content, dict) or "jsonrpc" not in content:
            from jmem.core.errors import from_problem

            problem = {"title": f"the daemon answered {reply.status}", "status": reply.status}
            raise from_problem(content if isinstance(content, dict) else problem)
        if message.get("method") == "initialize" and "result" in content:
            self._version = content["result"]["protocolVersion"]
        if content.get("id") is None and "id" in message:
            return _line({**content, "id": message["id"]})
        return body


def _failure(message: Message, error: JmemError) -> bytes:
    """What the client's model, or its user, is told when the daemon can't be asked."""
    text = f"{error.message}. To mend it: {error.fix}" if error.fix else error.message
    if message.get("method") != "tools/call":
        return _error(message["id"], INTERNAL_ERROR, text)
    result = {"content": [{"type": "text", "text": text}], "isError": True, "resultType": "complete"}
    return _line({"jsonrpc": "2.0", "id": message["id"], "result": result})


def _unreachable(message: str, fix: str) -> JmemError:
    from jmem.core.errors import Unreachable

    return Unreachable(message, fix=fix)


def _error(id: object, code: int, text: str) -> bytes:
    return _line({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": text}})


def _line(message: Message) -> bytes:
    return wire.dumps(message).encode("utf-8", "replace")
