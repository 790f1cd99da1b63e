// Type-checks users' code against the installed package, under every module resolution.
import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Uses every entry. */
const code = `import { type CertCache, CertManager, EncryptedCertCache, type HostPolicy, type HttpHandlerOptions, LruCertCache, type LockingCertCache, StoreError } from 'acme-cert-cache'
import { S3CertCache } from 'acme-cert-cache/s3'
import { SqlCertCache } from 'acme-cert-cache/sql'
import { certCacheContract, MemoryCertCache, TestCa } from 'acme-cert-cache/testing'
declare const cache: CertCache
const manager: CertManager = new CertManager({ cache, hostPolicy: ['a.example'], acme: { termsOfServiceAgreed: true } })
manager.on('issued', ({ host }) => host.toUpperCase())
const stores = (sql: SqlCertCache, s3: S3CertCache): CertCache[] => [sql, s3]
const locking = (sql: SqlCertCache, s3: S3CertCache): LockingCertCache[] => [sql, s3, new MemoryCertCache()]
const encrypted = (s3: S3CertCache) => new EncryptedCertCache(s3, { keys: { current: { id: 'a', key: Buffer.alloc(32) } } })
const lru = new LruCertCache(new MemoryCertCache(), { max: 10 })
const isFull = (error: unknown) => error instanceof StoreError && error.code === 'ERR_STORE_TIMEOUT'
const policy: HostPolicy = (host, { reason, remoteAddress }) => reason !== 'handshake' || remoteAddress !== host
const options: HttpHandlerOptions = { redirectStatus: 308, httpsPort: 8443, trustedProxies: ['10.0.0.0/8'] }
class Renamed extends StoreError {}
const start = async (): Promise<TestCa> => TestCa.start()
const contract = certCacheContract({
  async open() {
    const store = new MemoryCertCache()
    return { store, peer: async () => store.peer(), close: async () => undefined }
  },
  without: ['cutOff'],
})
for (const { name, run, timeoutMs } of contract) setTimeout(() => run().catch(() => name), timeoutMs)
// @ts-expect-error: the policy is mandatory
new CertManager({ cache, acme: { termsOfServiceAgreed: true } })
export { options, policy, stores, locking, encrypted, lru, isFull, Renamed, start }
`
/** Only for CommonJS: \`require\` and \`import()\` have the same types. */
const mixed = `
import required = require('acme-cert-cache')
export async function both(): Promise<CertManager[]> {
  const imported = await import('acme-cert-cache')
  const options = { cache, hostPolicy: ['a.example'], acme: { termsOfServiceAgreed: true } } as const
  return [new imported.CertManager(options), new required.CertManager(options)]
}
`
const events = `import * as http from 'node:http'
import * as http2 from 'node:http2'
import { CertManager, type CertManagerEvents } from 'acme-cert-cache'
declare const manager: CertManager
const name: keyof CertManagerEvents = 'renewed'
manager.on(name, () => undefined).once('issued', ({ host, durationMs }) => host.repeat(durationMs))
manager.addListener('loaded', ({ notAfter }) => notAfter.getTime()).off('loaded', () => undefined)
const count: number = manager.listenerCount('served')
const servers = [
  http.createServer(manager.httpHandler(undefined, { redirectStatus: 308 })),
  http.createServer(manager.httpHandler((req, res) => void res.end(req.url))),
  http2.createServer(manager.httpHandler()),
  http2.createServer(manager.httpHandler((req: http2.Http2ServerRequest, res: http2.Http2ServerResponse) => void res.end(req.url))),
]
${[
  "on('isued', () => undefined)",
  "once('isued', () => undefined)",
  "addListener('isued', () => undefined)",
  "prependListener('isued', () => undefined)",
  "off('isued', () => undefined)",
  "on('issued', ({ hostname }) => hostname)",
]
  .map((call) => `// @ts-expect-error: no such event, or no such property of it\nmanager.${call}\n`)
  .join('')}export { count, servers }
`

/** @type {readonly { module: string, resolution: string, extensions: readonly string[] }[]} */
const settings = [
  { module: 'commonjs', resolution: 'node10', extensions: ['ts'] },
  { module: 'node16', resolution: 'node16', extensions: ['mts', 'cts'] },
  { module: 'nodenext', resolution: 'nodenext', extensions: ['mts', 'cts'] },
  { module: 'esnext', resolution: 'bundler', extensions: ['mts'] },
]

/**
 * @param {string} folder a project with the package and its peers installed
 * @param {{ old: string, current: string, typeRoots: string }} tools the two compilers, and a folder with the versions
 *   of `@types/node`
 */
export function checkTypes(folder, { old, current, typeRoots }) {
  for (const extension of ['ts', 'mts', 'cts']) {
    writeFileSync(join(folder, `types.${extension}`), extension === 'cts' ? code + mixed : code)
  }
  const check = (/** @type {string} */ tsc, /** @type {string[]} */ args, cwd = folder) => {
    console.log(`$ ${tsc === old ? 'tsc 5.9' : 'tsc'} ${args.join(' ')}`)
    const all = [
      tsc,
      '--noEmit',
      '--strict',
      '--target',
      'es2022',
      '--lib',
      'es2022,esnext.disposable',
      ...args,
    ]
    execFileSync(process.execPath, all, { cwd, stdio: 'inherit' })
  }
  for (const { module, resolution, extensions } of settings) {
    const files = extensions.map((extension) => `types.${extension}`)
    const args = ['--types', 'node', '--module', module, '--moduleResolution', resolution, ...files]
    check(old, args)
    // TypeScript 7 has no node10.
    if (resolution !== 'node10') check(current, args)
  }
  for (const version of [20, 22, 24, 26]) {
    const alone = join(folder, `events-${version}`)
    mkdirSync(join(alone, 'node_modules/@types'), { recursive: true })
    symlinkSync(join(typeRoots, `node-${version}`), join(alone, 'node_modules/@types/node'), 'junction')
    writeFileSync(join(alone, 'events.mts'), events)
    console.log(`with @types/node ${version}:`)
    for (const tsc of [old, current])
      check(tsc, ['--types', 'node', '--module', 'nodenext', 'events.mts'], alone)
  }
}
