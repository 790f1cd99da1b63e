import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { certificateId } from '../../src/acme/renewal-info.js'
import type { TestCa } from '../../src/testing/index.js'
import { type AcmeUser, obtain, registered, useCa } from './acme-user.js'

const shared = useCa()
const problem = (text: string) => ({ message: expect.stringContaining(text) })
const identifiers = [{ type: 'dns', value: 'example.test' }]

async function issueCertificate(ca: TestCa, user: AcmeUser) {
  const { key, pem } = await obtain(ca, user, ['example.test'])
  return {
    id: (await certificateId(Buffer.concat([key, Buffer.from(pem)])))!,
    leaf: new X509Certificate(pem),
  }
}

test('suggests a window at two thirds of the lifetime, or the window of suggestRenewal', async () => {
  const { ca, user } = shared
  const { id, leaf } = await issueCertificate(ca, user)
  const fetchRenewalInfo = () =>
    user.http.request(`${ca.directoryUrl.replace(/directory$/, 'renewalInfo')}/${id}`, 'get')
  const { data, headers } = await fetchRenewalInfo()
  const { start, end } = data.suggestedWindow as { start: string; end: string }
  const share = (time: string) =>
    (Date.parse(time) - Date.parse(leaf.validFrom)) / (Date.parse(leaf.validTo) - Date.parse(leaf.validFrom))
  expect(share(start)).toBeCloseTo(2 / 3, 3)
  expect(share(end)).toBeCloseTo(2 / 3 + 1 / 45, 3)
  expect(headers['retry-after']).toBe('21600')
  ca.suggestRenewal(leaf.serialNumber, { start: 0, end: 1_000 })
  expect((await fetchRenewalInfo()).data).toEqual({
    suggestedWindow: { start: '1970-01-01T00:00:00.000Z', end: '1970-01-01T00:00:01.000Z' },
  })
  expect(ca.counts.renewalInfos).toBe(2)
})

test('accepts one replacement of a certificate, from its account and for one of its names', async () => {
  const { ca, user: owner } = shared
  const other = await registered(ca)
  const { id } = await issueCertificate(ca, owner)
  const replace = ({ client }: AcmeUser, value = 'example.test', replaces = id) =>
    client.createOrder(Object.assign({ identifiers: [{ type: 'dns', value }] }, { replaces }))
  await expect(replace(other)).rejects.toMatchObject(problem('another account'))
  await expect(replace(owner, 'other.test')).rejects.toMatchObject(problem('none of the names'))
  await expect(replace(owner, 'example.test', 'aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE')).rejects.toMatchObject(
    problem('not a certificate of this CA'),
  )
  expect(await replace(owner)).toMatchObject({ status: 'pending', replaces: id })
  await expect(replace(owner)).rejects.toMatchObject(problem('already replaces this certificate'))
  expect(ca.orders.at(-1)).toEqual({
    hosts: ['example.test'],
    status: 'pending',
    profile: undefined,
    replaces: id,
  })
})

test('accepts only offered profiles, and ignores a profile when it offers none', async () => {
  const { ca } = shared
  const { client } = shared.user
  const order = (profile: string) => client.createOrder(Object.assign({ identifiers }, { profile }))
  await order('anything')
  ca.profiles = { shortlived: 'six days' }
  expect(await order('shortlived')).toMatchObject({ profile: 'shortlived' })
  await expect(order('tlsserver')).rejects.toMatchObject(problem('There is no profile tlsserver'))
  expect(ca.orders.slice(-2).map(({ profile }) => profile)).toEqual(['anything', 'shortlived'])
})
