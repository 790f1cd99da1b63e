import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type NetConnectOpts, type Socket } from 'node:net'

/** Starts a relay to a server. While it is cut, it forwards no data, as a pulled cable. */
export async function openRelay(target: NetConnectOpts) {
  const sockets = new Set<Socket>()
  let cut = false
  const server = createServer((near) => {
    const far = connect(target)
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket)
      socket.on('data', (data) => cut || other.write(data))
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        sockets.delete(socket)
        if (!cut) other.destroy()
      })
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const drop = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    cut() {
      cut = true
    },
    mend() {
      drop()
      cut = false
    },
    /** Closes all connections; new ones are forwarded. */
    drop,
    async close() {
      const closed = once(server.close(), 'close')
      drop()
      await closed
    },
  }
}
