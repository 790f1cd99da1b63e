import { Agent } from 'node:http'
import { isCacheKey } from '../cache/cert-cache.js'
import { letsEncryptProduction } from '../certificates/storage-layout.js'
import { nonEmptyString, type OptionNames, optional, plainObject } from '../util/validate.js'

/** The CA, and the account under which certificates are ordered. */
export interface AcmeOptions {
  /** States that you have read and agree to the CA's terms of service (RFC 8555 section 7.3). Must be `true`. */
  termsOfServiceAgreed: true
  /** Contact address of the account. Let's Encrypt no longer sends expiry mails. Default: none. */
  email?: string
  /** The CA's directory, an https URL. Default: Let's Encrypt's production directory. */
  directoryUrl?: string
  /**
   * Key identifier and HMAC key, in base64url, for a CA that requires an external account (RFC 8555 section 7.3.4).
   * Default: none.
   */
  externalAccountBinding?: { kid: string; hmacKey: string }
  /** If the CA offers several chains, selects the one with an issuer of this common name. Default: the CA's default. */
  preferredChain?: string
  /** One of the directory's `meta.profiles`, for example `tlsserver`. Default: the CA's default. */
  profile?: string
  /**
   * For a private CA: certificates in PEM to trust for the CA's own endpoint, directly or through a proxy. Default: those
   * of `agent`, or Node's root certificates.
   */
  ca?: string | Buffer
  /**
   * The agent for requests to the CA: an `https.Agent`, for example one that connects through a proxy, as the npm package
   * https-proxy-agent has. `ca` applies to it as well. `close()` does not destroy it. Default: an agent of the manager.
   * From Node 22.21 and 24.5, this agent honours `HTTPS_PROXY` and `NO_PROXY` if `NODE_USE_ENV_PROXY=1` or `--use-env-proxy` is
   * set; earlier versions ignore them.
   */
  agent?: Agent
  /**
   * Prefix of the keys in the store, so that certificates of different CAs are never mixed up. Default: none for Let's
   * Encrypt's production, else the directory's host and port followed by `~`. Set it if one host has several
   * directories. `''` means exactly autocert's keys, for any CA.
   */
  keyPrefix?: string
}

const optionNames: OptionNames<AcmeOptions> = {
  termsOfServiceAgreed: true,
  email: true,
  directoryUrl: true,
  externalAccountBinding: true,
  preferredChain: true,
  profile: true,
  ca: true,
  agent: true,
  keyPrefix: true,
}

/** Validated options, with defaults applied. */
export type AcmeSettings = Omit<AcmeOptions, 'directoryUrl' | 'keyPrefix'> & { directoryUrl: string }

/** @throws {TypeError} naming the invalid option */
export function checkAcmeOptions(options: unknown): AcmeSettings & { keyPrefix?: string } {
  const rawOptions = plainObject('CertManager: acme', options, optionNames)
  const { termsOfServiceAgreed, email, ca, agent, keyPrefix } = rawOptions
  const directoryUrl = rawOptions.directoryUrl ?? letsEncryptProduction
  if (termsOfServiceAgreed !== true)
    throw optionError('termsOfServiceAgreed', 'must be true. Read the CA’s terms of service first.')
  if (!isHttpsUrl(directoryUrl)) throw optionError('directoryUrl', 'must be an https URL')
  if (email !== undefined && !matches(email, /^[^\s@]+@[^\s@]+$/))
    throw optionError('email', 'must be an email address')
  const caText = Buffer.isBuffer(ca) ? ca.toString() : ca
  if (ca !== undefined && !matches(caText, /-----BEGIN [A-Z0-9 ]*CERTIFICATE-----/))
    throw optionError('ca', 'must be a string or Buffer with certificates in PEM')
  if (agent !== undefined && !isHttpsAgent(agent))
    throw optionError('agent', 'must be an https.Agent, or an agent for HTTPS through a proxy')
  const isKeyPrefix = keyPrefix === '' || (typeof keyPrefix === 'string' && isCacheKey(keyPrefix))
  if (keyPrefix !== undefined && !isKeyPrefix) {
    const rule = 'must be empty, or printable ASCII without \\ / : * ? " < > |, and not "." or ".."'
    throw optionError('keyPrefix', rule)
  }
  optional('CertManager: acme.preferredChain', rawOptions.preferredChain, nonEmptyString)
  optional('CertManager: acme.profile', rawOptions.profile, nonEmptyString)
  if (rawOptions.externalAccountBinding !== undefined) {
    const binding = plainObject<NonNullable<AcmeOptions['externalAccountBinding']>>(
      'CertManager: acme.externalAccountBinding',
      rawOptions.externalAccountBinding,
      { kid: true, hmacKey: true },
    )
    nonEmptyString('CertManager: acme.externalAccountBinding.kid', binding.kid)
    const hmacKey = nonEmptyString('CertManager: acme.externalAccountBinding.hmacKey', binding.hmacKey)
    if (!/^[\w+/\s-]+=*\s*$/.test(hmacKey))
      throw optionError('externalAccountBinding.hmacKey', 'must be base64url')
  }
  return { ...(rawOptions as unknown as AcmeOptions), directoryUrl }
}

const optionError = (option: string, problem: string) =>
  new TypeError(`CertManager: acme.${option} ${problem}`)

const matches = (value: unknown, pattern: RegExp) => typeof value === 'string' && pattern.test(value)

/** Proxy agents extend `http.Agent`; a plain one cannot send requests to an https URL. */
const isHttpsAgent = (value: unknown) => value instanceof Agent && value.constructor !== Agent

const isHttpsUrl = (value: unknown): value is string =>
  typeof value === 'string' && URL.canParse(value) && value.startsWith('https://')
