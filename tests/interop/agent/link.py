"""A TCP relay in front of one of the agent's ports whose connections can be cut.

To the gateway, a cut link is an agent that dies in the middle of an answer:
`fin` ends the connection as if the process had exited, `rst` as if the host had gone.
"""

import asyncio
import socket
import struct


class Link:
    """Relays connections to a local port until told to cut them."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._clients: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def listen(self) -> int:
        """Starts to relay and returns the port."""
        self._server = await asyncio.start_server(self._relay, '127.0.0.1', 0)
        return self._server.sockets[0].getsockname()[1]

    def cut(self, how: str) -> int:
        """Cuts every open connection and returns how many there were."""
        clients = list(self._clients)
        for client in clients:
            if how == 'rst':
                linger = struct.pack('ii', 1, 0)
                client.get_extra_info('socket').setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                client.transport.abort()
            else:
                client.close()
        return len(clients)

    async def _relay(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._clients.add(client)
        try:
            agent_reader, agent = await asyncio.open_connection('127.0.0.1', self._target_port)
            try:
                await asyncio.gather(pump(reader, agent), pump(agent_reader, client))
            finally:
                agent.close()
        except OSError:
            pass  # either side may vanish: that is what a link is for
        finally:
            self._clients.discard(client)
            client.close()


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copies one direction, as it comes, and passes its end on."""
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    if not sink.is_closing():
        sink.write_eof()
