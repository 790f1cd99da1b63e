// Calls connect() while the process has no free file descriptor, and again when it has. Prints both error codes.
import { closeSync, openSync } from 'node:fs'
import { devNull } from 'node:os'
import { AzureBlobCertCache } from 'acme-cert-cache'

const options = {
  containerName: 'certs',
  accountName: 'account',
  accountKey: 'a2V5',
  endpoint: 'http://127.0.0.1:1',
}
const connect = () =>
  AzureBlobCertCache.connect(options).then(
    () => 'connected',
    ({ code }) => code,
  )
const opened = []
try {
  for (;;) opened.push(openSync(devNull, 'r'))
} catch {}
const first = await connect()
for (const descriptor of opened) closeSync(descriptor)
process.stdout.write(`${first} ${await connect()}`)
