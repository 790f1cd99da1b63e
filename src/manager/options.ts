import { type AcmeOptions, type AcmeSettings, checkAcmeOptions } from '../acme/options.js'
import { assertCertCache, type CertCache } from '../cache/cert-cache.js'
import { normalizeHost } from '../certificates/hostname.js'
import { type KeyType, type StorageLayout, storageLayout } from '../certificates/storage-layout.js'
import { type Clock, checkClock, systemClock } from '../util/clock.js'
import { maxMemoryEntries, oneOf, optional, plainObject, positiveInteger } from '../util/validate.js'
import { type HostPolicy, type HostPolicyFunction, hostPolicyFunction } from './host-policy.js'

export interface CertManagerOptions {
  /** The store that the fleet shares. */
  cache: CertCache
  /** Which hosts may have a certificate. Asked before anything is read or ordered for a name. Mandatory. */
  hostPolicy: HostPolicy
  acme: AcmeOptions
  /** The memory tier; `max`: how many certificates are kept ready, 1 to 1,000,000, default 1,000, about 45 KiB each. */
  memory?: { max?: number }
  /** The kind of key that new certificates get; one per manager. Default `ecdsa-p256`. */
  keyType?: KeyType
  /**
   * How long before its end a certificate is replaced, in ms from 1; never earlier than half its lifetime.
   * Default: when a third of the lifetime is left.
   */
  renewBeforeMs?: number
  /**
   * What a client without SNI gets, on servers given to `attach()`; Node never calls SNICallback for it. `hostPolicy`
   * has to allow it. Default: none.
   */
  defaultHost?: string
  /** Time, for tests. Default: the system's. */
  clock?: Clock
}

/** The options, checked, with their defaults. */
export interface ManagerSettings {
  readonly cache: CertCache
  readonly hostPolicy: HostPolicyFunction
  readonly acme: AcmeSettings
  readonly layout: StorageLayout
  readonly max: number
  readonly keyType: KeyType
  readonly renewBeforeMs: number | undefined
  readonly defaultHost: string | undefined
  readonly clock: Clock
}

/** @throws {TypeError} naming the option that is wrong */
export function checkManagerOptions(options: CertManagerOptions): ManagerSettings {
  const given = plainObject('CertManager: options', options)
  assertCertCache(given.cache, 'CertManager: cache')
  const keyType = oneOf('CertManager: keyType', given.keyType ?? 'ecdsa-p256', ['ecdsa-p256', 'rsa-2048'])
  const { keyPrefix, ...acme } = checkAcmeOptions(plainObject('CertManager: acme', given.acme))
  const memory = plainObject('CertManager: memory', given.memory ?? {})
  const hostPolicy = hostPolicyFunction(given.hostPolicy)
  const defaultHost = optional('CertManager: defaultHost', given.defaultHost, checkHost)
  // What a function says can change.
  if (defaultHost !== undefined && Array.isArray(given.hostPolicy) && !hostPolicy(defaultHost))
    throw new TypeError('CertManager: defaultHost must be one of the hosts in hostPolicy')
  return {
    cache: given.cache,
    hostPolicy,
    acme,
    layout: storageLayout(acme.directoryUrl, keyType, keyPrefix),
    max: positiveInteger('CertManager: memory.max', memory.max ?? 1_000, maxMemoryEntries),
    keyType,
    // Any duration will do: no timer is set to it.
    renewBeforeMs: optional('CertManager: renewBeforeMs', given.renewBeforeMs, positiveInteger),
    defaultHost,
    clock: optional('CertManager: clock', given.clock, checkClock) ?? systemClock,
  }
}

function checkHost(name: string, value: unknown): string {
  const host = typeof value === 'string' ? normalizeHost(value) : undefined
  if (host === undefined) throw new TypeError(`${name} must be a DNS name a CA would issue for`)
  return host
}
