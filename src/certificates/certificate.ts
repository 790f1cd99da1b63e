import { inspect } from 'node:util'
import type { CertificateBundle } from './certificate-bundle.js'

/** A certificate ready to be served. Logs never show its private key: it is not enumerable, and `inspect()` omits it. */
export class Certificate {
  // isolatedDeclarations does not allow a computed method name.
  static {
    Object.defineProperty(Certificate.prototype, inspect.custom, {
      writable: true,
      configurable: true,
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

  /** The chain in PEM, leaf first: the `cert` option of `tls.createSecureContext()`. */
  get cert(): string {
    return this.#bundle.chain
  }

  /** The private key in PEM: the `key` option of `tls.createSecureContext()`. */
  get key(): string {
    return this.#bundle.key
  }
}
