// What users see of certificates: types that lead to no library's.

/** A certificate and its private key, both PEM. */
export interface ServerCertificate {
  readonly certificate: string
  /** PKCS#8. */
  readonly privateKey: string
}

/** A leaf as its issuer made it. */
export interface SignedLeaf {
  /** Hexadecimal, upper case, as in `X509Certificate.serialNumber` of node:crypto. */
  readonly serialNumber: string
  /** Milliseconds since the epoch. */
  readonly notBefore: number
  readonly notAfter: number
  /** The leaf, then the intermediate. */
  readonly pem: string
}

/** A certificate this CA has issued. */
export interface IssuedCertificate extends SignedLeaf {
  /** The names in it, as ordered. */
  readonly hosts: readonly string[]
}

/** When a certificate should be replaced: milliseconds since the epoch. RFC 9773 §4.2. */
export interface RenewalWindow {
  readonly start: number
  readonly end: number
}
