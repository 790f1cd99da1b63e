// A separate process that retries until it acquires a lock, reports it, and holds it until it is killed.
import { setTimeout as sleep } from 'node:timers/promises'
import { S3Client } from '@aws-sdk/client-s3'
import { S3CertCache } from 'acme-cert-cache/s3'

const { S3_SETTINGS, S3_BUCKET } = process.env
const cache = new S3CertCache(new S3Client(JSON.parse(String(S3_SETTINGS))), String(S3_BUCKET))
// A server keeps its process running by a port; the lock alone does not.
setInterval(() => {}, 60_000)
let lock = await cache.tryLock('a.example')
process.send?.(lock ? 'has it' : 'asked')
while (!lock) {
  await sleep(500)
  lock = await cache.tryLock('a.example')
  if (lock) process.send?.('has it')
}
