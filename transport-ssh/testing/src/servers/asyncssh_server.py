"""An SSH server on asyncssh: asyncssh_server.py PORT HOST_KEY AUTHORIZED_KEYS

Runs each command with `sh -c`, and says on stderr where it listens.
"""

import asyncio
import logging
import subprocess
import sys

import asyncssh

PIECE = 32768


async def run(process):
    """One command."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    child = await asyncio.create_subprocess_exec("sh", "-c", process.command, **pipes)
    feeding = asyncio.create_task(carry(process.stdin, child.stdin))
    await asyncio.gather(carry(child.stdout, process.stdout), carry(child.stderr, process.stderr))
    process.exit(await child.wait())
    feeding.cancel()


async def carry(source, sink):
    """Everything from one to the other, also where nobody takes it any more."""
    try:
        while piece := await source.read(PIECE):
            try:
                sink.write(piece)
                await sink.drain()
            except OSError:
                pass
    except (OSError, asyncssh.Error):
        pass
    if isinstance(sink, asyncio.StreamWriter):
        sink.close()


async def serve(port, host_key, authorized_keys):
    server = await asyncssh.listen(
        "127.0.0.1",
        int(port),
        server_host_keys=[host_key],
        authorized_client_keys=authorized_keys,
        process_factory=run,
        encoding=None,
        reuse_address=True,
    )
    print("listening on", server.sockets[0].getsockname()[1], file=sys.stderr, flush=True)
    await asyncio.Event().wait()


logging.basicConfig(level=logging.INFO, format="%(message)s")
asyncio.run(serve(*sys.argv[1:]))
