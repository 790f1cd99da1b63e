import fc from 'fast-check'
import { expect } from 'vitest'
import { parseRetryAfter, toProblem } from '../../src/acme/http/problem.js'
import { parseWindow } from '../../src/acme/renewal-info.js'
import { renewalTime } from '../../src/certificates/renewal-time.js'
import { IssuanceError } from '../../src/index.js'
import { Attempts } from '../../src/issuance/attempts.js'
import { CaStore } from '../../src/issuance/store/ca-store.js'
import { parseFailureRecord, parseRenewalInfoRecord } from '../../src/issuance/store/records.js'
import { certId } from '../support/cert-id.js'
import { MemoryStore } from '../support/memory-store.js'
import { VirtualClock } from '../support/virtual-clock.js'
import { damaged, damagedText, property } from './support.js'

const now = Date.parse('2026-10-01T00:00:00Z')
/** No CA means a year of five digits, and not every parser reads one. */
const latest = Date.parse('9999-01-01')
const isDate = (ms: unknown) => typeof ms === 'number' && !Number.isNaN(new Date(ms).getTime())
const encode = (value: unknown) => Buffer.from(JSON.stringify(value))
/** Compares the serialised records, since JSON reads -0 but writes 0. */
const expectSameAgain = (parse: (data: Uint8Array) => unknown, record: unknown) =>
  expect(JSON.stringify(parse(encode(record)))).toBe(JSON.stringify(record))
const numbers = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(
    0,
    -1,
    now,
    8.64e15,
    8.64e15 + 1,
    -8.64e15,
    2 ** 31,
    Number.MAX_SAFE_INTEGER,
    1e308,
    -1e308,
  ),
)
/** A JSON value in the place of another. */
const odd = fc.oneof(
  numbers,
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom('1', '2026-10-01T00:00:00Z', true),
)

const failure = { failures: 3, retryAt: now + 60_000, message: 'the CA answered 429' }
property(
  'any bytes parse to a valid failure record, or to none',
  3_000,
  fc.oneof(
    damaged(encode(failure), ['null', '-', '9', 'e9', '"', '\\u0000']),
    fc.record({ failures: odd, retryAt: odd, message: odd }, { requiredKeys: [] }).map(encode),
    numbers.map((retryAt) => encode({ ...failure, retryAt })),
    fc.json().map((text) => Buffer.from(text)),
    fc.uint8Array(),
  ),
  (data) => {
    const record = parseFailureRecord(data)
    if (!record) return
    expect(record.failures).toBeGreaterThanOrEqual(1)
    expect(record.retryAt).toBeGreaterThanOrEqual(0)
    expect(record.retryAt).toBeLessThanOrEqual(latest)
    expect(typeof record.message).toBe('string')
    expectSameAgain(parseFailureRecord, record)
  },
)

const retryAfters = fc.oneof(
  fc.constant(undefined),
  fc.nat().map(String),
  fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
  damagedText('Thu, 01 Oct 2026 00:10:00 GMT', ['GMT', '99', '-', ',', '+', '9999', '275760']),
  damagedText('3600', ['9', '-', '.', 'e', ' ']),
  // Dates that Date.parse reads but that are not HTTP dates, some in the time zone of this machine.
  fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  fc.date({ noInvalidDate: true }).map((date) => date.toUTCString().replace(' GMT', '')),
  numbers.map(String),
  fc.string(),
)

property(
  'a failure postpones the next attempt on every machine, at least until the CA’s Retry-After, or for 7 days',
  1_000,
  fc.tuple(
    retryAfters,
    fc.option(fc.record({ failures: numbers, retryAt: numbers, message: fc.string() })),
    fc.string(),
  ),
  async ([retryAfter, before, message]) => {
    const store = new MemoryStore()
    const clock = new VirtualClock(now)
    const id = certId('a.example', { ca: 'ca.example~' })
    const caStore = new CaStore(store, id.ca, clock)
    const attempts = new Attempts({ store: caStore, clock, max: 1, onFailed: () => {} })
    const previous = before ? parseFailureRecord(encode(before)) : undefined
    const wanted = parseRetryAfter(retryAfter, now)
    const retryAt = wanted === undefined ? undefined : new Date(wanted)
    const error = new IssuanceError('ERR_ISSUANCE_FAILED', message, { retryAt })
    const order = { id, error, previous, served: undefined, hasOrdered: true }
    const nextAt = ((await attempts.orderFailed(order)) as IssuanceError).retryAt as Date
    expect(nextAt.getTime()).toBeGreaterThan(now)
    const signal = new AbortController().signal
    const postponed = expect.objectContaining({ code: 'ERR_ISSUANCE_POSTPONED', retryAt: nextAt })
    await expect(attempts.check(id, signal)).rejects.toEqual(postponed)
    const week = 7 * 86_400_000
    expect(nextAt.getTime()).toBeGreaterThanOrEqual(Math.min(wanted ?? 0, now + week))
    expect(nextAt.getTime()).toBeLessThanOrEqual(now + week)
  },
)

