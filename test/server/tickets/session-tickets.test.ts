import * as https from 'node:https'
import * as tls from 'node:tls'
import { afterEach, describe, expect, test } from 'vitest'
import type { CertManagerOptions } from '../../../src/index.js'
import { parseSeeds } from '../../../src/server/tickets/ticket-seeds.js'
import { makeClientCa } from '../../support/client-ca.js'
import { LockingStore } from '../../support/locking-store.js'
import { MemoryStore } from '../../support/memory-store.js'
import { storedHosts } from '../../support/stored-host.js'
import { listen } from '../../support/tls.js'
import { VirtualClock } from '../../support/virtual-clock.js'

const hour = 3_600_000
const day = 24 * hour
const hosts = ['a.example', 'b.example']
const versions = ['TLSv1.2', 'TLSv1.3'] as const
const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

/** A fleet: machines with a store and a clock in common. */
function openFleet(options: Partial<CertManagerOptions> = {}, store = new LockingStore()) {
  const clock = new VirtualClock(Date.now())
  /** Starts a machine: a manager, and a server that is attached to it. */
  async function machine(server: tls.TlsOptions = {}, own: Partial<CertManagerOptions> = {}) {
    const { manager } = await storedHosts(hosts, { sessionTickets: true, clock, ...options, ...own }, store)
    const { ca } = server
    const listening = https.createServer({ ...manager.tlsOptions(ca ? { ca: ca as string } : {}), ...server })
    listening.on('secureConnection', (socket) => socket.write(String(socket.authorized)))
    listening.on('tlsClientError', () => {})
    closers.push(
      () => manager.close(),
      () => listening.close(),
    )
    const failures: { operation: string; key: string }[] = []
    manager.on('storeFailed', (failure) => failures.push(failure))
    manager.attach(listening)
    return { manager, server: listening, port: await listen(listening), failures }
  }
  /** Waits until servers have the same key for tickets. Who does not get the lock looks again every second. */
  const agree = (...servers: tls.Server[]) =>
    expect
      .poll(() => {
        clock.advance(1_500)
        return new Set(servers.map((server) => server.getTicketKeys().toString('hex'))).size
      })
      .toBe(1)
  return { clock, store, machine, agree }
}

