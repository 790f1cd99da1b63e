import crypto, { type KeyObject } from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import tls from 'node:tls'
import { promisify } from 'node:util'

/*
 * What a world does without of Node, for every importer; to be imported before `src`.
 *
 * Keys are made beforehand and come round again: a thread would take turns of the event loop that virtual time knows
 * nothing of, and with them the same seed would not make the same run. (Made in the same thread, tens of thousands of
 * them, they sooner or later stop Node 20 for good: a garbage collection waits for the lock of a key that is being
 * exported.) Nothing is left then that is not over when all promises have settled. Contexts for sockets, and reading one key again and again, would only take long: 1 ms and 0.5 ms.
 */

const { createPrivateKey, generateKeyPair } = crypto
const mostKeys = 256
const keys = new Map<unknown, KeyObject>()

const generate = promisify(generateKeyPair)
const pool = await Promise.all(
  Array.from({ length: 100 }, async () => (await generate('ec', { namedCurve: 'P-256' })).privateKey),
)
let taken = 0
export const nextKey = (): KeyObject => pool[taken++ % pool.length] as KeyObject

const generateAtOnce = Object.assign(() => {}, {
  [promisify.custom]: async () => ({ privateKey: nextKey() }),
})

Object.assign(crypto, {
  generateKeyPair: generateAtOnce,
  createPrivateKey(pem: string): KeyObject {
    const key = keys.get(pem) ?? createPrivateKey(pem)
    keys.set(pem, key)
    const [oldest] = keys.keys()
    if (keys.size > mostKeys) keys.delete(oldest)
    return key
  },
})
Object.assign(tls, { createSecureContext: () => ({}) })
syncBuiltinESMExports()
