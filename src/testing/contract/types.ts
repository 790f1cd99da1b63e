import type { CertCache } from '../../cache/cert-cache.js'

/** What a store may lack: its cases are left out where the backend says so. */
export type ContractPart = 'locks' | 'list' | 'cutOff'

/** An empty place for values, such as a new container, folder or table. */
export interface ContractPlace {
  readonly store: CertCache
  /** Another handle on the same place, as another machine has one: nothing shared with `store` but the place. */
  peer(): Promise<CertCache>
  /**
   * From now on nothing that `store` asks reaches the place, and nothing that it wrote goes away by itself, as for a
   * machine whose cable was pulled or that was killed; what peers ask still does. Whether its requests fail or hang
   * is up to you. It stands for the death of the holder of a lock, too: to the place both are silence. For example:
   * a proxy in front of the service that stops passing anything on.
   */
  cutOff?(): void | Promise<void>
  /**
   * Ends `cutOff`: what `store` asks reaches the place again. Where it is left out, that a former holder who comes back
   * leaves the next holder's lock alone is not tried.
   */
  mend?(): void | Promise<void>
  /** Called once after each case. */
  close(): Promise<void>
}

/** What the contract is tried on. */
export interface ContractBackend {
  /** Called once for each case; cases may run at once. */
  open(): Promise<ContractPlace>
  /** What is left out: `locks` for a store without `tryLock`, `list` for one without it, `cutOff`. Default: nothing. */
  readonly without?: readonly ContractPart[]
}

/** What a case does with a fresh place; it throws where a promise is broken. */
export interface Check {
  readonly name: string
  /** It waits for a lock to end, or not to. */
  readonly slow?: boolean
  run(place: ContractPlace): Promise<void>
}
