import { beforeEach, expect, test } from 'vitest'
import type { AcmeAccount } from '../../src/acme/account.js'
import { ProcessFailureError } from '../../src/util/errors.js'
import { StillClock } from '../support/still-clock.js'
import { FakeCa, problem, request, run } from './fake-ca.js'

// Responses that a proxy of one machine may have sent in place of the CA.

let ca: FakeCa
let account: AcmeAccount
let clock: StillClock
beforeEach(async () => {
  ca = await FakeCa.start()
  clock = new StillClock()
  account = ca.account({}, clock)
})
const order = () => account.issue(request(), run())
const failure = () => order().catch((thrown: unknown) => thrown)

test.each([
  ['a page', { status: 200, body: '<html>Sign in</html>' }],
  ['status 403', { status: 403, body: '<html>Forbidden</html>' }],
  ['status 503', { status: 503, body: '' }],
])('a directory that may not come from the CA is the fault of this process: %s', async (_, reply) => {
  await order()
  clock.advance(3_600_000)
  ca.always.directory = reply
  expect(await failure()).toBeInstanceOf(ProcessFailureError)
  expect(ca.count('newOrder')).toBe(1)
})

test('a directory with a problem is the fault of the CA', async () => {
  await order()
  clock.advance(3_600_000)
  ca.always.directory = problem('serverInternal', 500)
  expect(await failure()).not.toBeInstanceOf(ProcessFailureError)
})

test.each([403, 503])(
  'a nonce that is refused with status %i is the fault of this process',
  async (status) => {
    ca.always.newNonce = { status }
    expect(await failure()).toBeInstanceOf(ProcessFailureError)
  },
)