/** Connects; resolves with whether the session was resumed, and the next session. */
async function connect(port: number, options: tls.ConnectionOptions = {}) {
  const socket = tls.connect({
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
  socket.on('error', ({ message }) => {
    error = message
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
  return { isResumed, data, session: session ?? options.session, error }
}

describe.each(versions)('%s: a client', (maxVersion) => {
  test('resumes its session at another machine', async () => {
    const { machine, agree } = openFleet()
    const [one, two] = [await machine(), await machine()]
    await agree(one.server, two.server)
    const first = await connect(one.port, { maxVersion })
    expect(first).toMatchObject({ isResumed: false })
    const second = await connect(two.port, { maxVersion, session: first.session })
    expect(second).toMatchObject({ isResumed: true })
    expect(await connect(one.port, { maxVersion, session: second.session })).toMatchObject({
      isResumed: true,
    })
  })

  test('makes one full handshake after a rotation, and then resumes at every machine', async () => {
    const { machine, agree, clock } = openFleet()
    const [one, two] = [await machine(), await machine()]
    await agree(one.server, two.server)
    const { session } = await connect(one.port, { maxVersion })
    const key = one.server.getTicketKeys()
    clock.advance(12 * hour)
    expect(one.server.getTicketKeys()).not.toEqual(key)
    expect(one.server.getTicketKeys()).toEqual(two.server.getTicketKeys())
    const after = await connect(two.port, { maxVersion, session })
    expect(after).toMatchObject({ isResumed: false })
    expect(await connect(one.port, { maxVersion, session: after.session })).toMatchObject({ isResumed: true })
  })

  test('is served a host that the policy no longer allows until the key is replaced, and no longer', async () => {
    let isAllowed = true
    const { machine, clock } = openFleet({
      hostPolicy: (host) => isAllowed || host === 'b.example',
      memory: { max: 1 },
    })
    const { port } = await machine()
    const { session } = await connect(port, { maxVersion })
    isAllowed = false
    await connect(port, { maxVersion, servername: 'b.example' }) // takes the place in memory
    expect(await connect(port, { maxVersion })).toMatchObject({ isResumed: undefined })
    expect(await connect(port, { maxVersion, session })).toMatchObject({ isResumed: true })
    clock.advance(12 * hour)
    expect(await connect(port, { maxVersion, session })).toMatchObject({ isResumed: undefined })
  })

  test('without a client certificate gets no session that lets it in elsewhere', async () => {
    const clientCa = await makeClientCa('client CA')
    const friend = await clientCa.issue('friend', '0a')
    const { machine, agree } = openFleet({ sessionTickets: { secret: 's'.repeat(32) } })
    const strict = { ca: clientCa.root, requestCert: true }
    // The application's own context must not join what has to be apart.
    for (const sessionIdContext of [undefined, 'own']) {
      const own = sessionIdContext ? { sessionIdContext } : {}
      const open = [await machine(own), await machine({ ca: clientCa.root, ...own })]
      const optional = await machine({ ...strict, rejectUnauthorized: false, ...own })
      const [one, two] = [await machine({ ...strict, ...own }), await machine({ ...strict, ...own })]
      await agree(one.server, two.server)
      for (const other of [...open, optional]) {
        const { session } = await connect(other.port, { maxVersion })
        expect(await connect(one.port, { maxVersion, session })).toMatchObject({ isResumed: undefined })
      }
      const { session } = await connect(one.port, { ...friend, maxVersion })
      expect(await connect(two.port, { maxVersion, session })).toMatchObject({
        isResumed: true,
        data: 'true',
      })
    }
  })
})

describe('the seeds in the store', () => {
  test('are read at start and once a day, written once for all machines, and replaced after a week', async () => {
    const { machine, agree, clock, store } = openFleet()
    const machines = [await machine(), await machine(), await machine()]
    const servers = machines.map(({ server }) => server)
    await agree(...servers)
    // Each machine has one timer, for its next look at the clock; an operation of the store has another.
    const settle = () => expect.poll(() => clock.pending).toBe(machines.length)
    await settle()
    const onTickets = (operations: string[]) => operations.filter((text) => text.includes('acme_tickets'))
    const started = onTickets(store.take())
    expect(started.filter((text) => text === 'put acme_tickets')).toHaveLength(1)
    const first = store.values.get('acme_tickets')
    for (let days = 1; days <= 4; days++) {
      clock.advance(day)
      await settle()
      expect(onTickets(store.take())).toEqual(Array(3).fill('get acme_tickets'))
    }
    expect(store.values.get('acme_tickets')).toEqual(first)
    clock.advance(day)
    // Those who do not get the lock look again every second.
    const seedsRead = () => {
      clock.advance(1_500)
      return onTickets(store.operations).filter((text) => text === 'get acme_tickets').length
    }
    await expect.poll(seedsRead).toBeGreaterThanOrEqual(6)
    await settle()
    expect(onTickets(store.take()).filter((text) => text === 'put acme_tickets')).toHaveLength(1)
    expect(parseSeeds(store.values.get('acme_tickets'))).toMatchObject([...parseSeeds(first), {}])
    await agree(...servers)
  })

  test('a store that is down costs resumption, nothing else, and is asked again', async () => {
    const { machine, agree, clock, store } = openFleet()
    store.before = (_, key) => {
      if (key === 'acme_tickets') throw new Error('down')
    }
    const [one, two] = [await machine(), await machine()]
    await expect.poll(() => two.failures).toMatchObject([{ operation: 'get', key: 'acme_tickets' }])
    const { session } = await connect(one.port)
    expect(await connect(one.port, { session })).toMatchObject({ isResumed: true })
    expect(await connect(two.port, { session })).toMatchObject({ isResumed: false })
    store.before = () => {}
    clock.advance(60_000)
    await agree(one.server, two.server)
  })

  test('a store that refuses writes leaves each machine with keys of its own, which rotate', async () => {
    const { machine, clock, store } = openFleet()
    store.before = (operation, key) => {
      if (operation === 'put' && key === 'acme_tickets') throw new Error('read-only')
    }
    const { server, failures } = await machine()
    await expect.poll(() => failures).toMatchObject([{ operation: 'put', key: 'acme_tickets' }])
    const key = server.getTicketKeys()
    clock.advance(12 * hour)
    expect(server.getTicketKeys()).not.toEqual(key)
  })

  test('are not needed with a secret of your own: nothing is read or written', async () => {
    const secret = 'a secret of at least 32 characters'
    const { machine, store } = openFleet({ sessionTickets: { secret } })
    const [one, two] = [
      await machine(),
      await machine({}, { sessionTickets: { secret: Buffer.from(secret) } }),
    ]
    expect(one.server.getTicketKeys()).toEqual(two.server.getTicketKeys())
    const other = await machine({}, { sessionTickets: { secret: secret.toUpperCase() } })
    expect(other.server.getTicketKeys()).not.toEqual(one.server.getTicketKeys())
    expect(store.operations.join()).not.toContain('acme_tickets')
  })
})

test('attach() keeps the certificate and the options of a server that was not made with tlsOptions()', async () => {
  const clientCa = await makeClientCa('any CA')
  const { key, cert } = await clientCa.issue('a.example', '0a')
  const { manager } = await storedHosts(hosts, { sessionTickets: { secret: 's'.repeat(32) } })
  closers.push(() => manager.close())
  const ports: number[] = []
  for (let count = 0; count < 2; count++) {
    const server = tls.createServer({ key, cert, maxVersion: 'TLSv1.2' }, (socket) => socket.write('x'))
    closers.push(() => server.close())
    manager.attach(server)
    ports.push(await listen(server))
  }
  const [one, two] = ports as [number, number]
  const { session } = await connect(one)
  expect(await connect(two, { session })).toMatchObject({ isResumed: true })
  expect(await connect(one, { minVersion: 'TLSv1.3' })).toMatchObject({ isResumed: undefined })
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

describe('the option sessionTickets', () => {
  const acme = { termsOfServiceAgreed: true, directoryUrl: 'https://127.0.0.1:1/directory' }
  test.each<[string, object, RegExp]>([
    [
      'a store without locks',
      { cache: new MemoryStore() },
      /^CertManager: sessionTickets needs a store with locks/,
    ],
    ['a short secret', { sessionTickets: { secret: 'short' } }, /secret must have at least 32 bytes, not 5$/],
    [
      'a number',
      { sessionTickets: { secret: 7 } },
      /secret must be a string or bytes \(Uint8Array\), not 7$/,
    ],
    ['a word', { sessionTickets: 'yes' }, /^CertManager: sessionTickets must be an object, not a string$/],
    ['a misspelled option', { sessionTickets: { secrets: '' } }, /Did you mean "secret"\?$/],
  ])('%s is a TypeError', async (_, options, message) => {
    const { CertManager } = await import('../../../src/index.js')
    const all = { cache: new LockingStore(), hostPolicy: hosts, acme, sessionTickets: true, ...options }
    expect(() => new CertManager(all as never)).toThrow(message)
    expect(() => new CertManager(all as never)).toThrow(TypeError)
  })

  test('false, and a secret for a store without locks, are accepted', async () => {
    const { manager } = await storedHosts(hosts, { sessionTickets: false })
    closers.push(() => manager.close())
    const other = await storedHosts(hosts, {
      cache: new MemoryStore(),
      sessionTickets: { secret: new Uint8Array(32) },
    })
    closers.push(() => other.manager.close())
  })
})

test('contexts of addContext() are served beside managed certificates', async () => {
  const clientCa = await makeClientCa('any CA')
  const { manager } = await storedHosts(['a.example'])
  const server = tls.createServer(manager.tlsOptions(), (socket) => socket.write('x'))
  closers.push(
    () => manager.close(),
    () => server.close(),
  )
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
