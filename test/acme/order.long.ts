import { beforeEach, describe, expect, test } from 'vitest'
import type { IssuanceError } from '../../src/index.js'
import { StillClock } from '../support/still-clock.js'
import { FakeCa, type FakeReply, request, resources, run } from './fake-ca.js'

let ca: FakeCa
let order: () => Promise<string>
let clock: StillClock
beforeEach(async () => {
  ca = await FakeCa.start()
  clock = new StillClock()
  const account = ca.account({}, clock)
  order = () => account.issue(request(), run())
})

describe.each(resources)('%s', (resource) => {
  test.each([
    ['500 twice', { status: 500, body: '<html>' }, 2],
    ['502 three times', { status: 502, body: '' }, 3],
    ['429 with a Retry-After of 1 s twice', { status: 429, headers: { 'retry-after': '1' } }, 2],
  ] as [string, FakeReply, number][])('the order survives %s', async (_, reply, times) => {
    ca.next[resource] = Array(times).fill(reply)
    expect(await order()).toBe(ca.certificate)
    expect(ca.count(resource)).toBeGreaterThan(times)
  })

  test.each([600, 86_400, 946_080_000])(
    'a status of 503 with a Retry-After of %i s fails at once, and sets the time of the next attempt',
    async (seconds) => {
      ca.always[resource] = { status: 503, headers: { 'retry-after': String(seconds) }, body: 'busy' }
      const { retryAt, message } = await order().then(
        () => expect.unreachable(),
        (thrown: unknown) => thrown as IssuanceError,
      )
      expect(retryAt?.getTime()).toBe(clock.now() + seconds * 1_000)
      expect(message).toMatch(new RegExp(`status 503 from .*/${resource}`))
      expect(ca.count(resource)).toBe(1)
    },
  )
})
