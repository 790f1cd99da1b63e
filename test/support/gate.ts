import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A TCP proxy on a fixed port, whose target the test can change. */
export interface Gate extends AsyncDisposable {
  /** The TCP port on 127.0.0.1 to connect to. */
  readonly port: number
  /** The TCP port on 127.0.0.1 to which new connections are forwarded; `undefined` destroys them. */
  target: number | undefined
  /** The number of connections so far, including destroyed ones. */
  readonly connections: number
  /** Destroys all connections and stops listening. May be called twice. */
  close(): Promise<void>
}

/** Opens a gate without a target on a free port. */
export async function openGate(): Promise<Gate> {
  const sockets = new Set<Socket>()
  let connections = 0
  let closed: Promise<unknown> | undefined
  // Half-open: the end of one direction leaves the other direction open.
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
    // When one side breaks, so does the other: TCP has no other way to report it.
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
