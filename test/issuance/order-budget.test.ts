import { expect, test } from 'vitest'
import { IssuanceError, StoreError } from '../../src/index.js'
import { OrderBudget } from '../../src/issuance/order-budget.js'
import { VirtualClock } from '../support/virtual-clock.js'

const second = 1_000
const hour = 3_600 * second

function setup() {
  const clock = new VirtualClock()
  const budget = new OrderBudget(clock)
  /** Returns how many orders are admitted at once. */
  const admitAll = () => {
    let count = 0
    while (budget.tryAcquire() === 0) count += 1
    return count
  }
  return { clock, budget, admitAll }
}
const problem = (name: string) =>
  new IssuanceError('ERR_ISSUANCE_FAILED', 'no', {
    problem: { type: `urn:ietf:params:acme:error:${name}`, status: 429 },
  })

test('100 orders are admitted at once, then one every 54 s', () => {
  const { clock, budget, admitAll } = setup()
  expect(budget.waitMs).toBe(0)
  expect(admitAll()).toBe(100)
  expect(budget.waitMs).toBe(54 * second)
  expect(budget.tryAcquire()).toBe(54 * second)
  clock.advance(53_999)
  expect(budget.tryAcquire()).toBe(1)
  clock.advance(1)
  expect(budget.waitMs).toBe(0)
  expect(admitAll()).toBe(1)
})

test('no more than 300 orders are admitted in any 3 hours', () => {
  const { clock, budget } = setup()
  const admittedAt: number[] = []
  while (admittedAt.length < 1_000) {
    const waitMs = budget.tryAcquire()
    if (waitMs === 0) admittedAt.push(clock.now())
    clock.advance(waitMs)
  }
  for (const [index, time] of admittedAt.slice(300).entries())
    expect(time - (admittedAt[index] as number)).toBeGreaterThan(3 * hour)
})

test('after an error that all orders are limited, the rest of the burst is dropped', () => {
  const { clock, budget, admitAll } = setup()
  budget.onFailed(problem('rateLimited'))
  expect(budget.waitMs).toBe(54 * second)
  clock.advance(108 * second)
  expect(admitAll()).toBe(2)
})

test.each([
  ['another problem with status 429', problem('malformed')],
  ['no problem', new IssuanceError('ERR_ISSUANCE_FAILED', 'no')],
  ['an error of the store', new StoreError('ERR_STORE_FAILED', 'no', { statusCode: 429 })],
])('after %s the burst remains', (_, error) => {
  const { budget, admitAll } = setup()
  budget.onFailed(error)
  expect(admitAll()).toBe(100)
})
