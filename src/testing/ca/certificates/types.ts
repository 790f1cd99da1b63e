// Part of the public types, so no type of a dependency appears here.

/** A certificate and its private key, both PEM. */
export interface ServerCertificate {
  readonly certificate: string
  /** PKCS#8. */
  readonly privateKey: string
}

/** A signed leaf certificate. */
export interface SignedLeaf {
  /** Upper-case hexadecimal, as in `X509Certificate.serialNumber` of node:crypto. */
  readonly serialNumber: string
  /** Milliseconds since the epoch. */
  readonly notBefore: number
  /** Milliseconds since the epoch. */
  readonly notAfter: number
  /** PEM: the leaf, then the intermediate. */
  readonly pem: string
}

/** A certificate that the CA has issued. */
export interface IssuedCertificate extends SignedLeaf {
  /** The DNS names in the certificate, as ordered. */
  readonly hosts: readonly string[]
}

/** The period in which a certificate should be replaced, in milliseconds since the epoch. RFC 9773 §4.2. */
export interface RenewalWindow {
  readonly start: number
  readonly end: number
}
