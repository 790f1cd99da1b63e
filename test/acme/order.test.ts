import { beforeEach, describe, expect, test, vi } from 'vitest'
import type { AcmeAccount } from '../../src/acme/account.js'
import type { Run, Solver } from '../../src/acme/issuer.js'
import { IssuanceError } from '../../src/index.js'
import { ClosedError, NoCommonChallengeError, NoResponseError } from '../../src/util/errors.js'
import { StillClock } from '../support/still-clock.js'
import { FakeCa, type FakeReply, problem, type Resource, request, resources, run } from './fake-ca.js'

let ca: FakeCa
let account: AcmeAccount
let clock: StillClock
beforeEach(async () => {
  ca = await FakeCa.start()
  clock = new StillClock()
  account = ca.account({}, clock)
})
const order = (changes: Partial<Run> = {}) => account.issue(request(), run(changes))
const failure = (changes: Partial<Run> = {}) =>
  order(changes).then(
    () => expect.unreachable(),
    (thrown: unknown) => thrown as IssuanceError,
  )

test('an order survives that each resource fails once', async () => {
  for (const resource of resources) ca.next[resource] = [{ status: 500, body: '<html>' }]
  expect(await order()).toBe(ca.certificate)
})

test.each(['authz', 'challenge', 'order', 'finalize', 'certificate'] as const)(
  'a 404 of %s that passes within half a minute does not end the order',
  async (resource) => {
    ca.next[resource] = Array(5).fill(problem('malformed', 404))
    expect(await order()).toBe(ca.certificate)
  },
)

test.each(['directory', 'newNonce', 'newAccount', 'newOrder'] as const)(
  'a 404 of %s ends the order at once',
  async (resource) => {
    ca.always[resource] = problem('malformed', 404)
    expect((await failure()).message).toMatch(/status 404/)
    expect(ca.count(resource)).toBe(1)
  },
)

test('a 404 that stays ends the order with the CA’s problem', async () => {
  ca.always.authz = problem('malformed', 404)
  expect((await failure()).problem).toMatchObject({ status: 404, detail: 'the CA says malformed' })
  expect(ca.count('authz')).toBe(6)
})

test('after orderNotReady the order is read again, until it is ready', async () => {
  ca.next.finalize = [problem('orderNotReady', 403), problem('orderNotReady', 403)]
  const pending = { status: 'pending', authorizations: [], finalize: `${ca.origin}/finalize` }
  let finalizes = 0
  ca.onRequest = (resource) => {
    if (resource === 'finalize' && ++finalizes === 1) ca.next.order = [{ body: pending }, { body: pending }]
  }
  expect(await order()).toBe(ca.certificate)
  expect(ca.requests.filter((name) => name === 'order' || name === 'finalize')).toEqual([
    'order',
    'finalize',
    'order',
    'order',
    'order',
    'finalize',
    'order',
    'finalize',
  ])
})

test('an order that is invalid after orderNotReady fails with its problem', async () => {
  ca.next.finalize = [problem('orderNotReady', 403)]
  ca.onRequest = (resource) => {
    if (resource === 'finalize') ca.always.order = { body: { status: 'invalid', error: { type: 'caa' } } }
  }
  expect((await failure()).problem).toEqual({ type: 'caa' })
})

test('a valid order without the URL of its certificate is read again', async () => {
  ca.next.finalize = [{ body: { status: 'valid' } }]
  expect(await order()).toBe(ca.certificate)
})

test('a read without a response is repeated, and newOrder is not', async () => {
  // The first reset is that of a kept-alive connection: the transport sends the request again.
  const silence: FakeReply[] = [{ reset: true }, { reset: true }]
  ca.next.authz = [...silence]
  ca.next.order = [...silence]
  expect(await order()).toBe(ca.certificate)
  ca.requests.length = 0
  ca.next.newOrder = [...silence]
  expect(await failure()).toBeInstanceOf(NoResponseError)
  expect(ca.count('newOrder')).toBe(2)
})

