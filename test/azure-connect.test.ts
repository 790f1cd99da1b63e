import { expect, test } from 'vitest'
import { AzureBlobCertCache } from '../src/index.js'
import { azurite, freshContainer, serviceClient } from './support/azure.js'

test('a container may be called as the account that an emulator’s endpoint ends with', async () => {
  const { accountName } = azurite()
  await serviceClient().getContainerClient(accountName).createIfNotExists()
  const store = await AzureBlobCertCache.connect({ ...azurite(), containerName: accountName })
  await store.put('a.example', Buffer.from('x'))
  expect(await store.get('a.example')).toEqual(Buffer.from('x'))
})

test('messages have the container’s name, whatever the endpoint’s path', async () => {
  const { connect } = await freshContainer()
  const { containerName } = connect
  const connecting = AzureBlobCertCache.connect({ ...connect, endpoint: new URL(connect.endpoint).origin })
  await expect(connecting).rejects.toThrow(`in container ${containerName} (`)
})

test('a credential that gives no token: what to do is said, in one line', async () => {
  const credential = {
    getToken: async () => {
      throw new Error('tried in vain\n  this\n  and that')
    },
  }
  const connecting = AzureBlobCertCache.connect({ accountName: 'fleet', containerName: 'certs', credential })
  await expect(connecting).rejects.toMatchObject({
    code: 'ERR_STORE_CREDENTIALS',
    message: expect.stringMatching(
      /^the credential gave no token \(Error: tried in vain\)\. Check .*an identity.*$/,
    ),
  })
})
