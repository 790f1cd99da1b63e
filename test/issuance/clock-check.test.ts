import { expect, test } from 'vitest'
import { ClockCheck } from '../../src/issuance/clock-check.js'
import { certId } from '../support/cert-id.js'
import { VirtualClock } from '../support/virtual-clock.js'

const { name } = certId('a.example')
const hour = 3_600_000
const day = 24 * hour

function setup() {
  const clock = new VirtualClock()
  const check = new ClockCheck(clock)
  /** @param renewIn when the certificate to be replaced is due by this machine's clock; `undefined` if there is none */
  const order = (offsetMs: number | undefined, renewIn?: number, isPlaced = true) =>
    check.assertMayOrder(name, {
      offsetMs,
      renewAt: renewIn === undefined ? undefined : clock.now() + renewIn,
      isPlaced,
    })
  return { clock, order }
}

test.each([undefined, 0, hour, -hour])('a clock with the difference %s may order and renew', (offsetMs) => {
  const { order } = setup()
  for (let times = 0; times < 100; times++) {
    order(offsetMs)
    order(offsetMs, 0)
  }
})

test('a clock that is behind orders nothing', () => {
  const { order } = setup()
  for (const renewIn of [undefined, -day, 0]) {
    expect(() => order(hour + 1, renewIn)).toThrow(
      'cannot order a certificate for "a.example": the clock of this machine is 1 h behind the CA\'s. Correct the clock.',
    )
  }
})

test('a clock that is ahead renews only what is due by the CA’s clock', () => {
  const { order } = setup()
  expect(() => order(-60 * day, -60 * day + 1)).toThrow(
    'the certificate of "a.example" is not due for renewal: the clock of this machine is 60 days ahead of the CA\'s',
  )
  order(-60 * day, -60 * day)
})

test('a clock that is ahead orders 3 certificates, then one every 10 minutes', () => {
  const { clock, order } = setup()
  const placed = [0, 0, 0, 0]
  for (const [index] of placed.entries()) {
    for (let times = 0; times < 100; times++) {
      try {
        order(-2 * hour)
        placed[index] = (placed[index] ?? 0) + 1
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: 'ERR_ISSUANCE_FAILED', retryAt: expect.any(Date) })
      }
    }
    clock.advance(600_000)
  }
  expect(placed).toEqual([3, 1, 1, 1])
})

test('an order that is only prepared does not count', () => {
  const { order } = setup()
  for (let times = 0; times < 100; times++) order(-2 * hour, undefined, false)
  for (let times = 0; times < 3; times++) order(-2 * hour)
  expect(() => order(-2 * hour, undefined, false)).toThrow('Correct the clock')
})
