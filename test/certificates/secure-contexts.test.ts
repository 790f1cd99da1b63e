import { beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { SecureContexts, toCertificate } from '../../src/certificates/secure-contexts.js'
import { makeBundle } from '../support/certificates.js'

const day = 86_400_000
const host = 'example.com'
let made: Awaited<ReturnType<typeof makeBundle>>
beforeAll(async () => {
  made = await makeBundle()
})

function open() {
  const faults: string[] = []
  const time = { now: Date.now() }
  const contexts = new SecureContexts({
    now: () => time.now,
    renewBeforeMs: undefined,
    onFault: (faultyHost, fault) => faults.push(`${faultyHost}: ${fault}`),
  })
  const derive = (data: Uint8Array, name = host) => contexts.load(data, name, 'store')
  return { contexts, faults, time, derive }
}

const rubbish = (text: string) => Buffer.from(text)

test('the context of a stored value is created once', () => {
  const { contexts, derive } = open()
  const live = derive(made.data) ?? expect.unreachable()
  expect(live).toMatchObject({ host, serialNumber: made.serialNumber, source: 'store' })
  expect(derive(made.data)).toBe(live)
  expect(contexts.get(made.data)).toBe(live)
  expect(contexts.current(made.data, host)).toBe(live)
  expect(toCertificate(live)).toMatchObject({ host, cert: made.chain })
})

test('equal bytes that are read again return the certificate in memory', () => {
  const { contexts, derive } = open()
  const live = derive(made.data) ?? expect.unreachable()
  const copy = Buffer.from(made.data)
  expect(contexts.load(copy, host, 'store', live)).toBe(live)
  expect(derive(Buffer.from(made.data))).not.toBe(live)
})

test('a certificate is not current for another host, nor after it has expired', () => {
  const { contexts, derive, time } = open()
  const { notAfter } = derive(made.data) ?? expect.unreachable()
  expect(contexts.current(made.data, 'other.example')).toBeUndefined()
  time.now = notAfter - 1
  expect(contexts.current(made.data, host)).toBeDefined()
  time.now = notAfter
  expect(contexts.current(made.data, host)).toBeUndefined()
  expect(derive(made.data)).toBeUndefined()
})

test('bytes that were loaded for their host are a fault for another host', () => {
  const { derive, faults } = open()
  expect(derive(made.data)).toBeDefined()
  expect(derive(made.data, 'other.example')).toBeUndefined()
  expect(faults).toEqual(['other.example: another host'])
})

test('a certificate that is due when the CA issues it waits for its renewal, unlike one from the store', async () => {
  const dates = { notBefore: new Date(2_000 * day), notAfter: new Date(2_090 * day) }
  for (const [source, attemptInMs] of [
    ['acme', (90 * day) / 4],
    ['store', 0],
  ] as const) {
    const { data } = await makeBundle(dates)
    const { contexts, time } = open()
    time.now = 2_080 * day
    const { schedule } = contexts.load(data, host, source) ?? expect.unreachable()
    expect(Math.max(0, schedule.attemptAt - time.now)).toBe(attemptInMs)
  }
})

test('a faulty value is reported once, even when equal bytes are read again', () => {
  const { faults, contexts, derive } = open()
  const data = rubbish('not PEM')
  expect(derive(data)).toBeUndefined()
  expect(derive(data)).toBeUndefined()
  expect(derive(rubbish('not PEM'))).toBeUndefined()
  expect(contexts.get(data)).toBeUndefined()
  expect(faults).toEqual(['example.com: no private key'])
})

test('a different faulty value is reported, and so is the same value for another host', () => {
  const { faults, derive } = open()
  derive(rubbish('one'))
  derive(rubbish('two'))
  derive(rubbish('two'), 'other.example')
  derive(Buffer.from(made.data), 'other.example')
  expect(faults).toEqual([
    'example.com: no private key',
    'example.com: no private key',
    'other.example: no private key',
    'other.example: another host',
  ])
})

test('the faults of the 1,000 most recent hosts are tracked', () => {
  const { faults, derive } = open()
  const hosts = Array.from({ length: 1_001 }, (_, at) => `host-${at}.example`)
  for (const name of hosts) derive(rubbish('one'), name)
  expect(faults).toHaveLength(1_001)
  derive(rubbish('one'), 'host-1.example')
  derive(rubbish('one'), 'host-1000.example')
  expect(faults).toHaveLength(1_001)
  derive(rubbish('one'), 'host-0.example')
  expect(faults).toHaveLength(1_002)
})

test('an unchanged window does not change the renewal time', () => {
  const { contexts, derive } = open()
  const live = derive(made.data) ?? expect.unreachable()
  const own = live.schedule.renewAt
  const window = { start: live.notBefore + 10 * day, end: live.notBefore + 20 * day }
  contexts.setRenewalWindow(live, window)
  const { renewAt } = live.schedule
  expect(live.schedule).toMatchObject({ windowFetched: true, renewAtSource: 'ari' })
  expect(renewAt).toBeGreaterThanOrEqual(window.start)
  expect(renewAt).toBeLessThanOrEqual(window.end)
  contexts.setRenewalWindow(live, { ...window })
  expect(live.schedule.renewAt).toBe(renewAt)
  contexts.setRenewalWindow(live, undefined)
  expect(live.schedule).toMatchObject({ renewAt: own, renewAtSource: 'lifetime' })
})

test.each([0, 0.5, 0.999])(
  'renewal times are spread by serial number, and over a 40th of that range by process: random %f',
  async (random) => {
    vi.spyOn(Math, 'random').mockReturnValue(random)
    onTestFinished(() => void vi.restoreAllMocks())
    const lifetimeMs = 90 * day
    const dates = { notBefore: new Date(2_000 * day), notAfter: new Date(2_090 * day) }
    const { data, serialNumber } = await makeBundle(dates)
    const { derive, time } = open()
    time.now = 2_001 * day
    const { notBefore, schedule } = derive(data) ?? expect.unreachable()
    const bySerialNumber = Number.parseInt(serialNumber.slice(-8), 16) / 2 ** 32
    const spread = ((schedule.renewAt - notBefore) / lifetimeMs - 2 / 3) * 50
    expect(spread).toBeCloseTo((bySerialNumber * 39 + random) / 40, 5)
  },
)