test.each(['newOrder', 'authz', 'challenge', 'order'] as const)(
  'a lost lock ends the order before %s is repeated',
  async (resource) => {
    ca.always[resource] = { status: 502, body: '' }
    const proceed = () => {
      if (ca.count(resource) > 0) throw new Error('the lock is lost')
    }
    await expect(order({ proceed })).rejects.toThrow('the lock is lost')
    expect(ca.count(resource)).toBe(1)
  },
)

describe('a challenge that is invalid while its authorization stays pending (smallstep)', () => {
  test('ends the order with the problem of the challenge and its subproblems', async () => {
    const error = { type: 'dns', detail: 'NXDOMAIN', subproblems: [{ type: 'caa', detail: 'forbidden' }] }
    const challenge = {
      type: 'http-01',
      url: `${ca.origin}/challenge`,
      token: 'token',
      status: 'invalid',
      error,
    }
    ca.next.authz = [{}, { body: { status: 'pending', challenges: [challenge] } }]
    const { problem, message } = await failure()
    expect(problem).toEqual(error)
    expect(message).toContain('dns: NXDOMAIN (caa: forbidden)')
    expect(ca.count('authz')).toBe(2)
  })
})

test('a CA that offers no challenge that this process can answer is not to blame', async () => {
  const challenges = [{ type: 'dns-01', url: `${ca.origin}/challenge`, token: 't' }]
  ca.next.authz = [{ body: { status: 'pending', challenges } }]
  const error = await failure()
  expect(error).toBeInstanceOf(NoCommonChallengeError)
  expect(error.message).toContain('offers the challenges dns-01, and this process can answer http-01')
  expect(ca.count('newOrder')).toBe(1)
})

describe('Retry-After while polling', () => {
  const pending = (seconds: number) => ({
    headers: { 'retry-after': String(seconds) },
    body: { status: 'pending', challenges: [{ type: 'http-01', url: `${ca.origin}/challenge`, token: 't' }] },
  })

  test('extends the deadline by the wait and a minute', async () => {
    ca.next.authz = [pending(600), pending(600)]
    const extendDeadline = vi.fn()
    expect(await order({ extendDeadline })).toBe(ca.certificate)
    expect(extendDeadline.mock.calls).toEqual([[clock.now() + 660_000]])
  })

  test('does not move the last read beyond 30 s before the upper bound of an order', async () => {
    const waits: number[] = []
    const moving = {
      now: () => clock.now(),
      after: (ms: number, fn: () => void, options?: { keepAlive?: boolean }) => {
        if (!options?.keepAlive) return clock.after(ms, fn, options)
        waits.push(ms)
        clock.advance(ms)
        return clock.after(0, fn, options)
      },
    }
    ca.next.authz = [pending(600), pending(600), pending(600), pending(600)]
    expect(await ca.account({}, moving).issue(request(), run())).toBe(ca.certificate)
    expect(waits.slice(0, 3)).toEqual([50, 600_000, 269_950])
  })

  test('of a day neither delays the next read by more than 30 s nor extends the deadline', async () => {
    ca.next.authz = Array(12).fill(pending(86_400))
    const extendDeadline = vi.fn()
    expect(await order({ extendDeadline })).toBe(ca.certificate)
    expect(extendDeadline).not.toHaveBeenCalled()
  })
})

