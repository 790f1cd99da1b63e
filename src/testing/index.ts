export { selfSignedCertificate } from './ca/certificates/self-signed.js'
export type {
  IssuedCertificate,
  RenewalWindow,
  ServerCertificate,
  SignedLeaf,
} from './ca/certificates/types.js'
export type { ActiveFault, Fault, Subproblem } from './ca/resources/faults.js'
export type { ChallengeType, TestCaSettings } from './ca/resources/settings.js'
export type { Endpoint } from './ca/resources/urls.js'
export {
  TestCa,
  type TestCaAuthorization,
  type TestCaCounts,
  type TestCaOptions,
  type TestCaOrder,
} from './ca/test-ca.js'
export { type ContractCase, certCacheContract } from './contract/contract.js'
export type { ContractBackend, ContractPart, ContractPlace } from './contract/types.js'
export { MemoryCertCache } from './memory-cert-cache.js'
