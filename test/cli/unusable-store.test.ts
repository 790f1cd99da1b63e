import { ContainerSASPermissions } from '@azure/storage-blob'
import { expect, test } from 'vitest'
import { makeBundle } from '../support/certificates.js'
import { accessTo } from '../support/cli.js'
import { openOperator, runInProcess } from './in-process.js'
import { oneLine } from './one-line.js'
import { commands, type UnusableStore, unusableStores, wrongKey } from './unusable-store.js'

async function expectOneLine([command, ...args]: readonly string[], store: UnusableStore) {
  const { name, flags, env, message } = store
  const result = await runInProcess([command as string, ...flags, ...args], { env })
  expect({ name, command, ...result }).toEqual({
    name,
    command,
    code: 1,
    stdout: '',
    stderr: oneLine(message),
  })
  for (const [variable, value] of Object.entries(env)) {
    if (variable !== 'AZURE_STORAGE_ACCOUNT') expect(result.stderr).not.toContain(value)
  }
}

test('ls reports each kind of unusable store in one line', async () => {
  for (const store of await unusableStores()) await expectOneLine(['ls'], store)
})

test('every command reports a missing container in one line', async () => {
  const [noContainer] = await unusableStores()
  for (const command of commands) await expectOneLine(command, noContainer as UnusableStore)
})

test('a read-only SAS is enough for ls and show; rm names the permissions that it lacks', async () => {
  const { client, store, runWith } = await openOperator()
  await store.put('a.example', (await makeBundle({ host: 'a.example' })).data)
  const url = await client.generateSasUrl({
    permissions: ContainerSASPermissions.parse('rl'),
    expiresOn: new Date(Date.now() + 600_000),
  })
  const env = { AZURE_STORAGE_SAS_TOKEN: new URL(url).search, AZURE_STORAGE_KEY: '' }
  expect(await runWith({ env }, 'ls')).toMatchObject({ code: 0, stderr: '' })
  expect(await runWith({ env }, 'show', 'a.example')).toMatchObject({ code: 0, stderr: '' })
  const stderr = oneLine(/delete .*a\.example.* read, add, create, write and delete/)
  expect(await runWith({ env }, 'rm', 'a.example', '--yes')).toMatchObject({ code: 1, stderr })
  expect(await store.get('a.example')).toBeDefined()
})

test('a connection string is enough, and --endpoint takes precedence over it', async () => {
  const { accountName, accountKey, endpoint, containerName } = (await openOperator()).connect
  const env = {
    AZURE_STORAGE_CONNECTION_STRING: `DefaultEndpointsProtocol=http;AccountName=${accountName};AccountKey=${accountKey};BlobEndpoint=${endpoint};`,
  }
  expect(await runInProcess(['ls', '--container', containerName], { env })).toMatchObject({ code: 0 })
  const { flags } = accessTo(containerName, 'http://127.0.0.1:1/fleet')
  const elsewhere = await runInProcess(['ls', ...flags, '--account', 'fleet'], {
    env: { ...env, ...wrongKey },
  })
  expect(elsewhere).toMatchObject({ code: 1, stderr: oneLine(/firewall/) })
})
