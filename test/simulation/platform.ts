import crypto, { type KeyObject } from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import tls from 'node:tls'
import { promisify } from 'node:util'

/*
 * Replaces parts of Node that the simulation cannot use. Import it before `src`.
 *
 * Keys come from a pool. A key generated in another thread would arrive at a real time, unknown to virtual time, and
 * the same seed would no longer produce the same run. Tens of thousands of keys generated in this thread can block
 * Node 20 for ever: garbage collection waits for the lock of a key that is being exported.
 * TLS contexts (1 ms each) and parsed keys (0.5 ms) are replaced to save time.
 */

const { createPrivateKey, generateKeyPair } = crypto
const maxKeys = 256
const keys = new Map<unknown, KeyObject>()

const generate = promisify(generateKeyPair)
const pool = await Promise.all(
  Array.from({ length: 100 }, async () => (await generate('ec', { namedCurve: 'P-256' })).privateKey),
)
let nextIndex = 0
export const nextKey = (): KeyObject => pool[nextIndex++ % pool.length] as KeyObject

const generateFromPool = Object.assign(() => {}, {
  [promisify.custom]: async () => ({ privateKey: nextKey() }),
})

Object.assign(crypto, {
  generateKeyPair: generateFromPool,
  createPrivateKey(pem: string): KeyObject {
    const key = keys.get(pem) ?? createPrivateKey(pem)
    keys.set(pem, key)
    const [oldest] = keys.keys()
    if (keys.size > maxKeys) keys.delete(oldest)
    return key
  },
})
Object.assign(tls, { createSecureContext: () => ({}) })
syncBuiltinESMExports()
