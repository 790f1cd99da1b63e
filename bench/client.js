// Performs TLS handshakes, eight at once, in a child process. Each message requests a number of handshakes.
import { once } from 'node:events'
import * as net from 'node:net'
import * as tls from 'node:tls'

/**
 * @typedef {object} Handshakes
 * @property {number} port
 * @property {string} host
 * @property {number} count
 * @property {import('node:tls').SecureVersion} [version] Default TLSv1.3
 * @property {'keep' | 'resume'} [session] Whether to keep a session, or to resume the one that was
 *   kept last. Under TLS 1.3 the server must send data, which the client waits for
 */
/**
 * @typedef {object} Totals
 * @property {number} resumed How many handshakes resumed a session
 * @property {number} bytes What the connections sent and received over TCP, from their first to their last byte
 */

/** @type {Buffer | undefined} */
let kept

process.on('message', async (/** @type {Handshakes} */ request) => {
  const { port, host, count, version = 'TLSv1.3' } = request
  const totals = { resumed: 0, bytes: 0 }
  let remaining = count
  const worker = async () => {
    while (remaining-- > 0) {
      const connection = net.connect(port, '127.0.0.1')
      const socket = tls.connect({
        socket: connection,
        servername: host,
        ALPNProtocols: ['http/1.1'],
        minVersion: version,
        maxVersion: version,
        rejectUnauthorized: false,
        ...(request.session === 'resume' && kept && { session: kept }),
      })
      if (request.session === 'keep')
        socket.on('session', (session) => {
          kept = session
        })
      await once(socket, 'secureConnect')
      // The server sends its tickets after the handshake and before its first byte of data.
      if (request.session && version === 'TLSv1.3') await once(socket, 'data')
      if (socket.isSessionReused()) totals.resumed += 1
      socket.end()
      await once(socket, 'close')
      totals.bytes += connection.bytesRead + connection.bytesWritten
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  process.send?.(totals)
})
process.on('disconnect', () => process.exit())
