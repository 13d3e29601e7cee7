"""An SSH server on paramiko: paramiko_server.py PORT HOST_KEY AUTHORIZED_KEYS

Runs each command with `sh -c`, and says on stderr where it listens.
"""

import logging
import os
import socket
import subprocess
import sys
import threading

import paramiko

PIECE = 32768


class Server(paramiko.ServerInterface):
    """What is allowed on one connection: the user's key, and commands."""

    def __init__(self, authorized):
        self.authorized = authorized

    def get_allowed_auths(self, username):
        return "publickey"

    def check_auth_publickey(self, username, key):
        allowed = key.get_base64() in self.authorized
        return paramiko.AUTH_SUCCESSFUL if allowed else paramiko.AUTH_FAILED

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        threading.Thread(target=run, args=(channel, command), daemon=True).start()
        return True


def run(channel, command):
    """One command."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    child = subprocess.Popen(["sh", "-c", command], bufsize=0, **pipes)
    threading.Thread(target=feed, args=(channel, child.stdin), daemon=True).start()
    outputs = [
        threading.Thread(target=drain, args=(child.stdout, channel.sendall)),
        threading.Thread(target=drain, args=(child.stderr, channel.sendall_stderr)),
    ]
    for output in outputs:
        output.start()
    for output in outputs:
        output.join()
    channel.send_exit_status(child.wait())
    channel.close()


def feed(channel, stdin):
    """What the client sends, until it or the connection has ended, or nobody reads."""
    try:
        while piece := channel.recv(PIECE):
            stdin.write(piece)
    except OSError:
        pass
    stdin.close()


def drain(pipe, send):
    """What the command writes, also where it cannot be sent any more."""
    while piece := os.read(pipe.fileno(), PIECE):
        try:
            send(piece)
        except OSError:
            pass


def serve(port, host_key, authorized_keys):
    key = paramiko.Ed25519Key.from_private_key_file(host_key)
    with open(authorized_keys) as lines:
        authorized = {line.split()[1] for line in lines}
    listener = socket.create_server(("127.0.0.1", int(port)))
    print("listening on", listener.getsockname()[1], file=sys.stderr, flush=True)
    while True:
        connection, _ = listener.accept()
        transport = paramiko.Transport(connection)
        transport.add_server_key(key)
        try:
            transport.start_server(event=threading.Event(), server=Server(authorized))
        except paramiko.SSHException as error:
            print(error, file=sys.stderr, flush=True)


logging.basicConfig(level=logging.INFO, format="%(message)s")
serve(*sys.argv[1:])
