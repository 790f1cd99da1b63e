import { generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import type { KeyType } from './layout.js'

const generate = promisify(generateKeyPair)

/** A fresh private key, made off the main thread: RSA would block it for some 140 ms. */
export async function generateKey(type: KeyType): Promise<KeyObject> {
  const { privateKey } =
    type === 'rsa-2048'
      ? await generate('rsa', { modulusLength: 2_048 })
      : await generate('ec', { namedCurve: 'P-256' })
  return privateKey
}
