import { expect, test } from 'vitest'
import { storageLayout } from '../../src/certificates/storage-layout.js'
import { ChallengeAnswers } from '../../src/issuance/challenge-answers.js'
import { makeBundle } from '../support/certificates.js'
import { MemoryStore } from '../support/memory-store.js'
import { VirtualClock } from '../support/virtual-clock.js'

const host = 'a.example'
const signal = new AbortController().signal
const http01 = { type: 'http-01', host, token: 'token', value: Buffer.from('answer') } as const
const tlsAlpn01 = async () =>
  ({ type: 'tls-alpn-01', host, token: 'token', value: (await makeBundle({ host })).data }) as const

function setup() {
  const store = new MemoryStore()
  const layout = storageLayout('https://ca.example/directory', 'ecdsa-p256', '')
  return { store, answers: new ChallengeAnswers(store, layout, new VirtualClock(), () => {}) }
}

test('an answer that cannot be deleted from the store is no longer served from memory', async () => {
  const { store, answers } = setup()
  await answers.publish(http01, signal)
  expect(answers.pendingHttp01('token', host)).toEqual(http01.value)
  store.before = () => Promise.reject(new Error('down'))
  await expect(answers.withdraw(http01, { mayBeReplaced: false })).rejects.toThrow('down')
  expect(answers.pendingHttp01('token', host)).toBeUndefined()
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
