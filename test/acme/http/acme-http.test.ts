import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AcmeHttp, type AcmeHttpOptions } from '../../../src/acme/http/acme-http.js'
import { UnverifiedResponseError } from '../../../src/acme/http/problem.js'
import { TestCa } from '../../../src/testing/index.js'
import { ClosedError, NoResponseError } from '../../../src/util/errors.js'
import { ShiftingClock } from '../../support/shifting-clock.js'
import { StillClock } from '../../support/still-clock.js'

const clock = new ShiftingClock()
let ca: TestCa
let http: AcmeHttp
const open = (options: Partial<AcmeHttpOptions> = {}) =>
  new AcmeHttp({ directoryUrl: ca.directoryUrl, clock, ca: ca.endpointCertificate, ...options })
beforeEach(async () => {
  ca = await TestCa.start()
  http = open()
})
afterEach(async () => {
  http.close()
  await ca.close()
})

/** Returns an acme-client whose requests go through `http`. */
async function takenOver(signal = new AbortController().signal) {
  const { Client, crypto } = await import('acme-client')
  const accountKey = await crypto.createPrivateEcdsaKey()
  const client = new Client({ directoryUrl: ca.directoryUrl, accountKey })
  return { client, state: http.install(client, signal) }
}

test('the directory and nonces are requested only when none is available', async () => {
  const { client } = await takenOver()
  await client.createAccount({ termsOfServiceAgreed: true })
  const { client: another } = await takenOver()
  const before = ca.counts.requests
  await client.createOrder({ identifiers: [{ type: 'dns', value: 'a.example' }] })
  expect(ca.counts.requests - before).toBe(1)
  await another.createAccount({ termsOfServiceAgreed: true })
  expect(ca.counts.requests - before).toBe(2)
})

test('the directory is requested again after an hour, also if the clock was set back by an hour', async () => {
  const still = new StillClock()
  http.close()
  http = open({ clock: still })
  const requestsAfter = async (ms: number) => {
    still.advance(ms)
    await http.directory(new AbortController().signal)
    return ca.counts.requests
  }
  expect(await requestsAfter(0)).toBe(1)
  expect(await requestsAfter(3_599_999)).toBe(1)
  expect(await requestsAfter(1)).toBe(2)
  expect(await requestsAfter(-3_600_000)).toBe(2)
  expect(await requestsAfter(3_599_999)).toBe(2)
  expect(await requestsAfter(1)).toBe(3)
})

test('a response that is not a directory is rejected, and not cached', async () => {
  const { signal } = new AbortController()
  const { newNonce, newAccount, newOrder } = { newNonce: 'https://a', newAccount: 'https://b', newOrder: 5 }
  const body = JSON.stringify({ newNonce, newAccount, newOrder })
  ca.fault({ on: 'directory', status: 200, body, contentType: 'application/json' })
  await expect(http.directory(signal)).rejects.toMatchObject({ code: 'ERR_ISSUANCE_FAILED' })
  expect(await http.directory(signal)).toMatchObject({ renewalInfo: expect.any(String) })
})

test('get rejects with the problem of a response with status 400', async () => {
  const { signal } = new AbortController()
  const { renewalInfo } = await http.directory(signal)
  ca.fault({ on: 'renewalInfo', status: 400, type: 'malformed' })
  await expect(http.get(`${renewalInfo}/a.b`, signal)).rejects.toMatchObject({
    problem: { type: 'urn:ietf:params:acme:error:malformed', status: 400 },
  })
})

test('only acme-client uses the nonce of a badNonce response', async () => {
  const { client } = await takenOver()
  await client.createAccount({ termsOfServiceAgreed: true })
  const order = () => client.createOrder({ identifiers: [{ type: 'dns', value: 'a.example' }] })
  const fault = ca.fault({ on: 'newOrder', type: 'badNonce' })
  const before = ca.counts.requests
  await order()
  expect(fault.hits).toBe(1)
  await order()
  await order()
  // Three orders and one retry: no nonce was used twice.
  expect(ca.counts.requests - before).toBe(4)
})

