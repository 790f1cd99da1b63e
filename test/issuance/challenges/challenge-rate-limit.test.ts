import { expect, test } from 'vitest'
import { ChallengeRateLimit } from '../../../src/issuance/challenges/challenge-rate-limit.js'
import { ChallengeRateLimitError } from '../../../src/util/errors.js'
import { MemoryStore } from '../../support/memory-store.js'
import { VirtualClock } from '../../support/virtual-clock.js'

function setup() {
  const store = new MemoryStore()
  const clock = new VirtualClock()
  const limit = new ChallengeRateLimit(clock)
  const read = (key: string, client: string) => limit.share(key, client, () => store.get(key))
  /** Returns how many of `times` reads, each of a different token, reach the store. */
  const flood = async (times: number, client: (index: number) => string) => {
    const all = Array.from({ length: times }, (_, index) => read(`t${index}+http-01`, client(index)))
    const results = await Promise.allSettled(all)
    const reasons = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
    expect(reasons.filter((reason) => !(reason instanceof ChallengeRateLimitError))).toEqual([])
    return store.take().length
  }
  return { store, clock, read, flood }
}

test('one client gets 50 reads at once, then 10 a second; another client still gets the answer', async () => {
  const { store, clock, read, flood } = setup()
  store.values.set('real+http-01', Buffer.from('answer'))
  expect(await flood(1_000, () => '192.0.2.1')).toBe(50)
  expect(await read('real+http-01', '192.0.2.2')).toEqual(Buffer.from('answer'))
  store.take()
  clock.advance(1_000)
  expect(await flood(1_000, () => '192.0.2.1')).toBe(10)
})

test('all clients together get 200 reads at once, then 40 a second; light clients get another 10 a second', async () => {
  const { clock, flood } = setup()
  const many = (index: number) => `192.0.2.${index % 200}`
  expect(await flood(3_000, many)).toBe(200)
  clock.advance(1_000)
  expect(await flood(3_000, many)).toBe(40)
  expect(await flood(20, (index) => `198.51.100.${index}`)).toBe(10)
})

test.each([
  ['a few clients', (index: number) => `192.0.2.${index % 15}`],
  [
    'a client that rotates through the addresses of an IPv6 /56',
    (index: number) => `2001:db8:0:ab${(index % 256).toString(16).padStart(2, '0')}::1`,
  ],
])('%s cannot block the CA’s reads by flooding for 200 s', async (_, client) => {
  const { store, clock, read, flood } = setup()
  store.values.set('real+http-01', Buffer.from('answer'))
  for (let seconds = 0; seconds < 200; seconds += 2) {
    await flood(300, client)
    expect(await read('real+http-01', '198.51.100.7')).toEqual(Buffer.from('answer'))
    clock.advance(2_000)
  }
})

test('concurrent reads of one key share one request to the store', async () => {
  const { store, read } = setup()
  store.values.set('real+http-01', Buffer.from('answer'))
  const all = await Promise.all(Array.from({ length: 1_000 }, () => read('real+http-01', '192.0.2.1')))
  expect(new Set(all.map(String))).toEqual(new Set(['answer']))
  expect(store.take()).toHaveLength(1)
  await read('real+http-01', '192.0.2.1')
  expect(store.take()).toHaveLength(1)
})

test('a failed read is not cached', async () => {
  const { store, read } = setup()
  store.before = () => Promise.reject(new Error('down'))
  await expect(read('real+http-01', '192.0.2.1')).rejects.toThrow('down')
  store.before = () => {}
  expect(await read('real+http-01', '192.0.2.1')).toBeUndefined()
})

test('the rates of the 1,000 most recent clients are tracked', async () => {
  const { clock, flood } = setup()
  const client = (index: number) => `10.0.${index >> 8}.${index & 255}`
  expect(await flood(60, () => client(0))).toBe(50)
  for (let index = 1; index <= 999; index++) await flood(1, () => client(index))
  clock.advance(4_000)
  // It regains 40 reads in 4 s.
  expect(await flood(60, () => client(0))).toBe(40)
  for (let index = 1; index <= 1_000; index++) await flood(1, () => client(index))
  clock.advance(4_000)
  expect(await flood(60, () => client(0))).toBe(50)
})

test.each([
  ['an IPv6 /56', '2001:db8:0:ab00::1', '2001:db8:0:abff:1:2:3:4'],
  ['an IPv6 /56 in two spellings', '2001:db8::1', '2001:0db8:0000:0000:0000:0000:0000:0002'],
  ['an address that begins with ::', '::1', '0:0:0:0:0:0:0:2'],
])('addresses in %s share the rate of one client', async (_, one, another) => {
  const { flood } = setup()
  expect(await flood(60, () => one)).toBe(50)
  expect(await flood(60, () => another)).toBe(0)
})

test.each([
  ['neighbouring IPv6 /56', '2001:db8:0:ab00::1', '2001:db8:0:ac00::1'],
  ['IPv6 /56 that differ in their third group', '2001:db8:1::1', '2001:db8:2::1'],
  ['an address that begins with ::', '::1', '1::1'],
  ['IPv4 addresses', '192.0.2.1', '192.0.2.2'],
  ['IPv4-mapped addresses', '::ffff:192.0.2.1', '::ffff:192.0.2.2'],
])('clients at different addresses have separate rates: %s', async (_, one, another) => {
  const { flood } = setup()
  expect(await flood(60, () => one)).toBe(50)
  expect(await flood(60, () => another)).toBe(50)
})

test('while others use up the shared rate, a client gets 10 reads at once, then one every 2 s', async () => {
  const { clock, flood } = setup()
  const reads: number[] = []
  await flood(150, (index) => `10.0.0.${index % 3}`)
  reads.push(await flood(50, () => '192.0.2.1'))
  for (let seconds = 0; seconds < 3; seconds++) {
    clock.advance(1_000)
    await flood(40, (index) => `10.1.${seconds}.${index % 2}`)
    reads.push(await flood(50, () => '192.0.2.1'))
  }
  expect(reads).toEqual([10, 0, 1, 0])
})
