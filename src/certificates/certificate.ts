import { inspect } from 'node:util'
import type { CertificateBundle } from './certificate-bundle.js'

/** A certificate that can be served. Its private key shows in no log: it is neither enumerable nor inspected. */
export class Certificate {
  // A computed method name would not pass isolatedDeclarations.
  static {
    Object.defineProperty(Certificate.prototype, inspect.custom, {
      value(this: Certificate) {
        return `Certificate { ${this.host}, serial ${this.serialNumber}, until ${this.notAfter.toISOString()} }`
      },
    })
  }

  readonly #bundle: CertificateBundle

  readonly host: string
  readonly serialNumber: string
  readonly notBefore: Date
  readonly notAfter: Date

  constructor(
    host: string,
    serialNumber: string,
    notBefore: Date,
    notAfter: Date,
    bundle: CertificateBundle,
  ) {
    this.host = host
    this.serialNumber = serialNumber
    this.notBefore = notBefore
    this.notAfter = notAfter
    this.#bundle = bundle
  }

  /** The chain, leaf first, PEM: the `cert` of `tls.createSecureContext`. */
  get cert(): string {
    return this.#bundle.chain
  }

  /** The private key, PEM: the `key` of `tls.createSecureContext`. */
  get key(): string {
    return this.#bundle.key
  }
}
