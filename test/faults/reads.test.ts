import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { StoreError, type StoreErrorCode } from '../../src/index.js'
import { LockingStore } from '../support/locking-store.js'
import { useManagers } from '../support/managers.js'
import { StillClock } from '../support/still-clock.js'

// One host that cannot be had, under 50 handshakes a second.

const t = useManagers()

const codes: StoreErrorCode[] = [
  'ERR_STORE_CREDENTIALS',
  'ERR_STORE_PERMISSION',
  'ERR_STORE_CONTAINER',
  'ERR_STORE_UNREACHABLE',
  'ERR_STORE_TIMEOUT',
  'ERR_STORE_PUBLIC',
  'ERR_STORE_DECRYPT',
  'ERR_STORE_ENTRY',
  'ERR_STORE_FAILED',
]

/** What fails, and how. */
const faults: [string, (operation: string, key: string) => unknown][] = [
  ...codes.flatMap((code): (typeof faults)[number][] => [
    [`the certificate cannot be read: ${code}`, () => Promise.reject(new StoreError(code, 'no'))],
    [
      `the failure record cannot be read: ${code}`,
      (_, key) => key.endsWith('+failure') && Promise.reject(new StoreError(code, 'no')),
    ],
    [
      `the lock cannot be acquired: ${code}`,
      (operation) =>
        (operation === 'lock' || operation === 'put') && Promise.reject(new StoreError(code, 'no')),
    ],
    [
      `nothing can be written: ${code}`,
      (operation) => operation === 'put' && Promise.reject(new StoreError(code, 'no')),
    ],
  ]),
  ...[400, 403, 404, 409, 412, 429, 500, 503].map((statusCode): (typeof faults)[number] => [
    `the certificate cannot be read: status ${statusCode}`,
    () => Promise.reject(new StoreError('ERR_STORE_FAILED', 'no', { statusCode })),
  ]),
  ['a store of the user rejects', () => Promise.reject(new Error('no'))],
  [
    'a store of the user throws',
    () => {
      throw new TypeError('no')
    },
  ],
]

async function readsIn5Seconds(before: LockingStore['before'], isAnswered: boolean) {
  const store = new LockingStore()
  const clock = new StillClock()
  const { manager } = await t.machine({ cache: store, clock })
  store.before = before
  const attempts: Promise<unknown>[] = []
  for (let index = 0; index < 250; index++) {
    const attempt = manager.getCertificate('a.example').catch((reason: unknown) => reason)
    attempts.push(attempt)
    if (isAnswered) expect(await attempt).toBeInstanceOf(Error)
    else await turn()
    clock.advance(20)
  }
  const reads = store.operations.filter((operation) => operation.startsWith('get '))
  expect(t.ca.counts.orders).toBe(0)
  // A wait for a store that does not answer ends by its time limit.
  clock.advance(30_000)
  for (const error of await Promise.all(attempts)) expect(error).toBeInstanceOf(Error)
  return reads
}

test.each(faults)('at most 2 store reads in 5 s, and no order: %s', async (_, before) => {
  const reads = await readsIn5Seconds(before, true)
  expect(reads.length).toBeGreaterThanOrEqual(1)
  expect(reads.length).toBeLessThanOrEqual(2)
})

test('at most 2 store reads in 5 s, and no order: the store never answers', async () => {
  expect(await readsIn5Seconds(() => new Promise(() => {}), false)).toEqual(['get a.example'])
})
