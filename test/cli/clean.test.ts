import { expect, onTestFinished, test } from 'vitest'
import { azurite } from '../support/azure.js'
import { makeBundle } from '../support/certificates.js'
import { openTap } from '../support/tap.js'
import { openOperator } from './in-process.js'
import { oneLine } from './one-line.js'

const day = 86_400_000
const value = Buffer.from('x')
const expired = () =>
  makeBundle({
    host: 'a.example',
    notBefore: new Date(Date.now() - 9 * day),
    notAfter: new Date(Date.now() - day),
  })

test.each(['n\n', 'yet\n', ''])('clean removes nothing if the answer is %j', async (input) => {
  const { store, runWith, keys } = await openOperator()
  await store.put('a.example', (await expired()).data)
  const { code, stderr } = await runWith({ columns: 200, answer: async () => input }, 'clean')
  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/nothing was removed\n$/) })
  expect(await keys()).toEqual(['a.example'])
})

test.each([
  ['a lock', 'a.example+lock', 60_000],
  ['a blob of doctor', 'doctor-00000000-0000-0000-0000-000000000000', 3_600_000],
  ['a challenge answer', 'a.example+token', day],
])('clean keeps %s until its minimum age', async (_name, key, minAgeMs) => {
  const { client, runWith, keys } = await openOperator()
  await client.uploadBlockBlob(key, value, value.byteLength)
  const written = (await client.getBlobClient(key).getProperties()).lastModified?.getTime() ?? 0
  const cleanAt = (ageMs: number) => runWith({ clock: () => written + ageMs }, 'clean', '--yes')
  expect(await cleanAt(minAgeMs)).toMatchObject({ code: 0, stdout: '' })
  expect(await keys()).toEqual([key])
  expect(await cleanAt(minAgeMs + 1)).toMatchObject({ code: 0, stderr: 'removed 1 blob\n' })
  expect(await keys()).toEqual([])
})

test.each([
  [409, 'Check the blob in the Azure portal'],
  [412, 'Check the blob in the Azure portal'],
  [429, 'Try again'],
  [418, 'Check --endpoint'],
])('rm says what to do if the service refuses with status %i', async (status, advice) => {
  const { store, runWith } = await openOperator()
  await store.put('a.example', value)
  const tap = await openTap(azurite().endpoint)
  onTestFinished(tap.close)
  tap.fault((method) => (method === 'DELETE' ? { status, code: 'Unexpected' } : undefined))
  const { code, stderr } = await runWith({ endpoint: tap.endpoint }, 'rm', 'a.example', '--yes')
  expect({ code, stderr }).toEqual({ code: 1, stderr: oneLine(new RegExp(advice)) })
})
