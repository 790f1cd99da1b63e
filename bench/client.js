// Makes full TLS 1.3 handshakes when told to, in a process of its own.
import { once } from 'node:events'
import { connect } from 'node:tls'

process.on(
  'message',
  async (/** @type {{ port: number, host: string, count: number }} */ { port, host, count }) => {
    let left = count
    const work = async () => {
      while (left-- > 0) {
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
    await Promise.all(Array.from({ length: 8 }, work))
    process.send?.('done')
  },
)
process.on('disconnect', () => process.exit())
