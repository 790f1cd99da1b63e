// The secrets of this process, so that the test can look for them.
import { generateKeyPair, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'

/** @type {Set<string>} Private keys in PEM. */
const keys = new Set()
/** @type {string[]} In base64. */
const bytes = []
/** @type {string[]} */
const texts = []

export const secretsMade = () => ({ keys: [...keys], bytes, texts })

/** @param {string} text */
export function keep(text) {
  texts.push(text)
  return text
}

/** A secret of its own. */
export const makeText = (length = 24) => keep(randomBytes(length).toString('base64'))

export function makeBytes(length = 32) {
  const made = randomBytes(length)
  bytes.push(made.toString('base64'))
  return made
}

/** Also those that are stored. @param {string} text */
export function keepKeys(text) {
  const blocks = text.matchAll(/-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]+-----END [A-Z ]*PRIVATE KEY-----/g)
  for (const [pem] of blocks) keys.add(pem)
}

// Those of orders that fail are stored nowhere. The library promisifies it when it is imported: after this.
const generate = promisify(generateKeyPair)
Object.defineProperty(generateKeyPair, promisify.custom, {
  async value(/** @type {'ec'} */ type, /** @type {{ namedCurve: string }} */ options) {
    const pair = await generate(type, options)
    keepKeys(pair.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString())
    return pair
  },
})
