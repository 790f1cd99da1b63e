import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A TCP port that stays the same while the test chooses which server answers on it. */
export interface Gate extends AsyncDisposable {
  /** The TCP port on 127.0.0.1 to connect to. */
  readonly port: number
  /** The TCP port on 127.0.0.1 that new connections are forwarded to; undefined: they are destroyed. */
  target: number | undefined
  /** How many connections there have been, destroyed ones included. */
  readonly connections: number
  /** Destroys every connection and stops listening. A second call is harmless. */
  close(): Promise<void>
}

/** Opens a gate on a free port, with no target. */
export async function openGate(): Promise<Gate> {
  const sockets = new Set<Socket>()
  let connections = 0
  let closed: Promise<unknown> | undefined
  // Half-open: the end of one direction is passed on and leaves the other one open.
  const server = createServer({ allowHalfOpen: true }, (client) => {
    connections += 1
    if (gate.target === undefined) {
      client.destroy()
      return
    }
    const upstream = connect({ host: '127.0.0.1', port: gate.target, allowHalfOpen: true })
    join(client, upstream)
    join(upstream, client)
  })

  function join(from: Socket, to: Socket): void {
    sockets.add(from)
    from.pipe(to)
    // A broken or vanished side takes the other one with it, which is all that its peer can be told.
    from.on('error', () => to.destroy())
    from.on('close', () => {
      sockets.delete(from)
      if (!from.readableEnded) to.destroy()
    })
  }

  async function close(): Promise<void> {
    if (closed === undefined) {
      closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
    }
    await closed
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const gate: Gate = {
    port,
    target: undefined,
    get connections() {
      return connections
    },
    close,
    [Symbol.asyncDispose]: close,
  }
  return gate
}
