// Records the secrets of this process, so that the test can search for them.
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

/** Makes a random secret. */
export const makeText = (length = 24) => keep(randomBytes(length).toString('base64'))

export function makeBytes(length = 32) {
  const made = randomBytes(length)
  bytes.push(made.toString('base64'))
  return made
}

/** Records the private keys in a text, such as a stored value. @param {string} text */
export function keepKeys(text) {
  const blocks = text.matchAll(/-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]+-----END [A-Z ]*PRIVATE KEY-----/g)
  for (const [pem] of blocks) keys.add(pem)
}

// Keys of failed orders are not stored. Runs before the library is imported, which promisifies this function.
const generate = promisify(generateKeyPair)
Object.defineProperty(generateKeyPair, promisify.custom, {
  async value(/** @type {'ec'} */ type, /** @type {{ namedCurve: string }} */ options) {
    const pair = await generate(type, options)
    keepKeys(pair.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString())
    return pair
  },
})
