export { AzureBlobCertCache, type AzureBlobCertCacheOptions, type BlobContainerClient } from './azure-blob.js'
export type { AzureConnectOptions, TokenCredential } from './azure-options.js'
export {
  assertCacheKey,
  type CacheOperationOptions,
  type CertCache,
  type CertCacheEntry,
  type CertCacheLock,
  type ListableCertCache,
  type LockingCertCache,
} from './cache.js'
export type { Certificate } from './certificate.js'
export type { HostStatus } from './certificates.js'
export type { AnsweredChallenge, ChallengeType } from './challenge.js'
export type { Clock } from './clock.js'
export { DirCertCache } from './dir.js'
export {
  EncryptedCertCache,
  type EncryptedCertCacheOptions,
  type EncryptionKey,
  type EncryptionKeys,
} from './encrypted.js'
export {
  type AcmeProblem,
  CacheKeyError,
  CertCacheError,
  ClosedError,
  DeadlineError,
  HostError,
  type HostErrorCode,
  IssuanceError,
  type IssuanceErrorCode,
  LockLostError,
  StoreError,
  type StoreErrorCode,
} from './errors.js'
export type { CertificateEvent, CertificateSource, CertManagerEvents } from './events.js'
export type { StoreOperation } from './guarded-store.js'
export type { TlsCallbacks } from './handshake.js'
export type { HostPolicy } from './hostname.js'
export type { HttpFallback, HttpHandler } from './http-handler.js'
export type { KeyType } from './layout.js'
export { type GetOrPutOptions, LruCertCache, type LruCertCacheOptions, type Produce } from './lru.js'
export { CertManager } from './manager.js'
export type { AcmeOptions, CertManagerOptions } from './manager-options.js'
