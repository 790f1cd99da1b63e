import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { certificateId } from '../../src/acme/renewal-info.js'
import type { TestCa } from '../../src/testing/index.js'
import { obtain, registered, startCa, type TestClient } from './client.js'

const problem = (type: string) => ({ message: expect.stringContaining(type) })
const identifiers = [{ type: 'dns', value: 'example.test' }]

async function issued(ca: TestCa, t: TestClient) {
  const { key, pem } = await obtain(ca, t, ['example.test'])
  return {
    id: (await certificateId(Buffer.concat([key, Buffer.from(pem)])))!,
    leaf: new X509Certificate(pem),
  }
}

test('a window around two thirds of the lifetime is suggested, or the one that was set', async () => {
  const ca = await startCa()
  const t = await registered(ca)
  const { id, leaf } = await issued(ca, t)
  const ask = () => t.http.request(`${ca.directoryUrl.replace(/directory$/, 'renewalInfo')}/${id}`, 'get')
  const { data, headers } = await ask()
  const { start, end } = data.suggestedWindow as { start: string; end: string }
  const share = (time: string) =>
    (Date.parse(time) - Date.parse(leaf.validFrom)) / (Date.parse(leaf.validTo) - Date.parse(leaf.validFrom))
  expect(share(start)).toBeCloseTo(2 / 3, 3)
  expect(share(end)).toBeCloseTo(2 / 3 + 1 / 45, 3)
  expect(headers['retry-after']).toBe('21600')
  ca.suggestRenewal(leaf.serialNumber, { start: 0, end: 1_000 })
  expect((await ask()).data).toEqual({
    suggestedWindow: { start: '1970-01-01T00:00:00.000Z', end: '1970-01-01T00:00:01.000Z' },
  })
  expect(ca.counts.renewalInfos).toBe(2)
})

test('a certificate is replaced once, by the account that ordered it, for one of its names', async () => {
  const ca = await startCa()
  const [owner, other] = [await registered(ca), await registered(ca)]
  const { id } = await issued(ca, owner)
  const replace = ({ client }: TestClient, value = 'example.test', replaces = id) =>
    client.createOrder(Object.assign({ identifiers: [{ type: 'dns', value }] }, { replaces }))
  await expect(replace(other)).rejects.toMatchObject(problem('another account'))
  await expect(replace(owner, 'other.test')).rejects.toMatchObject(problem('none of these names'))
  await expect(replace(owner, 'example.test', 'aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE')).rejects.toMatchObject(
    problem('no certificate of this CA'),
  )
  expect(await replace(owner)).toMatchObject({ status: 'pending', replaces: id })
  await expect(replace(owner)).rejects.toMatchObject(problem('replaces that certificate'))
  expect(ca.orders.at(-1)).toEqual({
    hosts: ['example.test'],
    status: 'pending',
    profile: undefined,
    replaces: id,
  })
})

test('profiles are those that are offered; without any, a wish is passed over', async () => {
  const ca = await startCa()
  const { client } = await registered(ca)
  const order = (profile: string) => client.createOrder(Object.assign({ identifiers }, { profile }))
  await order('anything')
  ca.profiles = { shortlived: 'six days' }
  expect(await order('shortlived')).toMatchObject({ profile: 'shortlived' })
  await expect(order('tlsserver')).rejects.toMatchObject(problem('There is no profile tlsserver'))
  expect(ca.orders.map(({ profile }) => profile)).toEqual(['anything', 'shortlived'])
})
