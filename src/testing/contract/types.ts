import type { CertCache } from '../../cache/cert-cache.js'

/** An optional part of the contract, which a backend can skip. */
export type ContractPart = 'locks' | 'list' | 'cutOff'

/** An empty place for values, such as a new container, folder or table. */
export interface ContractPlace {
  readonly store: CertCache
  /**
   * Opens another handle on the same place, as on another machine: it shares nothing with `store` but the place.
   * Required, because a store is shared by a fleet.
   */
  peer(): Promise<CertCache>
  /**
   * Cuts `store` off from the place, as if its machine had died or lost its network. From now on no request of `store`
   * reaches the place; its requests may fail or hang. Peers still reach the place, and what `store` wrote stays there,
   * including its locks. Example: a proxy in front of the service stops forwarding.
   */
  cutOff?(): void | Promise<void>
  /**
   * Ends `cutOff`: requests of `store` reach the place again. Without it, the contract does not test that a former
   * holder that reconnects leaves the lock of the next holder unchanged.
   */
  mend?(): void | Promise<void>
  /** Removes the place. Called once, after the case. */
  close(): Promise<void>
}

/** The store under test. Unknown options are a TypeError. */
export interface ContractBackend {
  /** Opens a new place. Called once for each case; cases may run concurrently. */
  open(): Promise<ContractPlace>
  /**
   * The parts to skip: `locks` for a store without `tryLock`, `list` for a store without `list`, `cutOff` if the place
   * has no `cutOff`. Default: none.
   */
  readonly without?: readonly ContractPart[]
}

/** A case of the contract. */
export interface Check {
  readonly name: string
  /** Whether the case waits for a lock to expire, or for a minute in which it must not. */
  readonly slow?: boolean
  /** Tests a fresh place, and throws when the store breaks the contract. */
  run(place: ContractPlace): Promise<void>
}
