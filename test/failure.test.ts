import { expect, test } from 'vitest'
import { FailureRecords, parseFailureRecord } from '../src/failure.js'
import { IssuanceError } from '../src/index.js'
import { storedLayout } from '../src/layout.js'
import { MemoryStore } from './support/memory-store.js'
import { VirtualClock } from './support/virtual-clock.js'

const { signal } = new AbortController()

test.each([
  ['a Retry-After in the year 9999', '9999-12-31T23:59:59Z', 1],
  ['a Retry-After in the year 275760', '+275760-09-13T00:00:00Z', 1],
  ['as many failures as a number can count', '2026-10-01T01:00:00Z', Number.MAX_SAFE_INTEGER],
])('after %s the next attempt is postponed all the same', async (_, retryAfter, failures) => {
  const clock = new VirtualClock(Date.parse('2026-10-01T00:00:00Z'))
  const layout = storedLayout('https://ca.example/directory', 'ecdsa-p256')
  const records = new FailureRecords(new MemoryStore(), layout, clock)
  const error = new IssuanceError('ERR_ISSUANCE_FAILED', 'no', { retryAt: new Date(retryAfter) })
  await records.add('a.example', { failures, retryAt: 0, message: '' }, error, undefined)
  await expect(records.check('a.example', signal)).rejects.toMatchObject({ code: 'ERR_ISSUANCE_POSTPONED' })
})

test.each([[-1], [-8.64e15 - 1], [Date.parse('9999-01-02')], [8.64e15 + 1], [1.5], ['1'], [null]])(
  'a record that says %j is none',
  (retryAt) => {
    const parse = (value: object) => parseFailureRecord(Buffer.from(JSON.stringify(value)))
    expect(parse({ failures: 1, retryAt: 0, message: 'no' })).toBeDefined()
    expect(parse({ failures: 1, retryAt, message: 'no' })).toBeUndefined()
  },
)