test('ten rejected nonces in a row fail a request; a success in between starts the count again', async () => {
  const { client } = await takenOver()
  await client.createAccount({ termsOfServiceAgreed: true })
  const order = () => client.createOrder({ identifiers: [{ type: 'dns', value: 'a.example' }] })
  for (let round = 0; round < 3; round++) {
    ca.fault({ on: 'newOrder', type: 'badNonce', times: 9 })
    expect(await order()).toMatchObject({ status: 'pending' })
  }
  const fault = ca.fault({ on: 'newOrder', type: 'badNonce', times: 20 })
  await expect(order()).rejects.toMatchObject({ problem: { type: expect.stringMatching(/:badNonce$/) } })
  expect(fault.hits).toBe(10)
})

test('a refusal rejects at once with a typed error that has the problem and the retry time', async () => {
  const { client } = await takenOver()
  await client.createAccount({ termsOfServiceAgreed: true })
  const fault = ca.fault({ on: 'newOrder', type: 'rateLimited', retryAfter: 3_600, times: 5 })
  const error: unknown = await client
    .createOrder({ identifiers: [{ type: 'dns', value: 'a.example' }] })
    .catch((reason: unknown) => reason)
  expect(error).toMatchObject({
    code: 'ERR_ISSUANCE_FAILED',
    problem: { type: 'urn:ietf:params:acme:error:rateLimited', status: 429 },
    retryAt: expect.any(Date),
  })
  expect(fault.hits).toBe(1)
})

test('an error response that is not a problem document rejects with its status', async () => {
  const { client } = await takenOver()
  ca.fault({ on: 'directory', status: 502, body: '<html>bad gateway</html>', contentType: 'text/html' })
  await expect(client.createAccount({ termsOfServiceAgreed: true })).rejects.toThrow(
    /502.*no problem document/,
  )
})

test('a response that is too large is not read to the end', async () => {
  const { client } = await takenOver()
  ca.fault({ on: 'directory', status: 200, body: 'x'.repeat(2_000_000), contentType: 'text/plain' })
  await expect(client.createAccount({ termsOfServiceAgreed: true })).rejects.toThrow(/larger than/)
})

test('the error for an unreachable CA contains its URL and the reason', async () => {
  const { client } = await takenOver()
  await ca.close()
  await expect(client.createAccount({ termsOfServiceAgreed: true })).rejects.toThrow(
    /the request to https:\S+ failed: ECONNREFUSED/,
  )
})

test('the error for a CA whose certificate is not trusted contains the reason', async () => {
  http = open({ ca: undefined })
  const { client } = await takenOver()
  await expect(client.createAccount({ termsOfServiceAgreed: true })).rejects.toThrow(
    /: DEPTH_ZERO_SELF_SIGNED_CERT/,
  )
})

test('a request that the CA never answers times out after 30 s', async () => {
  const { client } = await takenOver()
  const fault = ca.fault({ on: 'directory', hang: true })
  const account = client.createAccount({ termsOfServiceAgreed: true })
  const ended = expect(account).rejects.toThrow(/no complete response within 30 s/)
  await expect.poll(() => fault.hits).toBe(1)
  clock.jump(30_000)
  await ended
})

test('an aborted signal ends a request that hangs, with its reason', async () => {
  const controller = new AbortController()
  const { client } = await takenOver(controller.signal)
  const fault = ca.fault({ on: 'directory', hang: true })
  const account = client.createAccount({ termsOfServiceAgreed: true })
  const ended = expect(account).rejects.toThrow('enough')
  await expect.poll(() => fault.hits).toBe(1)
  controller.abort(new Error('enough'))
  await ended
})

