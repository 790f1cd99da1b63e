import { type OptionNames, plainObject } from '../../util/validate.js'
import type { Authority } from './authority/authority.js'
import { BackgroundTasks } from './authority/background-tasks.js'
import { Issuer } from './certificates/issuer.js'
import { selfSignedCertificate } from './certificates/self-signed.js'
import type { IssuedCertificate, RenewalWindow } from './certificates/types.js'
import { type HttpServer, listen } from './http/http-server.js'
import { handleRequest } from './http/request-handler.js'
import { Nonces } from './messages/nonces.js'
import { type ActiveFault, type Fault, Faults } from './resources/faults.js'
import { Resources } from './resources/resources.js'
import {
  type ChallengeType,
  resolveSettings,
  settingNames,
  type TestCaSettings,
} from './resources/settings.js'
import { Urls } from './resources/urls.js'

/**
 * Options of a CA. You can change those of {@link TestCaSettings} while it runs. Unknown options are a TypeError.
 */
export interface TestCaOptions extends Partial<TestCaSettings> {
  /**
   * TCP port on 127.0.0.1 that the CA listens on. Default 0: a free one, which differs in each run.
   *
   * The port is part of the directory URL, and so of a manager's default `acme.keyPrefix`: `127.0.0.1_14000~`. If your
   * test reads keys from the store, or reuses a store in several runs, set `port`, or set `keyPrefix` on the manager.
   */
  readonly port?: number
  /** Returns the time for certificates, orders and validations, in milliseconds since the epoch. Default Date.now. */
  readonly now?: () => number
  /**
   * HMAC keys in base64url, by key identifier. When set, a new account must be bound to one of them.
   * Default: accounts need no external binding. RFC 8555 §7.3.4.
   */
  readonly externalAccounts?: Readonly<Record<string, string>>
}

const optionNames: OptionNames<TestCaOptions> = {
  ...settingNames,
  port: true,
  now: true,
  externalAccounts: true,
}

/** Counts since the CA started. */
export interface TestCaCounts {
  readonly accounts: number
  readonly orders: number
  readonly authorizations: number
  /** Validations started, with any outcome. */
  readonly validations: number
  readonly certificates: number
  /** Requests for renewalInfo. RFC 9773. */
  readonly renewalInfos: number
  /** HTTP requests of any kind. */
  readonly requests: number
}

/** The state of an order. */
export interface TestCaOrder {
  readonly hosts: readonly string[]
  readonly status: 'pending' | 'ready' | 'processing' | 'valid' | 'invalid'
  readonly profile: string | undefined
  /** The identifier of the certificate that the order replaces. RFC 9773 §5. */
  readonly replaces: string | undefined
}

/** The state of an authorization. RFC 8555 §7.1.4. */
export interface TestCaAuthorization {
  readonly host: string
  readonly status: 'pending' | 'valid' | 'invalid' | 'deactivated' | 'expired'
}

/**
 * An ACME CA (RFC 8555) for tests. It serves HTTPS on 127.0.0.1, validates http-01 (RFC 8555 §8.3) and tls-alpn-01
 * (RFC 8737) against real servers, signs real certificates, keeps all state in memory, and fails on request
 * ({@link TestCa.fault}). Validations connect to 127.0.0.1 for every name. Key change, revocation, wildcards and CAA
 * are not supported.
 *
 * The CA keeps the process running until you call {@link TestCa.close}, or until the scope of an `await using` ends.
 * Your own servers do the same, so close them too:
 *
 *     const ca = await TestCa.start({ httpPort: 8080, tlsPort: 8443 })
 *     const { directoryUrl, endpointCertificate } = ca
 *     const acme = { termsOfServiceAgreed: true, directoryUrl, ca: endpointCertificate }
 *     const manager = new CertManager({ cache: new MemoryCertCache(), hostPolicy: ['a.example'], acme })
 *     const server = https.createServer(manager.tlsOptions(), app).listen(8443)
 *     await manager.ensure(['a.example'])
 *     // Requests to port 8443 with servername: 'a.example' and ca: ca.rootCertificate.
 *     server.close()
 *     await manager.close()
 *     await ca.close()
 */
export class TestCa implements TestCaSettings, AsyncDisposable {
  declare httpPort: number
  declare tlsPort: number
  declare challengeTypes: readonly ChallengeType[]
  declare lifetimeMs: number
  declare badNonceRate: number
  declare validationDelayMs: number
  declare validationTimeoutMs: number
  declare issuanceDelayMs: number
  declare retryAfter: number | undefined
  declare renewalInfo: boolean
  declare renewalRetryAfter: number
  declare profiles: Readonly<Record<string, string>> | undefined