describe('an order that fails', () => {
  const broken: Solver = { type: 'http-01', present: () => Promise.reject(new Error('the store is down')) }
  const fail = (changes: Partial<Run> = {}) => account.issue(request({ solvers: [broken] }), run(changes))

  test('deactivates its pending authorization, once, and rejects with its own error', async () => {
    await expect(fail()).rejects.toThrow('the store is down')
    expect(ca.requests.slice(-1)).toEqual(['deactivate'])
    ca.status.authz = 'pending'
    ca.next.authz = [{}, { status: 500, body: '' }]
    await expect(fail()).rejects.toThrow('the store is down')
    expect(ca.count('deactivate')).toBe(2)
  })

  test('leaves the authorization alone if no lock is held', async () => {
    await expect(fail({ isExclusive: false })).rejects.toThrow('the store is down')
    expect(ca.count('deactivate')).toBe(0)
  })

  test('leaves an authorization alone that is final', async () => {
    ca.next.authz = [{}, { body: { status: 'invalid', challenges: [] } }]
    expect(await failure()).toBeInstanceOf(IssuanceError)
    expect(ca.count('deactivate')).toBe(0)
  })

  test('leaves the authorization alone if the CA does not respond', async () => {
    ca.next.challenge = [{ reset: true }, { reset: true }]
    expect(await failure()).toBeInstanceOf(NoResponseError)
    expect(ca.count('deactivate')).toBe(0)
  })

  test('deactivates the authorization of an order that is cancelled', async () => {
    const controller = new AbortController()
    const challenges = [{ type: 'http-01', url: `${ca.origin}/challenge`, token: 't' }]
    ca.always.authz = { headers: { 'retry-after': '1' }, body: { status: 'pending', challenges } }
    const extendDeadline = () => controller.abort(new Error('cancelled'))
    await expect(order({ signal: controller.signal, extendDeadline })).rejects.toThrow('cancelled')
    expect(ca.count('deactivate')).toBe(1)
  })

  test('waits at most 3 s for the deactivation', async () => {
    ca.next.authz = [{}, { hang: true }]
    const ended = expect(fail()).rejects.toThrow('the store is down')
    await expect.poll(() => ca.count('deactivate')).toBe(1)
    clock.advance(3_000)
    await ended
  })
})

test.each(['newOrder', 'authz', 'challenge', 'order', 'finalize', 'certificate'] as const)(
  'close() while %s hangs ends the order with a ClosedError, and sends nothing further',
  async (resource) => {
    ca.always[resource] = { hang: true }
    const ended = failure()
    await expect.poll(() => ca.count(resource)).toBe(1)
    const sent = ca.requests.length
    account.close()
    expect(await ended).toBeInstanceOf(ClosedError)
    expect(ca.requests).toHaveLength(sent)
  },
)

test('close() during the pause before a further attempt ends the order with a ClosedError', async () => {
  ca.always.certificate = { status: 500, body: '' }
  ca.onRequest = (resource) => {
    if (resource === 'certificate') account.close()
  }
  expect(await failure()).toBeInstanceOf(ClosedError)
  expect(ca.count('certificate')).toBe(1)
})

test('relative URLs in the directory, headers and resources are resolved', async () => {
  ca.base = ''
  expect(await order()).toBe(ca.certificate)
})

test('a directory behind a redirect is used, and its relative URLs belong to the target', async () => {
  ca.base = ''
  const moved = ca.account({ directoryUrl: `${ca.origin}/old/path` })
  ca.always['old/path' as Resource] = { status: 308, headers: { location: '../directory' }, body: '' }
  expect(await moved.issue(request(), run())).toBe(ca.certificate)
})

test.each(['text/plain', 'Application/JSON', 'text/html; charset=utf-8'])(
  'resources with the content type %s are read',
  async (type) => {
    for (const resource of resources) ca.always[resource] = { headers: { 'content-type': type } }
    expect(await order()).toBe(ca.certificate)
  },
)

test.each(['newAccount', 'newOrder', 'authz', 'order'] as const)(
  'a text in place of the object of %s fails with its URL',
  async (resource) => {
    ca.always[resource] = { body: '<html>Maintenance</html>' }
    expect(await failure()).toMatchObject({
      code: 'ERR_ISSUANCE_FAILED',
      message: expect.stringMatching(new RegExp(`from ${ca.origin}/${resource} is neither a JSON object`)),
    })
  },
)
