import type { Clock } from '../util/clock.js'
import { abortable, linkAbort, sharedController, withDeadline } from '../util/deadline.js'
import { ProcessFailureError } from '../util/errors.js'
import { lazy } from '../util/lazy.js'
import { type Client, loadAcmeClient } from './dependencies.js'
import { AcmeHttp } from './http/acme-http.js'
import { retryPolicies, retryTransient } from './http/retry-transient.js'
import type { CertificateRequest, Issuer, Run } from './issuer.js'
import type { AcmeSettings } from './options.js'
import { AcmeOrder } from './order.js'
import { concernsAccount, toInvalidResponse, toRegistrationError } from './refusals.js'
import { fetchRenewalInfo, type RenewalInfo } from './renewal-info.js'

/** Time limit for registering the account, and for renewal information: each takes a few requests. */
const timeoutMs = 60_000

/** An account at a CA (RFC 8555): places orders and reads renewal information. */
export class AcmeAccount implements Issuer {
  readonly #http: AcmeHttp
  readonly #account = lazy(() =>
    // Takes no signal of an order: concurrent orders share the registration. If it fails, the next order retries.
    this.#withTimeout('the CA did not register the account within 60 s', (signal) => this.#register(signal)),
  )
  readonly #settings: AcmeSettings
  readonly #accountKey: (signal: AbortSignal) => Promise<string>
  readonly #clock: Clock

  constructor(settings: AcmeSettings, accountKey: (signal: AbortSignal) => Promise<string>, clock: Clock) {
    this.#settings = settings
    this.#accountKey = accountKey
    this.#clock = clock
    const { directoryUrl, ca, agent } = settings
    this.#http = new AcmeHttp({ directoryUrl, clock, ca, agent })
  }

  prepare(signal: AbortSignal): Promise<void> {
    return this.#http.prepare(signal)
  }

  get clockOffsetMs(): number | undefined {
    return this.#http.clockOffsetMs
  }

  async issue(request: CertificateRequest, run: Run): Promise<string> {
    const controller = sharedController()
    const unlink = linkAbort(controller, [run.signal, this.#http.closing])
    const { signal } = controller
    const registration = this.#account()
    try {
      const account = await abortable(registration, signal)
      const order = await AcmeOrder.create(request, {
        http: this.#http,
        settings: this.#settings,
        clock: this.#clock,
        signal,
        run,
        // A client for this order, with its signal. All clients share the account and the connections.
        createClient: (clientSignal, maxBadNonces) =>
          this.#createClient(clientSignal, account.key, account.url, maxBadNonces),
      })
      return await order.place()
    } catch (thrown) {
      // The next order reads the stored key again, which an operator may have replaced, and registers it.
      if (concernsAccount(thrown) && this.#account.current === registration) this.#account.forget()
      throw thrown
    } finally {
      unlink()
    }
  }

  /** Ends all orders with a ClosedError. */
  close(): void {
    this.#http.close()
  }

  /**
   * Resolves with the URL of the CA's account for the stored key (RFC 8555 section 7.3.1). Does not register one.
   * @throws {IssuanceError} with the problem `accountDoesNotExist`, or `unauthorized` for a deactivated account
   */
  async find(signal: AbortSignal): Promise<string> {
    const { client } = await this.#createClient(signal, await this.#accountKey(signal))
    client.updateAccount = skipUpdate
    await client.createAccount({ onlyReturnExisting: true })
    return client.getAccountUrl()
  }

  async renewalInfo(certificate: Uint8Array): Promise<RenewalInfo> {
    return this.#withTimeout('the CA did not return renewal information within 60 s', (signal) =>
      fetchRenewalInfo(this.#http, certificate, this.#clock.now(), signal),
    )
  }

  #withTimeout<T>(message: string, operation: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const error = () => new ProcessFailureError(message)
    const limit = { ms: timeoutMs, clock: this.#clock, error, signal: this.#http.closing }
    return withDeadline(operation, limit)
  }

  async #createClient(signal: AbortSignal, accountKey: string, accountUrl?: string, maxBadNonces?: number) {
    const acme = await loadAcmeClient()
    const { directoryUrl, externalAccountBinding } = this.#settings
    const client = new acme.Client({
      directoryUrl,
      accountKey,
      ...(accountUrl && { accountUrl }),
      ...(externalAccountBinding && { externalAccountBinding }),
    })
    return { client, state: this.#http.install(client, signal, maxBadNonces) }
  }

  /** Finds the account of the stored key, or registers it: one request does both (RFC 8555 section 7.3). */
  async #register(signal: AbortSignal): Promise<{ key: string; url: string }> {
    const key = await this.#accountKey(signal)
    const { email } = this.#settings
    const contact = email === undefined ? {} : { contact: [`mailto:${email}`] }
    await loadAcmeClient()
    const register = async () => {
      const { client } = await this.#createClient(signal, key)
      // acme-client updates an account that exists, which some CAs refuse if there is nothing to update.
      if (email === undefined) client.updateAccount = skipUpdate
      try {
        await client.createAccount({ termsOfServiceAgreed: true, ...contact })
        return { key, url: client.getAccountUrl() }
      } catch (thrown) {
        signal.throwIfAborted()
        throw toInvalidResponse(thrown)
      }
    }
    const options = { policy: retryPolicies.register, clock: this.#clock, signal }
    return retryTransient(register, options).catch((thrown: unknown) => {
      throw toRegistrationError(thrown)
    })
  }
}

const skipUpdate: Client['updateAccount'] = async () => ({ status: 'valid', orders: '' })
