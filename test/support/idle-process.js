// A program that has a certificate, keeps its host, and has nothing else to do: it ends by itself.
import { CertManager } from 'acme-cert-cache'
import { MemoryCertCache } from 'acme-cert-cache/testing'

const host = 'a.example'
const cache = new MemoryCertCache()
await cache.put(host, Buffer.from(String(process.env.CERTIFICATE)))
const manager = new CertManager({ cache, hostPolicy: [host], acme: { termsOfServiceAgreed: true } })
await manager.ensure([host])
process.stdout.write(`${manager.status()[0]?.source}`)