property('Retry-After is seconds or a date in GMT, or is ignored', 3_000, retryAfters, (header) => {
  const time = parseRetryAfter(header, now)
  if (time === undefined) return
  expect(isDate(time)).toBe(true)
  expect(header).toMatch(/^\s*\d+\s*$|GMT\s*$/)
})

property(
  'Retry-After in seconds or as an HTTP date is parsed exactly',
  1_000,
  fc.nat(999_999_999),
  (seconds) => {
    expect(parseRetryAfter(String(seconds), now)).toBe(now + seconds * 1_000)
    expect(parseRetryAfter(` ${seconds} `, now)).toBe(now + seconds * 1_000)
    expect(parseRetryAfter(new Date(seconds * 1_000).toUTCString(), now)).toBe(seconds * 1_000)
  },
)

const times = fc.oneof(
  fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  damagedText('2026-10-01T00:00:00Z', ['-', '+', 'T', 'Z', '9', '99999']),
  odd,
)
const answers = fc.oneof(
  fc.record({ suggestedWindow: fc.record({ start: times, end: times }, { requiredKeys: [] }) }),
  fc.record({ suggestedWindow: odd }),
  fc.anything(),
)
const certificate = { notBefore: now - 86_400_000, notAfter: now + 86_400_000 }
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

property(
  'any renewal information parses to a window with a renewal time, or to none',
  3_000,
  fc.tuple(answers, random),
  ([answer, chance]) => {
    const window = parseWindow(answer)
    if (!window) return
    expect(isDate(window.start) && isDate(window.end) && window.start < window.end).toBe(true)
    const { at } = renewalTime({ ...certificate, window, random: chance })
    expect(isDate(at) && at < certificate.notAfter).toBe(true)
  },
)

property(
  'a valid window is parsed unchanged',
  500,
  fc.uniqueArray(fc.date({ noInvalidDate: true }), { minLength: 2, maxLength: 2, selector: Number }),
  (pair) => {
    const [start, end] = pair.toSorted((a, b) => Number(a) - Number(b)) as [Date, Date]
    const suggestedWindow = { start: start.toISOString(), end: end.toISOString() }
    expect(parseWindow({ suggestedWindow })).toEqual({ start: Number(start), end: Number(end) })
    expect(
      parseWindow({ suggestedWindow: { start: suggestedWindow.end, end: suggestedWindow.start } }),
    ).toBeUndefined()
  },
)

const suggestion = { serialNumber: '0A', window: { start: now, end: now + 1_000 }, askAt: now + 60_000 }
property(
  'any bytes parse to a stored window with a renewal time, or to none',
  3_000,
  fc.tuple(
    fc.oneof(
      damaged(encode(suggestion), ['null', '-', '9', 'e9', 'e308', '"', '[]']),
      fc
        .record(
          {
            serialNumber: fc.oneof(fc.string(), odd),
            window: fc.oneof(odd, fc.record({ start: odd, end: odd }, { requiredKeys: [] })),
            askAt: odd,
          },
          { requiredKeys: [] },
        )
        .map(encode),
      fc.json().map((text) => Buffer.from(text)),
      fc.uint8Array(),
    ),
    random,
  ),
  ([data, chance]) => {
    const record = parseRenewalInfoRecord(data)
    if (!record) return
    expect(typeof record.serialNumber).toBe('string')
    expect(isDate(record.askAt)).toBe(true)
    expectSameAgain(parseRenewalInfoRecord, record)
    if (!record.window) return expect(record.window).toBeNull()
    expect(isDate(record.window.start) && isDate(record.window.end)).toBe(true)
    const { at } = renewalTime({ ...certificate, window: record.window, random: chance })
    expect(isDate(at) && at < certificate.notAfter).toBe(true)
  },
)

property(
  'a stored window is read back unchanged',
  500,
  fc.record({
    serialNumber: fc.string(),
    window: fc.option(
      fc
        .tuple(fc.integer({ min: -8.64e15, max: 8.64e15 - 1 }), fc.integer({ min: 1, max: 1e9 }))
        .map(([start, length]) => ({
          start,
          end: Math.min(start + length, 8.64e15),
        })),
    ),
    askAt: fc.integer({ min: 0, max: 8.64e15 }),
  }),
  (record) => {
    expect(parseRenewalInfoRecord(encode(record))).toEqual(record)
  },
)

property(
  'any value parses to a problem document, or to none',
  1_000,
  fc.oneof(fc.record({ type: odd, detail: odd }, { requiredKeys: [] }), fc.anything()),
  (data) => {
    const problem = toProblem(data, 400)
    if (!problem) return
    expect(typeof problem.type).toBe('string')
    expect(['string', 'undefined']).toContain(typeof problem.detail)
  },
)
