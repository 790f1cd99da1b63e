import { Agent, type AgentOptions } from 'node:https'
import { syncBuiltinESMExports } from 'node:module'
import type { LookupFunction } from 'node:net'
import tls from 'node:tls'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { CertManagerOptions } from '../../src/index.js'
import { TestCa } from '../../src/testing/index.js'
import { day, impatient, useManagers } from '../support/managers.js'
import { handshake } from '../support/tls.js'

// A shortage that is over leaves nothing broken.

const t = useManagers()
const minute = 60_000

const { createSecureContext } = tls
/** Replaces the function for every importer. */
function setContexts(create: typeof createSecureContext) {
  tls.createSecureContext = create
  syncBuiltinESMExports()
}
/** Fails for servers; clients continue, among them that of the CA. */
const fail: typeof createSecureContext = (options) => {
  if (!options?.key) return createSecureContext(options)
  throw Object.assign(new Error('malloc failure'), { code: 'ERR_OSSL_MALLOC_FAILURE' })
}

/** Settles as the last of two attempts: a CA that has lost the account refuses one order. The shortage has ended. */
async function recovered<T>(attempt: () => Promise<T>): Promise<T> {
  t.clock.jump(2.5 * minute)
  return attempt().catch(() => {
    t.clock.jump(2.5 * minute)
    return attempt()
  })
}

interface Shortage {
  begin(): Promise<void> | void
  end(): Promise<void> | void
}

/**
 * Expects a first order, and then a renewal, to fail during the shortage, to record nothing about the host in the
 * store, and to succeed within 5 minutes after the shortage. What is in memory is served all the time.
 */
async function expectRecovery(options: Partial<CertManagerOptions>, { begin, end }: Shortage) {
  const { manager, tlsPort, events } = await t.machine({ ...options, clock: impatient(t.clock) })
  const expectNothingStored = () =>
    expect([...t.store.values.keys()].filter((key) => key.endsWith('+failure'))).toEqual([])
  const served = await manager.getCertificate('b.example')

  await begin()
  await expect(manager.getCertificate('a.example')).rejects.toMatchObject({ code: /^ERR_/ })
  expect((await handshake(tlsPort, 'b.example')).serialNumber).toBe(served.serialNumber)
  expectNothingStored()
  await end()
  const first = await recovered(() => manager.getCertificate('a.example'))
  expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber: first.serialNumber })
  expectNothingStored()

  await begin()
  t.clock.jump(62 * day)
  expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber: first.serialNumber })
  await expect.poll(() => events.renewalFailed?.map(({ host }) => host)).toContain('a.example')
  expectNothingStored()
  await end()
  // Other hosts are renewed as well.
  const count = (list: readonly { host: string }[] = []) =>
    list.filter(({ host }) => host === 'a.example').length
  await recovered(async () => {
    const failed = count(events.renewalFailed)
    await expect.poll(() => count(events.renewed) > 0 || count(events.renewalFailed) > failed).toBe(true)
    expect(count(events.renewed)).toBe(1)
  })
  const renewed = (await handshake(tlsPort, 'a.example')).serialNumber
  expect(renewed).not.toBe(first.serialNumber)
  expectNothingStored()

  // Another machine reads what is stored.
  const other = await t.machine({ ...options, clock: impatient(t.clock) })
  await expect.poll(() => t.store.values.has('a.example')).toBe(true)
  expect((await other.manager.getCertificate('a.example')).serialNumber).toBe(renewed)
}

describe('orders and renewals succeed within 5 minutes, and nothing is stored about the host, after', () => {
  test('the host name of the CA did not resolve', async () => {
    let isResolved = true
    const lookup: LookupFunction = (hostname, _, callback) => {
      const error = Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' })
      process.nextTick(callback, error, '', 4)
    }
    class NamingAgent extends Agent {
      override createConnection(options: AgentOptions, callback: () => void) {
        const unknown = isResolved ? {} : { host: 'ca.test.example', lookup }
        return super.createConnection({ ...options, ...unknown }, callback)
      }
    }
    // Without kept-alive connections, every request needs the name.
    const agent = new NamingAgent({ keepAlive: false })
    await expectRecovery(
      { acme: { ...t.acme, agent } },
      {
        begin() {
          isResolved = false
        },
        end() {
          isResolved = true
        },
      },
    )
  })

  test('there was no memory for TLS contexts', async () => {
    onTestFinished(() => setContexts(createSecureContext))
    await expectRecovery({}, { begin: () => setContexts(fail), end: () => setContexts(createSecureContext) })
  })

  test('every operation of the store failed', async () => {
    await expectRecovery(
      {},
      {
        begin() {
          t.store.before = () => Promise.reject(new Error('down'))
        },
        end() {
          t.store.before = () => {}
        },
      },
    )
  })

  test('the CA was down, and has lost its accounts and orders', async () => {
    const port = Number(new URL(t.ca.directoryUrl).port)
    const { ca: _, ...acme } = t.acme
    // Its next endpoint certificate is another.
    const agent = new Agent({ keepAlive: true, rejectUnauthorized: false })
    onTestFinished(() => agent.destroy())
    await expectRecovery(
      { acme: { ...acme, agent } },
      {
        begin: () => t.ca.close(),
        async end() {
          const { tlsPort, httpPort } = t.ca
          t.ca = await TestCa.start({ port, tlsPort, httpPort, now: t.clock.now })
        },
      },
    )
  })
})

describe('without memory for TLS contexts', () => {
  test('an issued certificate does not count as a failure of the host', async () => {
    onTestFinished(() => setContexts(createSecureContext))
    const { manager } = await t.machine({ clock: impatient(t.clock) })
    setContexts((options) => (t.ca.issued.length > 0 ? fail(options) : createSecureContext(options)))
    await manager.getCertificate('a.example').catch(() => undefined)
    expect([...t.store.values.keys()].filter((key) => key.endsWith('+failure'))).toEqual([])
  })

  test('a stored certificate is not ordered again', async () => {
    onTestFinished(() => setContexts(createSecureContext))
    const first = await t.machine()
    const { serialNumber } = await first.manager.getCertificate('a.example')
    await expect.poll(() => t.store.values.has('a.example')).toBe(true)
    const second = await t.machine({ clock: impatient(t.clock) })
    let failures = 0
    setContexts((options) =>
      options?.key && failures++ === 0 ? fail(options) : createSecureContext(options),
    )
    await second.manager.getCertificate('a.example').catch(() => undefined)
    expect(failures).toBeGreaterThan(0)
    setContexts(createSecureContext)
    expect(t.ca.counts.orders).toBe(1)
    t.clock.jump(5 * minute)
    expect(await second.manager.getCertificate('a.example')).toMatchObject({ serialNumber })
  })
})
