// Connects with a token, as a machine with an identity does. A separate process, because it must trust the certificate
// of the test's Azurite.
import { AzureBlobCertCache } from 'acme-cert-cache'

const [endpoint] = process.argv.slice(2)
const encode = (/** @type {object} */ value) => Buffer.from(JSON.stringify(value)).toString('base64url')
const now = Math.floor(Date.now() / 1_000)
/** As in tokens of Microsoft Entra ID. Azurite does not verify the signature. */
const claims = {
  aud: 'https://storage.azure.com',
  iss: 'https://sts.windows.net/tests/',
  iat: now,
  nbf: now - 60,
}
const token = `${encode({ alg: 'none', typ: 'JWT' })}.${encode({ ...claims, exp: now + 3_600 })}.${encode({})}`
/** @type {string[]} */
const scopes = []
const cache = await AzureBlobCertCache.connect({
  endpoint: String(endpoint),
  containerName: 'autocertcache',
  createContainer: true,
  credential: {
    async getToken(scope) {
      scopes.push(...[scope].flat())
      return { token, expiresOnTimestamp: Date.now() + 3_600_000 }
    },
  },
})
await cache.put('a.example', Buffer.from('value'))
const lock = await cache.tryLock('a.example')
await lock?.release()
const value = Buffer.from((await cache.get('a.example')) ?? []).toString()
await cache.delete('a.example')
process.stdout.write(JSON.stringify({ value, locked: lock !== undefined, scopes: [...new Set(scopes)] }))
