import { ListObjectsV2Command } from '@aws-sdk/client-s3'
import { expect, onTestFinished, test } from 'vitest'
import { clientSettings, startS3Server } from '../support/s3-server.js'
import { expectCertificate, expectToStop, host, startProgram } from './programs.js'

test('s3 stores the certificate in its bucket', async () => {
  const server = await startS3Server()
  onTestFinished(server.close)
  const S3_BUCKET = await server.freshBucket()
  const { credentials, region } = clientSettings(server.endpoint)
  const program = await startProgram('s3', {
    S3_BUCKET,
    AWS_ENDPOINT_URL_S3: server.endpoint,
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  })
  await expectCertificate(program)
  await expectToStop(program)
  const { Contents = [] } = await server.client.send(new ListObjectsV2Command({ Bucket: S3_BUCKET }))
  expect(Contents.map(({ Key }) => Key)).toContainEqual(expect.stringMatching(new RegExp(`~${host}$`)))
})
