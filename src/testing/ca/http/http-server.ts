import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { documentOf } from '../authority/background.js'
import type { ServerCertificate } from '../certificates/issued.js'
import type { Reply } from '../endpoints/call.js'
import { Problem } from '../messages/problem.js'
import type { AcmeRequest } from './protocol.js'

const MAX_BODY_BYTES = 64 * 1024

/** An HTTPS server that is listening. */
export interface HttpServer {
  readonly port: number
  /** Ends every connection, also one in the middle of its TLS handshake. */
  close(): Promise<void>
}

/**
 * Listens on 127.0.0.1.
 * @param port TCP port; 0 for a free one
 */
export async function listen(
  port: number,
  { certificate, privateKey }: ServerCertificate,
  answer: (request: AcmeRequest) => Promise<Reply>,
): Promise<HttpServer> {
  const server = createServer({ cert: certificate, key: privateKey }, (incoming, outgoing) => {
    respond(incoming, answer).then(
      (reply) => send(outgoing, reply, () => ofClient(outgoing.socket?.remotePort)),
      // The request could not be read to its end, so there is nobody to answer.
      (error) => outgoing.destroy(error),
    )
  })
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  /** Below TLS, which has no reset. */
  const ofClient = (remotePort: number | undefined) =>
    [...sockets].find((socket) => socket.remotePort === remotePort)
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

async function respond(
  incoming: IncomingMessage,
  answer: (request: AcmeRequest) => Promise<Reply>,
): Promise<Reply> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of incoming) {
    size += chunk.length
    if (size <= MAX_BODY_BYTES) chunks.push(chunk)
  }
  if (size > MAX_BODY_BYTES) {
    const body = documentOf(new Problem('malformed', 'The request is too long', { status: 413 }))
    return { status: 413, contentType: 'application/problem+json', body }
  }
  return answer({
    method: incoming.method ?? '',
    path: incoming.url ?? '',
    contentType: incoming.headers['content-type'],
    body: Buffer.concat(chunks).toString(),
  })
}

function send(
  outgoing: ServerResponse,
  { status, headers, contentType, body, breakOff }: Reply,
  connection: () => Socket | undefined,
): void {
  const text = typeof body === 'object' ? JSON.stringify(body) : body
  if (text !== undefined) outgoing.setHeader('content-type', contentType ?? 'application/json')
  if (breakOff === undefined) {
    outgoing.writeHead(status, headers).end(text)
    return
  }
  // One byte more than there is, so that something is missing of an empty body, too.
  const bytes = Buffer.from(text ?? '')
  outgoing.writeHead(status, { ...headers, 'content-length': bytes.length + 1 })
  outgoing.write(bytes.subarray(0, bytes.length / 2), () => {
    if (breakOff === 'end') outgoing.socket?.end()
    if (breakOff === 'reset') connection()?.resetAndDestroy()
  })
}
