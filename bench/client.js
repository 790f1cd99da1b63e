// Performs full TLS 1.3 handshakes, eight at once, in a child process. Each message requests a number of handshakes.
import { once } from 'node:events'
import { connect } from 'node:tls'

process.on(
  'message',
  async (/** @type {{ port: number, host: string, count: number }} */ { port, host, count }) => {
    let remaining = count
    const worker = async () => {
      while (remaining-- > 0) {
        const socket = connect({
          host: '127.0.0.1',
          port,
          servername: host,
          ALPNProtocols: ['http/1.1'],
          minVersion: 'TLSv1.3',
          rejectUnauthorized: false,
        })
        await once(socket, 'secureConnect')
        socket.end()
        await once(socket, 'close')
      }
    }
    await Promise.all(Array.from({ length: 8 }, worker))
    process.send?.('done')
  },
)
process.on('disconnect', () => process.exit())
