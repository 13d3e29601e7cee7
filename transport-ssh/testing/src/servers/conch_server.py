"""An SSH server on Twisted Conch: conch_server.py PORT HOST_KEY AUTHORIZED_KEYS

Runs each command with `sh -c`, and says on stderr where it listens.
"""

import os
import sys

from twisted.conch import avatar, checkers, interfaces
from twisted.conch.ssh import connection, factory, keys, session, userauth
from twisted.cred import portal
from twisted.internet import reactor
from twisted.python import components, log
from zope.interface import implementer


class User(avatar.ConchUser):
    """Whoever has the key."""

    def __init__(self, name):
        super().__init__()
        self.channelLookup[b"session"] = session.SSHSession


@implementer(interfaces.ISession)
class Commands:
    """What a channel is for."""

    def __init__(self, user):
        self.process = None

    def execCommand(self, protocol, command):
        arguments = [b"sh", b"-c", command]
        self.process = reactor.spawnProcess(protocol, b"/bin/sh", arguments, env=dict(os.environb))

    def eofReceived(self):
        if self.process:
            self.process.closeStdin()

    def closed(self):
        if self.process:
            self.process.loseConnection()

    def getPty(self, *_):
        raise NotImplementedError

    openShell = windowChanged = getPty


@implementer(portal.IRealm)
class Realm:
    def requestAvatar(self, name, mind, *wanted):
        return interfaces.IConchUser, User(name), lambda: None


class Anybody:
    """Keys that any name may log in with."""

    def __init__(self, path):
        self.keys = list(checkers.readAuthorizedKeyFile(open(path, "rb")))

    def getAuthorizedKeys(self, name):
        return self.keys


class Factory(factory.SSHFactory):
    services = {b"ssh-userauth": userauth.SSHUserAuthServer, b"ssh-connection": connection.SSHConnection}

    def __init__(self, host_key, authorized_keys):
        key = keys.Key.fromFile(host_key)
        self.privateKeys = {key.sshType(): key}
        self.publicKeys = {key.sshType(): key.public()}
        self.portal = portal.Portal(Realm(), [checkers.SSHPublicKeyChecker(Anybody(authorized_keys))])

    def getPrimes(self):
        return None


components.registerAdapter(Commands, User, interfaces.ISession)
log.startLogging(sys.stderr, setStdout=False)
port, host_key, authorized_keys = sys.argv[1:]
listening = reactor.listenTCP(int(port), Factory(host_key, authorized_keys), interface="127.0.0.1")
print("listening on", listening.getHost().port, file=sys.stderr, flush=True)
reactor.run()
