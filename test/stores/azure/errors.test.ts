import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { AzureBlobCertCache, StoreError } from '../../../src/index.js'
import { echoes, openEcho } from '../../support/echo.js'

const signature = 'c2VjcmV0c2lnbmF0dXJl'

test.each(echoes)('errors do not contain a SAS that the server repeats in %s', async (_name, answer) => {
  const endpoint = `${await openEcho(answer)}?sv=2021-08-06&sr=c&sig=${signature}%3D`
  const options = { endpoint, containerName: 'certs', allowAnonymousRead: true }
  const failures: unknown[] = []
  const store = await AzureBlobCertCache.connect(options).catch((thrown: unknown) => {
    failures.push(thrown)
  })
  await store
    ?.list()
    .next()
    .catch((thrown: unknown) => failures.push(thrown))
  expect(failures).toEqual([expect.any(StoreError)])
  expect(inspect(failures, { depth: null, showHidden: true })).not.toContain(signature)
})
