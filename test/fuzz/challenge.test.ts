import fc from 'fast-check'
import { expect } from 'vitest'
import { ChallengeAnswers } from '../../src/issuance/challenges/challenge-answers.js'
import { CaStore } from '../../src/issuance/store/ca-store.js'
import { systemClock } from '../../src/util/clock.js'
import { host as requireHost } from '../support/cert-id.js'
import { MemoryStore } from '../support/memory-store.js'
import { ecdsa } from './fixtures.js'
import { damaged, property } from './support.js'

const ca = 'ca.example~'
const host = requireHost('example.com')
const client = '192.0.2.1'

/** Creates challenge answers on a store that holds this value for the host and for the token. */
function answers(value: Uint8Array) {
  const store = new MemoryStore()
  store.values.set('ca.example~example.com+token', value)
  store.values.set('ca.example~token+http-01', value)
  const reported: string[] = []
  return {
    reported,
    answers: new ChallengeAnswers({
      store: new CaStore(store, ca, systemClock),
      clock: systemClock,
      checkHost: async () => {},
      onAnswer: ({ type }) => reported.push(type),
    }),
  }
}

property(
  'any bytes stored as a tls-alpn-01 answer result in a context, a miss, or an OpenSSL error',
  300,
  fc.oneof(damaged(ecdsa.data, ['-----', '\n', '-----BEGIN CERTIFICATE-----\n']), fc.uint8Array()),
  async (value) => {
    const { answers: found, reported } = answers(value)
    const context = await found.storedTlsAlpn01(host, client).catch((error: unknown) => {
      expect(error).toHaveProperty('code', expect.stringMatching(/^ERR_(OSSL|SSL|CRYPTO|TLS)_/))
      expect(String(error)).not.toContain('-----')
      return undefined
    })
    if (context !== undefined) expect(context.context).toBeDefined()
    expect(reported).toEqual(context ? ['tls-alpn-01'] : [])
  },
)

property('an http-01 answer is returned unchanged', 200, fc.uint8Array(), async (value) => {
  const { answers: found, reported } = answers(value)
  expect(Buffer.compare((await found.storedHttp01('token', host, client)) as Uint8Array, value)).toBe(0)
  expect(reported).toEqual(['http-01'])
})
