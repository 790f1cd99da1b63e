import { once } from 'node:events'
import { createServer as createHttpServer, request as httpRequest } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { type ConnectionOptions, connect, type DetailedPeerCertificate } from 'node:tls'
import type { CertManager } from '../../src/index.js'

/** Performs a TLS handshake. Rejects with the client's error, such as an alert. */
export async function handshake(
  port: number,
  servername: string | undefined,
  options: ConnectionOptions = {},
) {
  const socket = connect({
    host: '127.0.0.1',
    port,
    ...(servername === undefined ? {} : { servername }),
    rejectUnauthorized: false,
    ...options,
  })
  try {
    await once(socket, 'secureConnect')
    const certificate: DetailedPeerCertificate = socket.getPeerCertificate(true)
    return {
      serialNumber: certificate.serialNumber,
      names: certificate.subjectaltname,
      authorized: socket.authorized,
      alpn: socket.alpnProtocol,
      protocol: socket.getProtocol(),
      keyType: socket.getPeerX509Certificate()?.publicKey.asymmetricKeyType,
    }
  } finally {
    socket.destroy()
  }
}

/**
 * Connects, waits for the server's first data, and closes the connection. Resolves with what the server has sent, the newest
 * session, and the error's code if there was one.
 */
export async function readGreeting(port: number, options: ConnectionOptions = {}) {
  const socket = connect({
    host: '127.0.0.1',
    port,
    servername: 'a.example',
    rejectUnauthorized: false,
    ...options,
  })
  let session: Buffer | undefined
  let data = ''
  let isResumed: boolean | undefined
  let error: string | undefined
  socket.on('error', ({ code }: NodeJS.ErrnoException) => {
    error = String(code)
  })
  socket.on('session', (ticket: Buffer) => {
    session = ticket
  })
  socket.on('data', (text) => {
    data += text
    isResumed = socket.isSessionReused()
    socket.destroy()
  })
  await new Promise((resolve) => socket.once('close', resolve))
  return { isResumed, data, session, error }
}

export async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** Starts a machine of the fleet: its HTTPS server and, with `http`, the HTTP server that responds to http-01. */
export async function startMachine(manager: CertManager, options: { http?: boolean } = {}) {
  const https = createHttpsServer(manager.tlsOptions(), (_req, res) => res.end('hello'))
  // Tests look at the client's error.
  https.on('tlsClientError', () => undefined)
  const http = options.http ? createHttpServer(manager.httpHandler()) : undefined
  return {
    manager,
    tlsServer: https,
    tlsPort: await listen(https),
    httpPort: http && (await listen(http)),
    async close() {
      await manager.close()
      for (const server of [https, http]) {
        server?.closeAllConnections()
        server?.close()
      }
    },
  }
}

export async function get(
  port: number,
  path: string,
  options: { host?: string; method?: string; headers?: Record<string, string> } = {},
) {
  const req = httpRequest({
    host: '127.0.0.1',
    port,
    path,
    method: options.method ?? 'GET',
    headers: { host: options.host ?? 'example.com', ...options.headers },
    agent: false,
  })
  req.end()
  const [res] = await once(req, 'response')
  let body = ''
  for await (const chunk of res) body += chunk
  return { status: res.statusCode as number, body, location: res.headers.location as string | undefined }
}
