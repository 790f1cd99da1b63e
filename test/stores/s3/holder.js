// A machine of its own: asks for a lock until it has it, says so, and keeps it for as long as it lives.
import { setTimeout as sleep } from 'node:timers/promises'
import { S3Client } from '@aws-sdk/client-s3'
import { S3CertCache } from 'acme-cert-cache/s3'

const { S3_SETTINGS, S3_BUCKET } = process.env
const cache = new S3CertCache(new S3Client(JSON.parse(String(S3_SETTINGS))), String(S3_BUCKET))
// Somebody holds a port, a socket or the like in a server; the lock alone keeps no process running.
setInterval(() => {}, 60_000)
let lock = await cache.tryLock('a.example')
process.send?.(lock ? 'has it' : 'asked')
while (!lock) {
  await sleep(500)
  lock = await cache.tryLock('a.example')
  if (lock) process.send?.('has it')
}
