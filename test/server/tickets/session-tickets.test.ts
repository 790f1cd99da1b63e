import * as tls from 'node:tls'
import { describe, expect, onTestFinished, test } from 'vitest'
import { CertManager } from '../../../src/index.js'
import { parseSeeds } from '../../../src/server/tickets/ticket-seeds.js'
import { TestCa } from '../../../src/testing/index.js'
import { makeClientCa } from '../../support/client-ca.js'
import { LockingStore } from '../../support/locking-store.js'
import { MemoryStore } from '../../support/memory-store.js'
import { storedHosts } from '../../support/stored-host.js'
import { connect, hosts, openFleet } from './fleet.js'

const hour = 3_600_000
const day = 24 * hour
const versions = ['TLSv1.2', 'TLSv1.3'] as const

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

  test('are not written by a machine whose clock differs from the CA’s, which looks again after a minute', async () => {
    const ca = await TestCa.start({ now: () => Date.now() - 2 * hour })
    onTestFinished(() => ca.close())
    const acme = { directoryUrl: ca.directoryUrl, ca: ca.endpointCertificate }
    const { machine, clock, store } = openFleet({
      acme: { termsOfServiceAgreed: true, keyPrefix: '', ...acme },
    })
    await machine()
    const reads = () => store.operations.filter((text) => text === 'get acme_tickets').length
    await expect.poll(() => [reads(), clock.pending]).toEqual([1, 1])
    clock.advance(60_000)
    await expect.poll(reads).toBe(2)
    expect(store.values.has('acme_tickets')).toBe(false)
  })

  test('are not written once their lock is lost', async () => {
    const { machine, store } = openFleet()
    let gets = 0
    store.before = (operation, key) => {
      if (operation === 'get' && key === 'acme_tickets' && ++gets === 3) store.lose('acme_tickets')
    }
    await machine()
    await expect.poll(() => gets).toBeGreaterThanOrEqual(3)
    expect(store.operations.indexOf('put acme_tickets')).toBe(-1)
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
    const acme = { termsOfServiceAgreed: true, directoryUrl: 'https://127.0.0.1:1/directory' } as const
    const others = [
      await machine({}, { sessionTickets: { secret: secret.toUpperCase() } }),
      await machine({}, { acme: { ...acme, keyPrefix: 'other~' } }),
    ]
    for (const { server } of others) expect(server.getTicketKeys()).not.toEqual(one.server.getTicketKeys())
    expect(store.operations.join()).not.toContain('acme_tickets')
  })
})

test('servers with other revocation lists have other keys', async () => {
  const clientCa = await makeClientCa('client CA')
  const { manager } = await storedHosts(hosts, { sessionTickets: { secret: 's'.repeat(32) } })
  onTestFinished(() => manager.close())
  const keysWith = (...crls: string[]) => {
    const options = manager.tlsOptions({ ca: clientCa.root, ...(crls.length > 0 && { crl: crls }) })
    const server = tls.createServer({ ...options, requestCert: true })
    manager.attach(server)
    return server.getTicketKeys().toString('hex')
  }
  const [first, second] = [await clientCa.revoke('0a'), await clientCa.revoke('0a', '0b')]
  expect(keysWith(first)).toBe(keysWith(first))
  expect(new Set([keysWith(), keysWith(first), keysWith(second)]).size).toBe(3)
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
    const all = { cache: new LockingStore(), hostPolicy: hosts, acme, sessionTickets: true, ...options }
    expect(() => new CertManager(all as never)).toThrow(message)
    expect(() => new CertManager(all as never)).toThrow(TypeError)
  })

  test('false, and a secret for a store without locks, are accepted', async () => {
    const { manager } = await storedHosts(hosts, { sessionTickets: false })
    onTestFinished(() => manager.close())
    const other = await storedHosts(hosts, {
      cache: new MemoryStore(),
      sessionTickets: { secret: new Uint8Array(32) },
    })
    onTestFinished(() => other.manager.close())
  })
})
