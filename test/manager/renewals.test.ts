import { expect, test } from 'vitest'
import type { Host } from '../../src/certificates/hostname.js'
import type { LiveCertificate } from '../../src/certificates/live-certificate.js'
import { RenewalSchedule } from '../../src/certificates/renewal-schedule.js'
import type { RenewalTimes } from '../../src/certificates/renewal-time.js'
import { HostError, IssuanceError } from '../../src/index.js'
import { Attempts } from '../../src/issuance/attempts.js'
import { OrderBudget } from '../../src/issuance/order-budget.js'
import { CaStore } from '../../src/issuance/store/ca-store.js'
import type { CertificateService } from '../../src/manager/certificate-service.js'
import { Renewals } from '../../src/manager/renewals.js'
import { certId, host as hostOf, occasion } from '../support/cert-id.js'
import { MemoryStore } from '../support/memory-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

const minute = 60_000
const hour = 60 * minute
const hosts = (count: number) => Array.from({ length: count }, (_, index) => hostOf(`h${index}.example`))

/** Memory for `max` certificates of this lifetime, a store that never fails, and a CA that issues at once. */
function world({ lifetimeMs, max }: { lifetimeMs: number; max: number }) {
  const clock = new VirtualClock()
  const stored = new Map<string, LiveCertificate>()
  const memory = new Map<string, LiveCertificate>()
  const reads: string[] = []
  const orders: { host: string; left: number }[] = []
  const attempts = new Attempts({
    store: new CaStore(new MemoryStore(), '', clock),
    clock,
    max: 1_000,
    onFailed: () => {},
  })
  const renewalTimes: Pick<RenewalTimes, 'of'> = {
    of: ({ notBefore }) => ({ at: notBefore + (lifetimeMs * 2) / 3, source: 'lifetime' }),
  }
  const keep = (live: LiveCertificate) => {
    memory.delete(live.id.name)
    memory.set(live.id.name, live)
    const [oldest] = memory.keys()
    if (memory.size > max) memory.delete(oldest as string)
    return live
  }
  const order = (host: Host) => {
    const now = clock.now()
    orders.push({ host, left: (stored.get(host)?.notAfter ?? now) - now })
    const facts = { serialNumber: orders.length.toString(16), notBefore: now, notAfter: now + lifetimeMs }
    const schedule = new RenewalSchedule(lifetimeMs, renewalTimes.of(facts), now, true)
    const live = { id: certId(host), ...facts, schedule } as LiveCertificate
    stored.set(host, live)
    return keep(live)
  }
  const certificates: Pick<CertificateService, 'live' | 'find' | 'obtain' | 'refresh' | 'renew'> = {
    *live() {
      yield* [...memory.values()].filter(({ notAfter }) => clock.now() < notAfter)
    },
    async find(host) {
      reads.push(host)
      const live = memory.get(host) ?? stored.get(host)
      return live && clock.now() < live.notAfter ? keep(live) : undefined
    },
    obtain: async (host) => order(host),
    refresh: async ({ name }) => memory.get(name),
    async renew(live) {
      attempts.renewalStarted(live)
      order(hostOf(live.id.name))
    },
  }
  const closing = new AbortController()
  const renewals = new Renewals({
    certificates: certificates as CertificateService,
    attempts,
    budget: new OrderBudget(clock),
    renewalTimes: renewalTimes as RenewalTimes,
    renewalWindow: async () => undefined,
    clock,
    closing: closing.signal,
  })
  /** Advances the clock minute by minute, and lets the work of each minute finish. */
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += minute) {
      clock.advance(minute)
      for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate)
    }
  }
  return { renewals, certificates, attempts, clock, closing, reads, orders, pass }
}

test('short-lived certificates that memory has no room for are renewed before they expire', async () => {
  const { renewals, orders, pass } = world({ lifetimeMs: hour, max: 1 })
  const names = ['a.example', 'b.example', 'c.example'].map(hostOf)
  expect(await renewals.keepRenewed(names)).toEqual([])
  await pass(24 * hour)
  for (const host of names) {
    const renewed = orders.filter((order) => order.host === host).slice(1)
    expect(renewed.length).toBeGreaterThan(24)
    for (const { left } of renewed) expect(left).toBeGreaterThan(0)
  }
})

test('hosts that are queued for an order are not read from the store while they wait', async () => {
  const { renewals, reads, orders, pass } = world({ lifetimeMs: 90 * 24 * hour, max: 1_000 })
  const kept = renewals.keepRenewed(hosts(250))
  await pass(hour)
  expect(orders.length).toBeGreaterThan(160)
  expect(reads.length).toBeLessThan(250 + 3 * orders.length)
  await pass(2 * hour)
  expect(await kept).toEqual([])
  expect(orders).toHaveLength(250)
})

const rateLimited = new IssuanceError('ERR_ISSUANCE_FAILED', 'too many', {
  problem: { type: 'urn:ietf:params:acme:error:rateLimited', status: 429 },
})

test('after a rateLimited error the rest of the burst is dropped: one order every 54 s', async () => {
  const { renewals, certificates, orders, pass } = world({ lifetimeMs: 90 * 24 * hour, max: 1_000 })
  const { obtain } = certificates
  certificates.obtain = () => Promise.reject(rateLimited)
  expect(await renewals.keepRenewed([hostOf('limited.example')])).toEqual([rateLimited])
  certificates.obtain = obtain
  const kept = renewals.keepRenewed(hosts(20))
  await pass(10 * minute)
  expect(orders.length).toBeGreaterThan(5)
  expect(orders.length).toBeLessThanOrEqual(11)
  await pass(20 * minute)
  expect(await kept).toEqual([])
})

