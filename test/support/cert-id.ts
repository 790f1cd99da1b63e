import { type CertId, certName, type KeyType } from '../../src/certificates/certificate-id.js'
import { type Host, requireHost } from '../../src/certificates/hostname.js'
import type { HostPolicyOccasion } from '../../src/index.js'

/** Brands a name. Throws if it is not a DNS name that a public CA issues certificates for. */
export const host = (name: string): Host => requireHost(name)

/** Identifies a host's certificate, of Let's Encrypt's production CA by default. */
export const certId = (name: string, options: { ca?: string; keyType?: KeyType } = {}): CertId => ({
  ca: options.ca ?? '',
  name: certName(host(name)),
  keyType: options.keyType ?? 'ecdsa-p256',
})

/** The occasion of a policy call, for tests in which it does not matter. */
export const occasion: HostPolicyOccasion = { reason: 'handshake' }
