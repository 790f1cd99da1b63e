import { expect, test } from 'vitest'
import { ClosedError, HostError } from '../../src/index.js'
import { hostPolicyFunction, type NameRule, nameRule, PolicyGate } from '../../src/manager/host-policy.js'
import { sharedController } from '../../src/util/deadline.js'
import { occasion } from '../support/cert-id.js'
import { VirtualClock } from '../support/virtual-clock.js'

function gate(policy: (host: string) => boolean | Promise<boolean>, isRefused?: NameRule) {
  const clock = new VirtualClock()
  const closing = sharedController()
  const calls: string[] = []
  const counted = (host: string) => {
    calls.push(host)
    return policy(host)
  }
  return { clock, closing, calls, policy: new PolicyGate(counted, clock, closing.signal, isRefused) }
}
const refused = expect.objectContaining({ code: 'ERR_HOST_POLICY' })
const failed = (cause: RegExp) =>
  expect.objectContaining({
    code: 'ERR_HOST_POLICY_FAILED',
    cause: expect.objectContaining({ message: expect.stringMatching(cause) }),
  })

test('concurrent checks of one name share one call of a slow policy', async () => {
  let answer = (_: boolean) => {}
  const { policy, calls } = gate(
    () =>
      new Promise((resolve) => {
        answer = resolve
      }),
  )
  const checks = Array.from({ length: 1_000 }, () => policy.check('a.example', occasion))
  expect(calls).toEqual(['a.example'])
  answer(false)
  for (const check of checks) await expect(check).rejects.toEqual(refused)
  void policy.check('a.example', occasion).catch(() => undefined)
  expect(calls).toHaveLength(2)
})

test('a policy that never answers refuses the host after 30 s', async () => {
  const { policy, clock } = gate(() => new Promise(() => {}))
  const check = policy.check('a.example', occasion)
  clock.advance(30_000)
  await expect(check).rejects.toEqual(failed(/no answer within 30 s/))
})

test('a policy that hangs is called for at most 1,000 names; further checks reject at once', async () => {
  const { policy, clock, calls } = gate(() => new Promise(() => {}))
  const checks = Array.from({ length: 1_500 }, (_, index) => policy.check(`h${index}.example`, occasion))
  const late = Promise.allSettled(checks.slice(1_000))
  expect(new Set((await late).map(({ status }) => status))).toEqual(new Set(['rejected']))
  clock.advance(30_000)
  await Promise.allSettled(checks)
  expect(clock.pending).toBe(0)
  expect(calls).toHaveLength(1_000)
})

const letsEncrypt = 'https://acme-staging-v02.api.letsencrypt.org/directory'
const reserved = [
  'a.localhost',
  'printer.local',
  'db.internal',
  'nas.home.arpa',
  'home.arpa',
  'a.b.test',
  'a.invalid',
  'abc.onion',
]

test.each(reserved)('%s is refused before the policy is called if the CA is Let’s Encrypt', async (host) => {
  for (const isPrivate of [false, true]) {
    const isRefused = nameRule(isPrivate ? 'https://letsencrypt.org.ca.example/' : letsEncrypt)
    const { policy, calls } = gate(() => true, isRefused)
    const check = policy.check(host, occasion)
    if (isPrivate) await check
    else await expect(check).rejects.toMatchObject({ code: 'ERR_HOST_NAME', host })
    expect(calls).toEqual(isPrivate ? [host] : [])
    const list = () => hostPolicyFunction(['a.example', host.toUpperCase()], isRefused)
    if (isPrivate) expect(list()(host, occasion)).toBe(true)
    else expect(list).toThrow(`hostPolicy: "${host}" is reserved for private networks`)
  }
})

test.each([
  'a.localhosts',
  'arpa.home.example',
  'mylocal.example',
  'xlocal.com',
  'local.example.com',
  'a.home-arpa.com',
])('%s is not reserved', async (host) => {
  const { policy, calls } = gate(() => true, nameRule(letsEncrypt))
  await policy.check(host, occasion)
  expect(calls).toEqual([host])
})

test.each([
  ['throws', () => expect.unreachable('broken')],
  ['rejects', () => Promise.reject(new Error('broken'))],
  ['rejects with undefined', () => Promise.reject(undefined)],
])('a policy that %s refuses the host, and the error has a cause', async (_, broken) => {
  const { policy } = gate(broken)
  const error: unknown = await policy.check('a.example', occasion).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(HostError)
  expect(error).toMatchObject({ code: 'ERR_HOST_POLICY_FAILED', cause: expect.any(Error) })
})

test.each([1, 'yes', {}, undefined])('only true allows, not %j', async (verdict) => {
  for (const answer of [verdict, Promise.resolve(verdict)]) {
    await expect(gate(() => answer as boolean).policy.check('a.example', occasion)).rejects.toEqual(refused)
  }
})

test('close ends the wait for a policy', async () => {
  const { policy, closing } = gate(() => new Promise(() => {}))
  const check = policy.check('a.example', occasion)
  closing.abort(new ClosedError('closed'))
  await expect(check).rejects.toBeInstanceOf(ClosedError)
})
