import type { Authority } from './authority/authority.js'
import { Background } from './authority/background.js'
import type { IssuedCertificate, RenewalWindow } from './certificates/issued.js'
import { Issuer } from './certificates/issuer.js'
import { selfSignedCertificate } from './certificates/self-signed.js'
import { type HttpServer, listen } from './http/http-server.js'
import { answer } from './http/protocol.js'
import { Nonces } from './messages/nonces.js'
import { type ActiveFault, type Fault, Faults } from './resources/faults.js'
import { Urls } from './resources/representation.js'
import { Resources } from './resources/resources.js'
import { type ChallengeType, checkedSettings, type TestCaSettings } from './resources/settings.js'

/** How a CA starts. What is in TestCaSettings can be changed later, too. */
export interface TestCaOptions extends Partial<TestCaSettings> {
  /** TCP port on 127.0.0.1 for the CA itself. Default 0: a free one. */
  readonly port?: number
  /** The clock of certificates, orders and validations: milliseconds since the epoch. Default Date.now. */
  readonly now?: () => number
  /**
   * HMAC keys, base64url, by key identifier. When given, a new account must be bound to one of these.
   * Default: no binding is asked for. RFC 8555 §7.3.4.
   */
  readonly externalAccounts?: Readonly<Record<string, string>>
}

/** How often things have happened since the start. */
export interface TestCaCounts {
  readonly accounts: number
  readonly orders: number
  readonly authorizations: number
  /** Started, whatever came of them. */
  readonly validations: number
  readonly certificates: number
  /** How often somebody asked when to renew. RFC 9773. */
  readonly renewalInfos: number
  /** HTTP requests to the CA of any kind. */
  readonly requests: number
}

/** An order as it stands. */
export interface TestCaOrder {
  readonly hosts: readonly string[]
  readonly status: 'pending' | 'ready' | 'processing' | 'valid' | 'invalid'
  readonly profile: string | undefined
  /** RFC 9773 §5. */
  readonly replaces: string | undefined
}

/**
 * An ACME CA (RFC 8555) for tests: it speaks HTTPS on 127.0.0.1, validates http-01 (§8.3) and tls-alpn-01
 * (RFC 8737) for real, signs real certificates, keeps everything in memory, and can be told to fail.
 * It has no key change, no revocation, no wildcards and no CAA, and connects to 127.0.0.1 for every name.
 */
export class TestCa implements TestCaSettings, AsyncDisposable {
  httpPort: number
  tlsPort: number
  challengeTypes: readonly ChallengeType[]
  lifetimeMs: number
  badNonceRate: number
  validationDelayMs: number
  validationTimeoutMs: number
  issuanceDelayMs: number
  retryAfter: number | undefined
  renewalInfo: boolean
  renewalRetryAfter: number
  profiles: Readonly<Record<string, string>> | undefined

  /** Where clients begin. RFC 8555 §7.1.1. */
  readonly directoryUrl: string
  /** PEM. To be trusted by whoever speaks to the CA. */
  readonly endpointCertificate: string
  /** PEM. To be trusted by whoever meets an issued certificate. */
  readonly rootCertificate: string

  readonly #authority: Authority
  readonly #server: HttpServer
  #closed: Promise<void> | undefined

  /**
   * Starts a CA.
   * @throws RangeError when an option is outside its range
   */
  static async start(options: TestCaOptions = {}): Promise<TestCa> {
    const settings = checkedSettings(options)
    const [endpoint, issuer] = await Promise.all([selfSignedCertificate(), Issuer.create()])
    // The CA is made from its port, and no request comes before it is there.
    let ca: TestCa
    const server = await listen(options.port ?? 0, endpoint, (request) => answer(ca.#authority, request))
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
    this.httpPort = settings.httpPort
    this.tlsPort = settings.tlsPort
    this.challengeTypes = settings.challengeTypes
    this.lifetimeMs = settings.lifetimeMs
    this.badNonceRate = settings.badNonceRate
    this.validationDelayMs = settings.validationDelayMs
    this.validationTimeoutMs = settings.validationTimeoutMs
    this.issuanceDelayMs = settings.issuanceDelayMs
    this.retryAfter = settings.retryAfter
    this.renewalInfo = settings.renewalInfo
    this.renewalRetryAfter = settings.renewalRetryAfter
    this.profiles = settings.profiles
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
      background: new Background(),
      issued: [],
      windows: new Map(),
      requests: 0,
      validations: 0,
      renewalInfos: 0,
    }
  }

  /** A snapshot. */
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

  /** How many orders had this name among their identifiers. */
  ordersFor(host: string): number {
    return this.orders.filter(({ hosts }) => hosts.includes(host.toLowerCase())).length
  }

  /** Every order there was, oldest first. A snapshot. */
  get orders(): readonly TestCaOrder[] {
    return [...this.#authority.resources.orders.values()].map(({ hosts, status, profile, replaces }) => ({
      hosts,
      status,
      profile,
      replaces,
    }))
  }

  /** Every certificate there was, oldest first. A snapshot. */
  get issued(): readonly IssuedCertificate[] {
    return [...this.#authority.issued]
  }

  /**
   * Sets a fault. A request meets it after its JWS has been verified (so its nonce is used up) and before it
   * has any effect; of several that fit, the one that was set first.
   * @throws RangeError when the fault cannot be
   */
  fault(fault: Fault): ActiveFault {
    return this.#authority.faults.add(fault)
  }

  /**
   * Suggests another window for a certificate than the 45th of its lifetime that begins at two thirds: one in
   * the past says that it is revoked. RFC 9773 §4.2.
   * @param serialNumber as in `issued`
   */
  suggestRenewal(serialNumber: string, window: RenewalWindow): void {
    this.#authority.windows.set(serialNumber, window)
  }

  /** Ends every connection, validation and issuance. A second call returns the same promise. */
  close(): Promise<void> {
    this.#closed ??= this.#shutDown()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #shutDown(): Promise<void> {
    await Promise.all([this.#authority.background.close(), this.#server.close()])
  }
}
