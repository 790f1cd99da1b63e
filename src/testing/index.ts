export { TestCa, type TestCaCounts, type TestCaOptions, type TestCaOrder } from './ca.js'
export {
  type ContractBackend,
  type ContractCase,
  type ContractPart,
  type ContractPlace,
  certCacheContract,
} from './contract.js'
export type { ActiveFault, Fault } from './faults.js'
export type { IssuedCertificate, RenewalWindow, ServerCertificate, SignedLeaf } from './issued.js'
export { MemoryCertCache } from './memory-cert-cache.js'
export type { Endpoint } from './representation.js'
export { selfSignedCertificate } from './self-signed.js'
export type { ChallengeType, TestCaSettings } from './settings.js'
