import { isUint8Array } from 'node:util/types'
import { type AcmeOptions, type AcmeSettings, checkAcmeOptions } from '../acme/options.js'
import { assertCertCache, type CertCache, isLocking } from '../cache/cert-cache.js'
import type { KeyType } from '../certificates/certificate-id.js'
import { explainHost, explainReserved, type Host, normalizeHost } from '../certificates/hostname.js'
import { caPrefix } from '../certificates/storage-layout.js'
import { type Clock, checkClock, systemClock } from '../util/clock.js'
import {
  invalidOption,
  maxMemoryEntries,
  type OptionNames,
  oneOf,
  optional,
  plainObject,
  positiveInteger,
} from '../util/validate.js'
import {
  type HostPolicy,
  type HostPolicyFunction,
  hostPolicyFunction,
  type NameRule,
  nameRule,
} from './host-policy.js'

/** Options of `CertManager`. */
export interface CertManagerOptions {
  /** The store that the fleet shares. */
  cache: CertCache
  /** The hosts that may have a certificate. Consulted before anything is read or ordered for a host. Required. */
  hostPolicy: HostPolicy
  /** The CA and the account. Required. */
  acme: AcmeOptions
  /** The memory tier. `max`: number of certificates in memory, 1 to 1,000,000, default 1,000, about 45 KiB each. */
  memory?: { max?: number }
  /** Key type of new certificates, `ecdsa-p256` or `rsa-2048`; one per manager. Default: `ecdsa-p256`. */
  keyType?: KeyType
  /**
   * How long before expiry a certificate is renewed, in milliseconds, from 1. Never before half of its lifetime has
   * passed. Default: when a third of the lifetime is left. A renewal window suggested by the CA (RFC 9773) is used
   * instead if it is earlier, or if this option is not set.
   */
  renewBeforeMs?: number
  /**
   * The host whose certificate is served to clients without SNI, on servers passed to `attach()`: Node does not call
   * SNICallback for such clients. `hostPolicy` must allow it. Default: none.
   */
  defaultHost?: string
  /**
   * Lets clients resume their sessions on any machine: servers passed to `attach()` share the keys for session tickets
   * (RFC 5077, RFC 8446 section 2.2), which change every 12 hours. `true`: the keys are derived from a secret in the store,
   * which is replaced every week; who can read the store can then decrypt recorded TLS 1.2 connections. `{ secret }`: they
   * are derived from your secret, a string or bytes, at least 32 bytes, the same on all machines. Default: none; each
   * process has keys of its own.
   */
  sessionTickets?: boolean | { secret: string | Uint8Array }
  /** Source of time, for tests. Default: the system clock. */
  clock?: Clock
}

const optionNames: OptionNames<CertManagerOptions> = {
  cache: true,
  hostPolicy: true,
  acme: true,
  memory: true,
  keyType: true,
  renewBeforeMs: true,
  defaultHost: true,
  sessionTickets: true,
  clock: true,
}

/** Validated options, with defaults applied. */
export interface ManagerSettings {
  readonly cache: CertCache
  readonly hostPolicy: HostPolicyFunction
  /** The names that the CA does not issue for. */
  readonly isRefused: NameRule
  readonly acme: AcmeSettings
  /** The CA, as the prefix of its keys in the store. */
  readonly ca: string
  readonly max: number
  readonly keyType: KeyType
  readonly renewBeforeMs: number | undefined
  readonly defaultHost: Host | undefined
  readonly sessionTickets: TicketSettings | undefined
  readonly clock: Clock
}

export interface TicketSettings {
  /** `undefined`: a secret in the store. */
  readonly secret: Uint8Array | undefined
}

/** @throws {TypeError} naming the invalid option */
export function checkManagerOptions(options: CertManagerOptions): ManagerSettings {
  const rawOptions = plainObject('CertManager: options', options, optionNames)
  assertCertCache(rawOptions.cache, 'CertManager: cache')
  const keyTypes = ['ecdsa-p256', 'rsa-2048'] as const
  const keyType = oneOf('CertManager: keyType', rawOptions.keyType ?? 'ecdsa-p256', keyTypes)
  const { keyPrefix, ...acme } = checkAcmeOptions(rawOptions.acme)
  const memory = plainObject<NonNullable<CertManagerOptions['memory']>>(
    'CertManager: memory',
    rawOptions.memory ?? {},
    { max: true },
  )
  const isRefused = nameRule(acme.directoryUrl)
  const hostPolicy = hostPolicyFunction(rawOptions.hostPolicy, isRefused)
  const defaultHost = optional('CertManager: defaultHost', rawOptions.defaultHost, checkHost)
  if (defaultHost !== undefined && isRefused(defaultHost))
    throw new TypeError(`CertManager: defaultHost: ${explainReserved(defaultHost)}`)
  // A function is not called here: its result can change.
  if (
    defaultHost !== undefined &&
    Array.isArray(rawOptions.hostPolicy) &&
    !hostPolicy(defaultHost, { reason: 'ensure' })
  )
    throw new TypeError('CertManager: defaultHost must be one of the hosts in hostPolicy')
  return {
    cache: rawOptions.cache,
    hostPolicy,
    isRefused,
    acme,
    ca: caPrefix(acme.directoryUrl, keyPrefix),
    max: positiveInteger('CertManager: memory.max', memory.max ?? 1_000, maxMemoryEntries),
    keyType,
    // Not limited to 2^31-1 ms: no timer runs for it.
    renewBeforeMs: optional('CertManager: renewBeforeMs', rawOptions.renewBeforeMs, positiveInteger),
    defaultHost,
    sessionTickets: checkTickets(rawOptions.sessionTickets, rawOptions.cache),
    clock: optional('CertManager: clock', rawOptions.clock, checkClock) ?? systemClock,
  }
}

const minSecretBytes = 32

function checkTickets(value: unknown, cache: CertCache): TicketSettings | undefined {
  const name = 'CertManager: sessionTickets'
  if (value === undefined || value === false) return undefined
  if (value !== true) return { secret: checkSecret(`${name}.secret`, value) }
  if (!isLocking(cache))
    throw new TypeError(
      `${name} needs a store with locks (tryLock), so that all machines agree on a secret. Pass your own instead: { secret }`,
    )
  return { secret: undefined }
}

function checkSecret(name: string, value: unknown): Uint8Array {
  const { secret } = plainObject<{ secret: unknown }>('CertManager: sessionTickets', value, { secret: true })
  if (typeof secret !== 'string' && !isUint8Array(secret))
    throw invalidOption(name, 'a string or bytes (Uint8Array)', secret)
  const bytes = Buffer.from(secret)
  if (bytes.length < minSecretBytes)
    throw new TypeError(`${name} must have at least ${minSecretBytes} bytes, not ${bytes.length}`)
  return bytes
}

function checkHost(name: string, value: unknown): Host {
  const host = typeof value === 'string' ? normalizeHost(value) : undefined
  if (host === undefined) throw new TypeError(`${name} must be a valid host name: ${explainHost(value)}`)
  return host
}
