import type { Host } from './hostname.js'

/** The type of the keys that certificates are ordered for. */
export type KeyType = 'ecdsa-p256' | 'rsa-2048'

/** The name that a certificate is issued for, such as `a.example`. */
export type CertName = string & { readonly _: 'CertName' }

/** Identifies a certificate: in the store, in memory, and in every record about it. */
export interface CertId {
  /** The CA, as the prefix of its keys in the store: see `caPrefix`. */
  readonly ca: string
  readonly name: CertName
  readonly keyType: KeyType
}

/** Returns the certificate that serves a host. */
export type Naming = (host: Host) => CertId

/** Each host has a certificate of its own. */
export const certName = (host: Host): CertName => host as string as CertName
