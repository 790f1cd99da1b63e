import { createPrivateKey } from 'node:crypto'
import * as tls from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { makeClientCa } from '../support/client-ca.js'
import { storedHosts } from '../support/stored-host.js'
import { listen } from '../support/tls.js'
import { connect, hosts, openFleet } from './tickets/fleet.js'

const hour = 3_600_000

test('attach() keeps the certificate and the options of a server that was not made with tlsOptions()', async () => {
  const clientCa = await makeClientCa('any CA')
  const { key: plain, cert } = await clientCa.issue('a.example', '0a')
  const passphrase = 'of the key'
  const encryption = { format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase } as const
  const key = createPrivateKey(plain).export(encryption)
  const { manager } = await storedHosts(hosts, { sessionTickets: { secret: 's'.repeat(32) } })
  onTestFinished(() => manager.close())
  const ports: number[] = []
  for (let count = 0; count < 2; count++) {
    const server = tls.createServer({ key, cert, passphrase, maxVersion: 'TLSv1.2' }, (socket) =>
      socket.write('x'),
    )
    onTestFinished(() => void server.close())
    manager.attach(server)
    ports.push(await listen(server))
  }
  const [one, two] = ports as [number, number]
  const { session } = await connect(one)
  expect(await connect(two, { session })).toMatchObject({ isResumed: true })
  expect(await connect(one, { minVersion: 'TLSv1.3' })).toMatchObject({ isResumed: undefined })
})

test('attach() again repairs what setSecureContext() of the application has replaced', async () => {
  const { machine, agree, clock } = openFleet({ defaultHost: 'a.example' })
  const [one, two] = [await machine(), await machine()]
  await agree(one.server, two.server)
  await expect.poll(async () => (await connect(two.port, { servername: '' })).isResumed).toBe(false)
  const { session } = await connect(one.port)
  two.server.setSecureContext({})
  expect(await connect(two.port, { session })).toMatchObject({ isResumed: false })
  const { manager, server } = two
  manager.attach(server)
  expect(await connect(two.port, { session })).toMatchObject({ isResumed: true })
  expect(await connect(two.port, { servername: '' })).toMatchObject({ isResumed: false })
  // Node would use the keys of today for ever.
  const keys = two.server.getTicketKeys()
  clock.advance(12 * hour)
  two.server.setSecureContext({})
  expect(two.server.getTicketKeys()).not.toEqual(keys)
})

test('the keys are those of the fleet once a server listens: in a cluster, Node replaces them then', async () => {
  const { manager } = await storedHosts(hosts, { sessionTickets: { secret: 's'.repeat(32) } })
  onTestFinished(() => manager.close())
  const server = tls.createServer(manager.tlsOptions())
  onTestFinished(() => void server.close())
  manager.attach(server)
  const keys = server.getTicketKeys()
  server.setTicketKeys(Buffer.alloc(48))
  await listen(server)
  expect(server.getTicketKeys()).toEqual(keys)
})

test('a second manager keeps the default certificate of the first', async () => {
  const secret = 's'.repeat(32)
  const { machine } = openFleet({ defaultHost: 'a.example', sessionTickets: { secret } })
  const { server, port } = await machine({ requestCert: true, rejectUnauthorized: false })
  await expect.poll(async () => (await connect(port, { servername: '' })).isResumed).toBe(false)
  const { manager } = await storedHosts(hosts, { sessionTickets: { secret: secret.toUpperCase() } })
  onTestFinished(() => manager.close())
  // As if the application had none of its own.
  Object.assign(server, { sessionIdContext: undefined })
  manager.attach(server)
  expect(await connect(port, { servername: '' })).toMatchObject({ isResumed: false })
})

test('after the manager is closed, no session from before is resumed', async () => {
  const { machine, agree } = openFleet()
  const [one, two] = [await machine(), await machine()]
  await agree(one.server, two.server)
  const { session } = await connect(one.port)
  await connect(two.port)
  await two.manager.close()
  expect(await connect(two.port, { session })).toMatchObject({ isResumed: false })
  expect(await connect(one.port, { session })).toMatchObject({ isResumed: true })
  const listeners = two.server.listenerCount('close')
  two.manager.attach(two.server)
  expect(two.server.listenerCount('close')).toBe(listeners)
})

test('a server that is attached twice has one listener, and none after the manager is closed', async () => {
  const { machine } = openFleet({ defaultHost: 'a.example' })
  const { manager, server } = await machine()
  const count = () => server.listenerCount('close')
  const before = count()
  manager.attach(server)
  expect(count()).toBe(before)
  await manager.close()
  expect(count()).toBe(before - 1)
})

test('contexts of addContext() are served beside managed certificates', async () => {
  const clientCa = await makeClientCa('any CA')
  const { manager } = await storedHosts(['a.example'])
  const server = tls.createServer(manager.tlsOptions(), (socket) => socket.write('x'))
  onTestFinished(async () => {
    await manager.close()
    server.close()
  })
  manager.attach(server)
  const own = await clientCa.issue('own', '0a')
  const last = await clientCa.issue('last', '0b')
  server.addContext('*.own.example', tls.createSecureContext(own))
  server.addContext('b.own.example', last)
  const port = await listen(server)
  const served = async (servername: string) => {
    const socket = tls.connect({ host: '127.0.0.1', port, servername, rejectUnauthorized: false })
    await new Promise((resolve) => socket.once('secureConnect', resolve).once('error', resolve))
    const { subject } = socket.getPeerCertificate() ?? {}
    socket.destroy()
    return subject?.CN
  }
  expect(await served('x.own.example')).toBe('own')
  expect(await served('b.own.example')).toBe('last')
  expect(await served('a.example')).toBe('a.example')
  expect(await served('c.example')).toBeUndefined()
})
