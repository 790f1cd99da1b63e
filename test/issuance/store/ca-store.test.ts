import { describe, expect, test, vi } from 'vitest'
import type { KeyType } from '../../../src/certificates/certificate-id.js'
import { CaStore } from '../../../src/issuance/store/ca-store.js'
import { certId } from '../../support/cert-id.js'
import { LockingStore } from '../../support/locking-store.js'
import { VirtualClock } from '../../support/virtual-clock.js'

const failure = { failures: 2, retryAt: 3, at: 1, message: 'no' }
const renewalInfo = { serialNumber: '0A', window: { start: 1, end: 2 }, askAt: 3 }
const value = Buffer.from('value')

function setup(ca: string) {
  const store = new LockingStore()
  return { store, caStore: new CaStore(store, ca, new VirtualClock()) }
}
const json = (data: Uint8Array | undefined) => JSON.parse(Buffer.from(data ?? '').toString())

describe.each([[''], ['ca.example_14000~']])('with the prefix %j', (ca) => {
  test.each<[KeyType, string]>([
    ['ecdsa-p256', `${ca}a.example`],
    ['rsa-2048', `${ca}a.example+rsa`],
  ])('the records of an %s certificate are stored under %s', async (keyType, key) => {
    const { store, caStore } = setup(ca)
    const id = certId('a.example', { ca, keyType })
    await caStore.writeFailure(id, failure)
    await caStore.writeRenewalInfo(id, renewalInfo)
    expect([...store.values.keys()]).toEqual([`${key}+failure`, `${key}+renewal`])
    expect(json(store.values.get(`${key}+failure`))).toEqual(failure)
    expect(json(store.values.get(`${key}+renewal`))).toEqual(renewalInfo)
    expect(await caStore.readFailure(id)).toEqual(failure)
    expect(await caStore.readRenewalInfo(id)).toEqual(renewalInfo)
    await caStore.removeFailure(id)
    expect([...store.values.keys()]).toEqual([`${key}+renewal`])
    expect(await caStore.readFailure(id)).toBeUndefined()
  })

  test('challenge answers are stored under the token, or under the name', async () => {
    const { store, caStore } = setup(ca)
    const http01 = { kind: 'http-01', ca, token: 'token' } as const
    const tlsAlpn01 = { kind: 'tls-alpn-01', ca, name: certId('a.example').name } as const
    await caStore.writeAnswer(http01, value)
    await caStore.writeAnswer(tlsAlpn01, value)
    expect([...store.values.keys()]).toEqual([`${ca}token+http-01`, `${ca}a.example+token`])
    expect(await caStore.readAnswer(http01)).toEqual(value)
    expect(await caStore.readAnswer(tlsAlpn01)).toEqual(value)
    await caStore.removeAnswer(http01)
    expect(await caStore.readAnswer(http01)).toBeUndefined()
    await caStore.removeAnswer(tlsAlpn01)
    expect(store.values.size).toBe(0)
  })

  test('the account key is read under both its keys, and written under the new one', async () => {
    const { store, caStore } = setup(ca)
    expect(caStore.ca).toBe(ca)
    await caStore.writeAccountKey('pem')
    expect([...store.values]).toEqual([[`${ca}acme_account+key`, Buffer.from('pem')]])
    store.values.set(`${ca}acme_account.key`, Buffer.from('old'))
    const read = (kind: 'account key' | 'legacy account key') => caStore.readAccountKey({ kind, ca })
    expect(await read('account key')).toEqual(Buffer.from('pem'))
    expect(await read('legacy account key')).toEqual(Buffer.from('old'))
    store.values.clear()
    expect(await read('account key')).toBeUndefined()
    expect(await read('legacy account key')).toBeUndefined()
  })

  test('runOnce works under the lock of the entry’s key', async () => {
    const { store, caStore } = setup(ca)
    const { signal } = new AbortController()
    const id = certId('a.example', { ca, keyType: 'rsa-2048' })
    const find = vi.fn(async () => undefined)
    const work = vi.fn(async () => ({ value: store.held(`${ca}a.example+rsa+renewal`) }))
    expect(await caStore.runOnce({ kind: 'renewal', id }, { signal, find, work })).toBe(true)
    expect(find).toHaveBeenCalledTimes(1)
    const name = `${ca}a.example+rsa+renewal`
    expect(store.take()).toEqual([`lock ${name}`, `unlock ${name}`])
  })
})

