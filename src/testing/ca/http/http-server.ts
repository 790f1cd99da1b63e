import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { ServerCertificate } from '../certificates/types.js'
import type { Reply } from '../endpoints/request.js'
import { Problem, toProblemDocument } from '../messages/problem.js'
import type { AcmeRequest } from './request-handler.js'

const maxBodyBytes = 64 * 1024

/** A listening HTTPS server. */
export interface HttpServer {
  readonly port: number
  /** Destroys every connection, even during its TLS handshake, and stops listening. */
  close(): Promise<void>
}

/**
 * Starts an HTTPS server on 127.0.0.1.
 * @param port TCP port; 0 selects a free one
 */
export async function listen(
  port: number,
  { certificate, privateKey }: ServerCertificate,
  handle: (request: AcmeRequest) => Promise<Reply>,
): Promise<HttpServer> {
  const server = createServer({ cert: certificate, key: privateKey }, (incoming, outgoing) => {
    readAndHandle(incoming, handle).then(
      (reply) => send(outgoing, reply, () => tcpSocketOf(outgoing.socket?.remotePort)),
      // The client broke off its request.
      (error) => outgoing.destroy(error),
    )
  })
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  /** Finds the TCP socket under a TLS connection: only TCP can be reset. */
  const tcpSocketOf = (remotePort: number | undefined) =>
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

async function readAndHandle(
  incoming: IncomingMessage,
  handle: (request: AcmeRequest) => Promise<Reply>,
): Promise<Reply> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of incoming) {
    size += chunk.length
    if (size <= maxBodyBytes) chunks.push(chunk)
  }
  if (size > maxBodyBytes) {
    const body = toProblemDocument(new Problem('malformed', 'The request is too long', { status: 413 }))
    return { status: 413, contentType: 'application/problem+json', body }
  }
  return handle({
    method: incoming.method ?? '',
    path: incoming.url ?? '',
    contentType: incoming.headers['content-type'],
    body: Buffer.concat(chunks).toString(),
  })
}

function send(
  outgoing: ServerResponse,
  { status, headers, contentType, body, breakOff }: Reply,
  tcpSocket: () => Socket | undefined,
): void {
  const text = typeof body === 'object' ? JSON.stringify(body) : body
  if (text !== undefined && contentType !== '')
    outgoing.setHeader('content-type', contentType ?? 'application/json')
  if (breakOff === undefined) {
    outgoing.writeHead(status, headers).end(text)
    return
  }
  // Announce one byte too many, so that even an empty body is incomplete.
  const bytes = Buffer.from(text ?? '')
  outgoing.writeHead(status, { ...headers, 'content-length': bytes.length + 1 })
  outgoing.write(bytes.subarray(0, bytes.length / 2), () => {
    if (breakOff === 'end') outgoing.socket?.end()
    if (breakOff === 'reset') tcpSocket()?.resetAndDestroy()
  })
}