  /** The directory URL to give to ACME clients. RFC 8555 §7.1.1. */
  readonly directoryUrl: string
  /** PEM. ACME clients must trust it to connect to the CA. */
  readonly endpointCertificate: string
  /** PEM. TLS clients must trust it to accept issued certificates. */
  readonly rootCertificate: string

  readonly #authority: Authority
  readonly #server: HttpServer
  #closed: Promise<void> | undefined

  /**
   * Starts a CA.
   * @throws TypeError for an unknown option
   * @throws RangeError when an option is outside its range
   */
  static async start(options: TestCaOptions = {}): Promise<TestCa> {
    plainObject<TestCaOptions>('TestCa.start: options', options, optionNames)
    const settings = resolveSettings(options)
    const [endpoint, issuer] = await Promise.all([selfSignedCertificate(), Issuer.create()])
    // The CA needs the port of its server. No request arrives before the assignment.
    let ca: TestCa
    const server = await listen(options.port ?? 0, endpoint, (request) =>
      handleRequest(ca.#authority, request),
    )
    ca = new TestCa(settings, options, server, endpoint.certificate, issuer)
    return ca
  }

  private constructor(
    settings: TestCaSettings,
    { now = Date.now, externalAccounts }: TestCaOptions,
    server: HttpServer,
    endpointCertificate: string,
    issuer: Issuer,
  ) {
    Object.assign(this, settings)
    const urls = new Urls(`https://127.0.0.1:${server.port}`)
    this.directoryUrl = urls.of('directory')
    this.endpointCertificate = endpointCertificate
    this.rootCertificate = issuer.rootCertificate
    this.#server = server
    this.#authority = {
      settings: this,
      externalAccounts: externalAccounts && { ...externalAccounts },
      now,
      urls,
      nonces: new Nonces(),
      faults: new Faults(),
      resources: new Resources(now),
      issuer,
      tasks: new BackgroundTasks(),
      issued: [],
      windows: new Map(),
      requests: 0,
      validations: 0,
      renewalInfos: 0,
    }
  }

  /** A snapshot of the counts. */
  get counts(): TestCaCounts {
    const { resources, validations, issued, requests, renewalInfos } = this.#authority
    return {
      accounts: resources.accounts.size,
      orders: resources.orders.size,
      authorizations: resources.authorizations.size,
      validations,
      certificates: issued.length,
      renewalInfos,
      requests,
    }
  }

  /** Returns the number of orders that include this DNS name, in upper or lower case. */
  ordersFor(host: string): number {
    return this.orders.filter(({ hosts }) => hosts.includes(host.toLowerCase())).length
  }

  /** A snapshot of all orders, oldest first. */
  get orders(): readonly TestCaOrder[] {
    return [...this.#authority.resources.orders.values()].map(({ hosts, status, profile, replaces }) => ({
      hosts,
      status,
      profile,
      replaces,
    }))
  }

  /** A snapshot of all authorizations, oldest first. */
  get authorizations(): readonly TestCaAuthorization[] {
    return [...this.#authority.resources.authorizations.values()].map(({ host, status }) => ({
      host,
      status,
    }))
  }

  /** A snapshot of all issued certificates, oldest first. */
  get issued(): readonly IssuedCertificate[] {
    return [...this.#authority.issued]
  }

  /**
   * Sets a fault. It applies to a request after the JWS has been verified, so the nonce is used, and before the request
   * has any effect. When several faults match, the one set first applies.
   * @throws TypeError for an unknown option
   * @throws RangeError when a value is outside its range
   */
  fault(fault: Fault): ActiveFault {
    return this.#authority.faults.add(fault)
  }

  /**
   * Sets the suggested renewal window of a certificate. Default: it starts at two thirds of the lifetime and lasts 1/45
   * of it. A window in the past asks for immediate replacement, as after a revocation. RFC 9773 §4.2.
   * @param serialNumber as in {@link TestCa.issued}
   */
  suggestRenewal(serialNumber: string, window: RenewalWindow): void {
    this.#authority.windows.set(serialNumber, window)
  }

  /** Stops listening, and ends all connections, validations and issuances. A second call returns the same promise. */
  close(): Promise<void> {
    this.#closed ??= this.#shutDown()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #shutDown(): Promise<void> {
    await Promise.all([this.#authority.tasks.close(), this.#server.close()])
  }
}