describe('prepare', () => {
  const { signal } = new AbortController()

  test('makes one request for concurrent callers, and none for 10 s', async () => {
    const still = new StillClock()
    http.close()
    http = open({ clock: still })
    await Promise.all([http.prepare(signal), http.prepare(signal), http.prepare(signal)])
    expect(ca.counts.requests).toBe(1)
    still.advance(9_999)
    await http.prepare(signal)
    expect(ca.counts.requests).toBe(1)
    still.advance(1)
    await Promise.all([http.prepare(signal), http.prepare(signal)])
    expect(ca.counts.requests).toBe(2)
  })

  test('loads the directory, then a nonce that the next request uses', async () => {
    const still = new StillClock()
    http.close()
    http = open({ clock: still })
    await http.prepare(signal)
    still.advance(10_000)
    await http.prepare(signal)
    const { client } = await takenOver()
    await client.createAccount({ termsOfServiceAgreed: true })
    expect(ca.counts.requests).toBe(3)
  })

  test('rejects with a NoResponseError while the CA cannot be reached, and tries again at each call', async () => {
    const fault = ca.fault({ on: 'directory', breakOff: 'reset', times: 2 })
    await expect(http.prepare(signal)).rejects.toBeInstanceOf(NoResponseError)
    await expect(http.prepare(signal)).rejects.toBeInstanceOf(NoResponseError)
    await http.prepare(signal)
    expect(fault.hits).toBe(2)
  })

  test('resolves if the CA responds with an error', async () => {
    ca.fault({ on: 'directory', status: 503 })
    await http.prepare(signal)
    expect(ca.counts.requests).toBe(1)
  })

  test.each([
    ['the status 403 without a problem', { status: 403, body: '<html>' }],
    ['a page in place of the directory', { status: 200, body: '<html>' }],
    ['a redirect to another protocol', { status: 302, location: 'http://127.0.0.1/' }],
  ])('rejects with an UnverifiedResponseError after %s, and tries again at each call', async (_, answer) => {
    const fault = ca.fault({ on: 'directory', contentType: 'text/html', ...answer, times: 2 })
    await expect(http.prepare(signal)).rejects.toBeInstanceOf(UnverifiedResponseError)
    await expect(http.prepare(signal)).rejects.toBeInstanceOf(UnverifiedResponseError)
    await http.prepare(signal)
    expect(fault.hits).toBe(2)
  })

  test('rejects with an UnverifiedResponseError if a nonce is refused, unless the CA may be overloaded', async () => {
    const still = new StillClock()
    http.close()
    http = open({ clock: still })
    await http.directory(signal)
    still.advance(10_000)
    ca.fault({ on: 'newNonce', status: 403 })
    await expect(http.prepare(signal)).rejects.toBeInstanceOf(UnverifiedResponseError)
    for (const status of [429, 503]) {
      const fault = ca.fault({ on: 'newNonce', status })
      await http.prepare(signal)
      expect(fault.hits).toBe(1)
      still.advance(10_000)
    }
  })

  test('resolves if the directory is refused with a problem', async () => {
    ca.fault({ on: 'directory', type: 'malformed', status: 400 })
    await http.prepare(signal)
    expect(ca.counts.requests).toBe(1)
  })

  test('ends with the signal of its caller, and goes on for others', async () => {
    const controller = new AbortController()
    const cancelled = expect(http.prepare(controller.signal)).rejects.toThrow('enough')
    const other = http.prepare(signal)
    controller.abort(new Error('enough'))
    await cancelled
    await other
    expect(ca.counts.requests).toBe(1)
  })

  test('ends with a ClosedError when it is closed', async () => {
    ca.fault({ on: 'directory', hang: true })
    const ended = expect(http.prepare(signal)).rejects.toBeInstanceOf(ClosedError)
    await expect.poll(() => ca.counts.requests).toBe(1)
    http.close()
    await ended
  })
})

test('a nonce of a HEAD response is used once', async () => {
  const { client } = await takenOver()
  await client.createAccount({ termsOfServiceAgreed: true })
  const { client: another } = await takenOver()
  // The cached nonce of the first account, then a new one: neither is used twice, so none is rejected.
  const before = ca.counts.requests
  await Promise.all([
    another.createAccount({ termsOfServiceAgreed: true }),
    client.createOrder({ identifiers: [{ type: 'dns', value: 'a.example' }] }),
  ])
  await client.createOrder({ identifiers: [{ type: 'dns', value: 'b.example' }] })
  await client.createOrder({ identifiers: [{ type: 'dns', value: 'c.example' }] })
  expect(ca.counts.requests - before).toBe(5)
})

describe('clockOffsetMs', () => {
  const { signal } = new AbortController()

  test('is the Date of the last response minus the time of this machine', async () => {
    const still = new StillClock()
    http.close()
    http = open({ clock: still })
    expect(http.clockOffsetMs).toBeUndefined()
    still.advance(3_600_000)
    await http.directory(signal)
    // Date has whole seconds.
    expect(Math.abs((http.clockOffsetMs ?? 0) + 3_600_000)).toBeLessThan(120_000)
    const offset = http.clockOffsetMs
    still.advance(60_000)
    expect(http.clockOffsetMs).toBe(offset)
  })
})