/** Returns how often an ensured host is read whose `find` rejects with `error`. */
async function readsOf(error: Error, ms: number) {
  const { renewals, certificates, reads, pass } = world({ lifetimeMs: 90 * 24 * hour, max: 10 })
  certificates.find = async (host) => {
    reads.push(host)
    throw error
  }
  expect(await renewals.keepRenewed([hostOf('a.example')])).toEqual([error])
  await pass(ms)
  return reads.length
}

test('an ensured host that the policy refuses is tried again every 6 hours', async () => {
  const refused = new HostError('ERR_HOST_POLICY', 'a.example', 'no')
  expect(await readsOf(refused, 5 * hour)).toBe(1)
  expect(await readsOf(refused, 7 * hour)).toBe(2)
})

test('an ensured host whose policy failed is tried again every minute', async () => {
  const failed = new HostError('ERR_HOST_POLICY_FAILED', 'a.example', 'no', {
    cause: new Error('no database'),
  })
  const reads = await readsOf(failed, 10 * minute)
  expect(reads).toBeGreaterThan(5)
  expect(reads).toBeLessThanOrEqual(11)
})

test.each([
  ['at its retry time', 30 * minute, 30 * minute],
  ['after an hour if its retry time is later: the record may be gone', 3 * hour, hour],
])('an ensured host whose order is postponed is tried again %s', async (_, retryInMs, ms) => {
  const { renewals, certificates, reads, clock, pass } = world({ lifetimeMs: 90 * 24 * hour, max: 10 })
  const retryAt = new Date(clock.now() + retryInMs)
  const postponed = new IssuanceError('ERR_ISSUANCE_POSTPONED', 'later', { retryAt })
  certificates.find = async (host) => {
    reads.push(host)
    throw postponed
  }
  expect(await renewals.keepRenewed([hostOf('a.example')])).toEqual([postponed])
  await pass(ms - minute)
  expect(reads).toHaveLength(1)
  await pass(2 * minute)
  expect(reads.length).toBeGreaterThan(1)
})

test('a host that is ensured twice is tried once, and its error is reported once', async () => {
  const { renewals, certificates, reads } = world({ lifetimeMs: hour, max: 10 })
  const failed = new Error('no')
  certificates.find = async (host) => {
    reads.push(host)
    throw failed
  }
  expect(await renewals.keepRenewed([hostOf('a.example'), hostOf('a.example')])).toEqual([failed])
  expect(reads).toEqual(['a.example'])
})

test('8 ensured hosts are looked up at once, and no others while they wait, even if the clock is set back', async () => {
  const { renewals, certificates, reads, clock, pass } = world({ lifetimeMs: 24 * hour, max: 10 })
  await renewals.keepRenewed([hostOf('kept.example')])
  reads.length = 0
  certificates.find = (host) => {
    reads.push(host)
    return new Promise(() => {})
  }
  const names = hosts(20)
  void renewals.keepRenewed(names)
  expect(reads).toEqual(names.slice(0, 8))
  clock.advance(-hour)
  await pass(11 * minute)
  expect(reads).toEqual(names.slice(0, 8))
})

test('close cancels the timer, and nothing starts another', async () => {
  const { renewals, clock, closing } = world({ lifetimeMs: hour, max: 10 })
  await renewals.keepRenewed([hostOf('a.example')])
  expect(clock.pending).toBe(1)
  closing.abort()
  expect(clock.pending).toBe(0)
  await renewals.keepRenewed([hostOf('b.example')])
  expect(clock.pending).toBe(0)
})

test('certificates that are due while 8 others are renewed follow as soon as those are done', async () => {
  const { renewals, orders, clock, pass } = world({ lifetimeMs: 24 * hour, max: 100 })
  await renewals.keepRenewed(hosts(20))
  await pass(16 * hour - minute)
  for (const [ms, count] of [
    [minute, 28],
    [100, 36],
    [100, 40],
  ] as const) {
    clock.advance(ms)
    for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate)
    expect(orders).toHaveLength(count)
  }
})

test('handshakes start work on no more than 8 hosts at once, and on none that is not due', async () => {
  const { renewals, certificates, clock } = world({ lifetimeMs: hour, max: 100 })
  const started: string[] = []
  certificates.refresh = ({ name }) => {
    started.push(name)
    return new Promise(() => {})
  }
  const lives = await Promise.all(hosts(20).map((host) => certificates.obtain(host, occasion)))
  for (const live of lives) renewals.startCheck(live)
  expect(started).toEqual([])
  clock.advance(hour / 20)
  for (const live of lives) {
    renewals.startCheck(live)
    renewals.startCheck(live)
  }
  expect(started).toEqual(hosts(8))
})

test('a handshake starts no check while the renewal of a due certificate is paused', async () => {
  const { renewals, certificates, attempts, clock } = world({ lifetimeMs: hour, max: 100 })
  const checked: string[] = []
  const [live] = await Promise.all(hosts(1).map((host) => certificates.obtain(host, occasion)))
  if (!live) expect.unreachable()
  certificates.renew = async () => void checked.push('renewed')
  certificates.refresh = async () => {
    checked.push('compared with the store')
    return live
  }
  clock.advance(live.schedule.renewAt - clock.now())
  live.schedule.markChecked(clock.now())
  attempts.renewalStarted(live)
  clock.advance(minute - 1)
  renewals.startCheck(live)
  await new Promise(setImmediate)
  expect(checked).toEqual([])
  clock.advance(1)
  renewals.startCheck(live)
  await expect.poll(() => checked).toEqual(['renewed'])
})
