import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { connect as connectTls } from 'node:tls'
import { createTransport } from 'nodemailer'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import { expect, test } from 'vitest'
import { makeClientCa } from '../support/client-ca.js'
import { handshake } from '../support/tls.js'
import { host, useSite } from './site.js'

const site = useSite()

/** Starts a mail server that accepts all mail. Its certificates are ordered by http-01. */
async function startMailServer(options: SMTPServerOptions = {}) {
  const received: string[] = []
  await site.serveHttp(site.manager.httpHandler())
  const server = new SMTPServer({
    // Without them the server has a default certificate, whose key is public.
    ...{ key: undefined, cert: undefined },
    ...site.manager.tlsOptions(),
    disabledCommands: ['AUTH'],
    onData(stream, _session, callback) {
      text(stream).then((mail) => {
        received.push(mail)
        callback()
      }, callback)
    },
    ...options,
  })
  // Tests look at the client's error.
  server.on('error', () => undefined)
  site.onClose(() => new Promise<void>((resolve) => server.close(resolve)))
  server.listen(0, '127.0.0.1')
  await once(server.server, 'listening')
  return { received, port: site.lead(server.server) }
}

/** Sends a mail with a client that verifies the certificate. */
async function send(port: number, options: object): Promise<void> {
  const transport = createTransport({ host: '127.0.0.1', port, tls: site.client, ...options })
  await transport.sendMail({ from: 'a@client.example', to: `b@${host}`, text: 'hello' })
  transport.close()
}

/** Connects and requests STARTTLS (RFC 3207). Resolves with the socket when the handshake may begin. */
async function startTls(port: number): Promise<{ socket: Socket }> {
  const socket = connect(port, '127.0.0.1')
  await reply(socket, '220')
  socket.write('EHLO client.example\r\n')
  await reply(socket, '250')
  socket.write('STARTTLS\r\n')
  await reply(socket, '220')
  return { socket }
}

/** Reads up to the last line of a reply with this code. */
async function reply(socket: Socket, code: string): Promise<void> {
  let lines = ''
  while (!new RegExp(`^${code} .*\r\n`, 'm').test(lines)) lines += String((await once(socket, 'data'))[0])
}

test('smtp-server receives mail over implicit TLS', async () => {
  const { port, received } = await startMailServer({ secure: true })
  await site.expectOneOrder(port)
  await send(port, { secure: true })
  expect(received).toEqual([expect.stringMatching(/hello\s*$/)])
})

test('smtp-server receives mail after STARTTLS', async () => {
  const { port, received } = await startMailServer()
  await site.expectOneOrder(port, () => startTls(port))
  await send(port, { requireTLS: true })
  expect(received).toEqual([expect.stringMatching(/hello\s*$/)])
})

test('smtp-server serves the certificate of the host under TLS 1.2', async () => {
  const { port } = await startMailServer({ secure: true })
  await site.expectOneOrder(port, async () => ({ maxVersion: 'TLSv1.2' }))
})

test('smtp-server shows no certificate for a name that the policy refuses', async () => {
  const { port } = await startMailServer({ secure: true })
  await expect(handshake(port, 'other.example')).rejects.toMatchObject({
    code: expect.stringMatching(/HANDSHAKE_FAILURE/),
  })
})

test('smtp-server verifies client certificates against the CAs of tlsOptions()', async () => {
  const [own, other] = [await makeClientCa('own CA'), await makeClientCa('other CA')]
  const authorized: boolean[] = []
  const { port } = await startMailServer({
    ...site.manager.tlsOptions({ ca: own.root }),
    secure: true,
    requestCert: true,
    rejectUnauthorized: false,
    onSecure(socket, _session, callback) {
      authorized.push('authorized' in socket && socket.authorized)
      callback()
    },
  })
  for (const ca of [own, other]) {
    const client = { ...(await ca.issue('client', '0a')), host: '127.0.0.1', port, servername: host }
    const socket = connectTls({ ...client, rejectUnauthorized: false })
    await reply(socket, '220')
    socket.destroy()
  }
  expect(authorized).toEqual([true, false])
})

test('smtp-server with requestCert is refused without CAs', async () => {
  const { port } = await startMailServer({ secure: true, requestCert: true })
  await expect(handshake(port, host)).rejects.toMatchObject({
    code: expect.stringMatching(/ECONNRESET|ALERT/),
  })
})