test.each([
  ['bytes that are not JSON', '{"failures":1,"retr'],
  ['JSON without the required properties', '{}'],
  ['null', 'null'],
  ['no bytes', ''],
])('%s are read as if there were no record', async (_, text) => {
  const { store, caStore } = setup('')
  const id = certId('a.example')
  store.values.set('a.example+failure', Buffer.from(text))
  store.values.set('a.example+renewal', Buffer.from(text))
  expect(await caStore.readFailure(id)).toBeUndefined()
  expect(await caStore.readRenewalInfo(id)).toBeUndefined()
})

test('methods pass their options to the store', async () => {
  const { store, caStore } = setup('')
  const options = { signal: new AbortController().signal }
  const id = certId('a.example')
  const get = vi.spyOn(store, 'get')
  const put = vi.spyOn(store, 'put')
  await caStore.readFailure(id, options)
  await caStore.readRenewalInfo(id, options)
  await caStore.readAccountKey({ kind: 'account key', ca: '' }, options)
  await caStore.writeRenewalInfo(id, renewalInfo, options)
  await caStore.writeAnswer({ kind: 'http-01', ca: '', token: 'token' }, value, options)
  await caStore.writeAccountKey('pem', options)
  expect(get.mock.calls.map((call: unknown[]) => call[1])).toEqual([options, options, options])
  expect(put.mock.calls.map((call: unknown[]) => call[2])).toEqual([options, options, options])
})

test('methods reject with the store’s error', async () => {
  const { store, caStore } = setup('')
  const down = new Error('down')
  store.before = () => Promise.reject(down)
  const id = certId('a.example')
  const answer = { kind: 'http-01', ca: '', token: 'token' } as const
  const operations = [
    () => caStore.readFailure(id),
    () => caStore.writeFailure(id, failure),
    () => caStore.removeFailure(id),
    () => caStore.readRenewalInfo(id),
    () => caStore.writeRenewalInfo(id, renewalInfo),
    () => caStore.readAnswer(answer),
    () => caStore.writeAnswer(answer, value),
    () => caStore.removeAnswer(answer),
    () => caStore.readAccountKey({ kind: 'account key', ca: '' }),
    () => caStore.writeAccountKey('pem'),
  ]
  for (const operation of operations) await expect(operation()).rejects.toBe(down)
})

test.each([
  ['an hour ahead of', -3_600_000, -3_600_000],
  ['an hour behind', 3_600_000, 3_600_000],
  ['less than a minute from', 59_999, 0],
])(
  'a failure record of a machine whose clock is %s the CA’s has the time of the CA in the store',
  async (_, offsetMs, shiftMs) => {
    const store = new LockingStore()
    const clock = new VirtualClock()
    const caStore = new CaStore(store, '', clock, { clockOffsetMs: () => offsetMs })
    const id = certId('a.example')
    const [at, retryAt] = [clock.now(), clock.now() + 60_000]
    const record = { ...failure, at, retryAt }
    await caStore.writeFailure(id, record)
    const stored = json(store.values.get('a.example+failure'))
    expect(stored).toEqual({ ...record, at: at + shiftMs, retryAt: retryAt + shiftMs })
    expect(await caStore.readFailure(id)).toEqual(record)
    const withoutTime = { failures: 1, retryAt, message: 'of an older version' }
    store.values.set('a.example+failure', Buffer.from(JSON.stringify(withoutTime)))
    expect(await caStore.readFailure(id)).toEqual({ ...withoutTime, retryAt: retryAt - shiftMs })
  },
)
