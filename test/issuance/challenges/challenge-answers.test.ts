import { expect, test } from 'vitest'
import type { CacheOperationOptions } from '../../../src/index.js'
import {
  type AnsweredChallenge,
  ChallengeAnswers,
} from '../../../src/issuance/challenges/challenge-answers.js'
import { CaStore } from '../../../src/issuance/store/ca-store.js'
import { ChallengeRateLimitError, toError } from '../../../src/util/errors.js'
import { certId, host as requireHost } from '../../support/cert-id.js'
import { makeBundle } from '../../support/certificates.js'
import { MemoryStore } from '../../support/memory-store.js'
import { VirtualClock } from '../../support/virtual-clock.js'

const host = requireHost('a.example')
const { name } = certId('a.example')
const signal = new AbortController().signal
const http01 = { type: 'http-01', name, token: 'token', value: Buffer.from('answer') } as const
const tlsAlpn01 = async () =>
  ({ type: 'tls-alpn-01', name, token: 'token', value: (await makeBundle({ host })).data }) as const

function setup() {
  const store = new MemoryStore()
  const clock = new VirtualClock()
  const answered: AnsweredChallenge[] = []
  const onAnswer = (challenge: AnsweredChallenge) => answered.push(challenge)
  const world = { checkHost: async (_: string) => {} }
  const checkHost = (host: string) => world.checkHost(host)
  const answers = new ChallengeAnswers({ store: new CaStore(store, '', clock), clock, checkHost, onAnswer })
  return { store, answered, answers, world }
}

test('withdraw does not reject if the store fails, and the answer is no longer served from memory', async () => {
  const { store, answers } = setup()
  await answers.publish(http01, signal)
  expect(answers.pendingHttp01('token')).toEqual(http01.value)
  store.before = () => Promise.reject(new Error('down'))
  await answers.withdraw(http01, { mayBeReplaced: false })
  expect(store.values.has('token+http-01')).toBe(true)
  expect(answers.pendingHttp01('token')).toBeUndefined()
})

test('withdraw leaves an answer under the host’s name in the store if another machine may have replaced it', async () => {
  const { store, answers } = setup()
  const answer = await tlsAlpn01()
  await answers.publish(answer, signal)
  expect(answers.pendingTlsAlpn01(host)).toBeDefined()
  await answers.withdraw(answer, { mayBeReplaced: true })
  expect(store.values.has('a.example+token')).toBe(true)
  expect(answers.pendingTlsAlpn01(host)).toBeUndefined()
  await answers.withdraw(answer, { mayBeReplaced: false })
  expect(store.values.has('a.example+token')).toBe(false)
})

test('withdraw deletes an answer under its token even if another machine may hold the lock', async () => {
  const { store, answers } = setup()
  await answers.publish(http01, signal)
  await answers.withdraw(http01, { mayBeReplaced: true })
  expect(store.values.size).toBe(0)
})

test('stored bytes that are not a certificate are not used as a tls-alpn-01 answer', async () => {
  const { store, answers } = setup()
  store.values.set('a.example+token', Buffer.from('rubbish'))
  expect(await answers.storedTlsAlpn01(host, '192.0.2.1')).toBeUndefined()
})

test('each answer is reported with its type and whether it came from memory or from the store', async () => {
  const { answers, answered } = setup()
  await answers.publish(http01, signal)
  await answers.publish(await tlsAlpn01(), signal)
  answers.pendingHttp01('token')
  await answers.storedHttp01('token', host, '192.0.2.1')
  answers.pendingTlsAlpn01(host)
  await answers.storedTlsAlpn01(host, '192.0.2.1')
  answers.pendingHttp01('another')
  await answers.storedHttp01('another', host, '192.0.2.1')
  expect(answered).toEqual([
    { type: 'http-01', host, from: 'memory' },
    { type: 'http-01', host, from: 'store' },
    { type: 'tls-alpn-01', host, from: 'memory' },
    { type: 'tls-alpn-01', host, from: 'store' },
  ])
})

test('publish passes its signal to the store, and the answer is in memory while the store writes', async () => {
  const { store, answers } = setup()
  let seen: unknown
  store.put = async (_key, _data, options?: CacheOperationOptions) => {
    seen = [options?.signal, answers.pendingHttp01('token')]
  }
  await answers.publish(http01, signal)
  expect(seen).toEqual([signal, http01.value])
})

test('the rate is limited first, then the host is checked, and then the store is read', async () => {
  const { store, answers, world } = setup()
  const checked: string[] = []
  world.checkHost = async (name) => {
    checked.push(name)
    throw new Error('refused')
  }
  const reads = Array.from({ length: 60 }, (_, index) =>
    answers.storedHttp01('token', requireHost(`h${index}.example`), '192.0.2.1').catch(toError),
  )
  const errors = await Promise.all(reads)
  expect(errors.filter((error) => error instanceof ChallengeRateLimitError)).toHaveLength(10)
  expect(checked).toHaveLength(50)
  expect(store.take()).toEqual([])
})

test('concurrent reads of one token share the check of their own host only', async () => {
  const { store, answers, world } = setup()
  const checked: string[] = []
  world.checkHost = async (name) => {
    checked.push(name)
    if (name !== 'a.example') throw new Error('refused')
  }
  store.values.set('token+http-01', http01.value)
  const read = (name: string) => answers.storedHttp01('token', requireHost(name), '192.0.2.1').catch(toError)
  const [first, refused, second] = await Promise.all(['a.example', 'b.example', 'a.example'].map(read))
  expect([first, second]).toEqual([http01.value, http01.value])
  expect(refused).toEqual(new Error('refused'))
  expect(checked).toEqual(['a.example', 'b.example'])
  expect(store.take()).toHaveLength(1)
})
