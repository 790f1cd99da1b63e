import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, type MockInstance, onTestFinished, test, vi } from 'vitest'
import { CertManager, type CertManagerOptions } from '../../src/index.js'
import { sniCallback } from '../support/managers.js'
import { MemoryStore } from '../support/memory-store.js'
import { StillClock } from '../support/still-clock.js'

const hour = 3_600_000
/** Nothing listens on port 1. */
const directoryUrl = 'https://localhost:1/directory'

let clock: StillClock
let store: MemoryStore
let emitWarning: MockInstance

beforeEach(() => {
  clock = new StillClock()
  store = new MemoryStore()
  emitWarning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
})
afterEach(() => void vi.restoreAllMocks())

/** Opens a manager without listeners, whose CA is unreachable. */
function openManager(options: Partial<CertManagerOptions> = {}) {
  const acme = { termsOfServiceAgreed: true, directoryUrl, keyPrefix: '' } as const
  const manager = new CertManager({ cache: store, hostPolicy: () => true, acme, clock, ...options })
  onTestFinished(() => manager.close())
  return { manager, shake: sniCallback(manager) }
}

/** Returns the warnings since the last call. */
function takeWarnings(): string[] {
  const calls = emitWarning.mock.calls.splice(0) as [string, { type: string; code?: string }][]
  expect(calls.filter(([, { type }]) => type !== 'CertCacheWarning')).toEqual([])
  return calls.map(([text]) => text)
}

const failPolicy = () => {
  throw new Error('no database')
}
const failStore = () => {
  throw new Error('no disk')
}

describe('a failure event without a listener', () => {
  test('causes one warning per host and hour that says what failed and which event to listen to', async () => {
    const { shake } = openManager()
    await shake('a.example')
    // The same failure is also a `handshakeFailed`, now and while the order is postponed.
    await shake('a.example')
    expect(emitWarning.mock.calls[0]?.[1]).toEqual({ type: 'CertCacheWarning', code: 'ERR_ISSUANCE_FAILED' })
    expect(takeWarnings()).toEqual([
      expect.stringMatching(
        /^acme-cert-cache: cannot issue a certificate for "a\.example": .*localhost:1.*\. Listen to "issuanceFailed" to handle this\.$/,
      ),
    ])
    await shake('b.example')
    expect(takeWarnings()).toEqual([expect.stringContaining('"b.example"')])
    clock.advance(hour - 1_000)
    await shake('a.example')
    expect(takeWarnings()).toEqual([])
    clock.advance(1_000)
    clock.advance(100 * 60_000)
    await shake('a.example')
    expect(takeWarnings()).toEqual([expect.stringContaining('"a.example"')])
  })

  test('causes one warning if the store fails, which names the key', async () => {
    const { shake } = openManager()
    store.before = failStore
    await shake('a.example')
    await shake('a.example')
    expect(takeWarnings()).toEqual([
      expect.stringMatching(
        /^acme-cert-cache: store operation "get" for "a\.example" failed: no disk\. Listen to "storeFailed" to handle this\.$/,
      ),
    ])
    // After five failures the circuit breaker rejects further operations, with the error that was reported.
    for (const host of ['b', 'c', 'd', 'e', 'f', 'g']) await shake(`${host}.example`)
    expect(takeWarnings()).toHaveLength(4)
  })

  test('causes one warning for stored bytes that cannot be served', async () => {
    const { manager, shake } = openManager()
    manager.on('issuanceFailed', () => {})
    store.values.set('a.example', Buffer.from('nonsense'))
    await shake('a.example')
    expect(takeWarnings()).toEqual([
      'acme-cert-cache: ignored the certificate stored as "a.example" for "a.example": no private key. Listen to "invalid" to handle this.',
    ])
  })

  test('causes a warning for a failed order although the handshake before it has timed out', async () => {
    // A CA that accepts connections and never answers, as behind some firewalls.
    const server = createServer((socket) => socket.on('error', () => {}))
    await once(server.listen(0, 'localhost'), 'listening')
    onTestFinished(() => void server.close())
    const directoryUrl = `https://localhost:${(server.address() as AddressInfo).port}/directory`
    const { shake } = openManager({ acme: { termsOfServiceAgreed: true, directoryUrl, keyPrefix: '' } })
    const handshake = shake('a.example')
    await once(server, 'connection')
    clock.advance(30_000)
    await handshake
    await expect.poll(() => emitWarning.mock.calls).toHaveLength(2)
    expect(takeWarnings()).toEqual([
      expect.stringMatching(/cannot serve "a\.example": .* within 30 s\. Listen to "handshakeFailed"/),
      expect.stringMatching(/cannot issue a certificate for "a\.example": .*Listen to "issuanceFailed"/),
    ])
  })

  test('causes no warning after close', async () => {
    const { manager, shake } = openManager()
    await manager.close()
    await shake('a.example')
    expect(takeWarnings()).toEqual([])
  })

  test('is one line, whatever the error says', async () => {
    const hostPolicy = () => {
      throw new Error('two\r\nlines\u001b[31m. ')
    }
    const { shake } = openManager({ hostPolicy })
    await shake('a.example')
    expect(takeWarnings()).toEqual([expect.stringMatching(/two lines \[31m\. Listen to/)])
  })
})

test('at most 250 hosts cause a warning in an hour, one more says so, and other kinds of failure have their own limit', async () => {
  let policyFails = true
  const { shake } = openManager({ hostPolicy: () => !policyFails || failPolicy() })
  for (let index = 0; index < 300; index++) await shake(`${index}.example`)
  const warnings = takeWarnings()
  expect(warnings).toHaveLength(251)
  expect(warnings[0]).toMatch(/"0\.example".*no database/)
  expect(warnings[250]).toMatch(/further failures like this are not shown.*"handshakeFailed"/)
  for (let index = 0; index < 300; index++) await shake(`${index}.example`)
  expect(takeWarnings()).toEqual([])
  store.before = failStore
  policyFails = false
  await shake('new.example')
  expect(takeWarnings()).toEqual([expect.stringContaining('Listen to "storeFailed"')])
  policyFails = true
  clock.advance(hour)
  await shake('290.example')
  expect(takeWarnings()).toEqual([expect.stringContaining('"290.example"')])
})

describe('a listener', () => {
  test('silences the warnings of its event, also if it was added later', async () => {
    const { manager, shake } = openManager({ hostPolicy: failPolicy })
    await shake('a.example')
    expect(takeWarnings()).toHaveLength(1)
    const listener = vi.fn()
    manager.on('handshakeFailed', listener)
    clock.advance(hour)
    await shake('a.example')
    await shake('b.example')
    expect(takeWarnings()).toEqual([])
    expect(listener).toHaveBeenCalledTimes(2)
    manager.off('handshakeFailed', listener)
    await shake('a.example')
    expect(takeWarnings()).toEqual([expect.stringContaining('"a.example"')])
  })

  test('that has received an error silences the warnings of the other events with that error', async () => {
    const { manager, shake } = openManager()
    manager.on('storeFailed', () => {})
    store.before = failStore
    await shake('a.example')
    expect(takeWarnings()).toEqual([])
  })

  test('of another event silences nothing', async () => {
    const { manager, shake } = openManager()
    manager.on('served', () => {})
    await shake('a.example')
    expect(takeWarnings()).toHaveLength(1)
  })
})
