export type { IssuedCertificate } from './authority.js'
export { TestCa, type TestCaCounts, type TestCaOptions, type TestCaOrder } from './ca.js'
export {
  type ContractBackend,
  type ContractCase,
  type ContractPart,
  type ContractPlace,
  certCacheContract,
} from './contract.js'
export type { ActiveFault, Fault } from './faults.js'
export { type ServerCertificate, type SignedLeaf, selfSignedCertificate } from './issuer.js'
export { MemoryCertCache } from './memory-cert-cache.js'
export type { RenewalWindow } from './renewal-info.js'
export type { Endpoint } from './representation.js'
export type { ChallengeType, TestCaSettings } from './settings.js'
