export type { ChallengeType } from './acme/challenges.js'
export type { AcmeOptions } from './acme/options.js'
export {
  assertCacheKey,
  type CacheOperationOptions,
  type CertCache,
  type CertCacheEntry,
  type CertCacheLock,
  type ListableCertCache,
  type LockingCertCache,
} from './cache/cert-cache.js'
export {
  EncryptedCertCache,
  type EncryptedCertCacheOptions,
  type EncryptionKey,
  type EncryptionKeys,
} from './cache/encryption/encrypted-cert-cache.js'
export {
  type GetOrPutOptions,
  LruCertCache,
  type LruCertCacheOptions,
  type Produce,
} from './cache/lru-cert-cache.js'
export type { StoreOperation } from './cache/monitored-cert-cache.js'
export type { Certificate } from './certificates/certificate.js'
export type { KeyType } from './certificates/certificate-id.js'
export type { CertificateSource } from './certificates/live-certificate.js'
export type { AnsweredChallenge } from './issuance/challenges/challenge-answers.js'
export { CertManager } from './manager/cert-manager.js'
export type { HostStatus } from './manager/certificate-service.js'
export type { CertificateEvent, CertManagerEvents } from './manager/events.js'
export type { HostPolicy, HostPolicyOccasion } from './manager/host-policy.js'
export type { CertManagerOptions } from './manager/options.js'
export type { HttpFallback, HttpHandler, HttpHandlerOptions } from './server/http-handler.js'
export type { TlsCallbackOptions, TlsCallbacks } from './server/tls-callbacks.js'
export { AzureBlobCertCache } from './stores/azure/azure-blob-cert-cache.js'
export type { BlobContainerClient } from './stores/azure/container-client.js'
export type {
  AzureBlobCertCacheOptions,
  AzureConnectOptions,
  TokenCredential,
} from './stores/azure/options.js'
export { DirCertCache } from './stores/directory/dir-cert-cache.js'
export type { Clock } from './util/clock.js'
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
} from './util/errors.js'
