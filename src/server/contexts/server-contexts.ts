import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { type CertificateBundle, decodeBundle } from '../../certificates/certificate-bundle.js'
import type { LiveCertificate } from '../../certificates/live-certificate.js'
import type { CheckedContextOptions, ContextOptions } from './context-options.js'

/**
 * The contexts for servers with one set of context options. A context is made at the first handshake that needs it
 * (0.8 ms, 40 KiB), and lives as long as its certificate is in memory.
 */
export class ServerContexts {
  /** `undefined` if there are none. */
  readonly options: ContextOptions | undefined
  readonly #contexts = new WeakMap<LiveCertificate, SecureContext>()

  constructor(options: ContextOptions | undefined) {
    this.options = options
  }

  of(live: LiveCertificate): SecureContext {
    if (!this.options) return live.context
    const known = this.#contexts.get(live)
    if (known) return known
    const { key, chain } = decodeBundle(live.data) as CertificateBundle // never a fault: it has been decoded before
    const context = createSecureContext({ ...this.options, key, cert: chain } as SecureContextOptions)
    this.#contexts.set(live, context)
    return context
  }
}

/** Shares contexts between calls of `tlsOptions()` with equal options, for as long as a server uses them. */
export class ServerContextsByOptions {
  readonly #byDigest = new Map<string, WeakRef<ServerContexts>>()

  for({ digest, options }: CheckedContextOptions): ServerContexts {
    const known = this.#byDigest.get(digest)?.deref()
    if (known) return known
    for (const [other, contexts] of this.#byDigest) if (!contexts.deref()) this.#byDigest.delete(other)
    const contexts = new ServerContexts(options)
    this.#byDigest.set(digest, new WeakRef(contexts))
    return contexts
  }
}
