// A program that keeps one host with a stored certificate. Nothing else keeps the process running, so it exits.
import { CertManager } from 'acme-cert-cache'
import { MemoryCertCache } from 'acme-cert-cache/testing'

const host = 'a.example'
const cache = new MemoryCertCache()
await cache.put(host, Buffer.from(String(process.env.CERTIFICATE)))
const manager = new CertManager({ cache, hostPolicy: [host], acme: { termsOfServiceAgreed: true } })
await manager.ensure([host])
process.stdout.write(`${manager.status()[0]?.source}`)
