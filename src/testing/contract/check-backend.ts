import { callback, type OptionNames, oneOf, plainObject } from '../../util/validate.js'
import type { ContractBackend, ContractPart, ContractPlace } from './types.js'

const backendNames: OptionNames<ContractBackend> = { open: true, without: true }
const parts: readonly ContractPart[] = ['locks', 'list', 'cutOff']

/**
 * Checks the arguments of `certCacheContract`.
 * @param second the argument after the backend: `map` passes a number, but a user who passes an object expects an effect
 * @throws {TypeError} naming what is wrong
 */
export function checkBackend(backend: ContractBackend, second: unknown): ContractBackend {
  if (typeof second === 'object' && second !== null) {
    throw new TypeError(
      "certCacheContract: unexpected second argument. Pass the parts to skip in the backend: { open, without: ['locks'] }",
    )
  }
  const { without = [] } = plainObject<ContractBackend>('certCacheContract: backend', backend, backendNames)
  callback('certCacheContract: open', backend.open)
  if (!Array.isArray(without))
    throw new TypeError(`certCacheContract: without must be an array of ${parts.join(', ')}`)
  for (const part of without) oneOf('certCacheContract: each part in without', part, parts)
  return backend
}

/** Describes each required member of a place. */
const members: Readonly<Record<'store' | 'peer' | 'close', string>> = {
  store: 'store, the store under test',
  peer: 'peer(), which opens another handle on the same place, as on another machine',
  close: 'close(), which removes the place after the case',
}

/**
 * Checks what `open` returned.
 * @throws {TypeError} naming the missing members
 */
export function checkPlace(place: ContractPlace): void {
  const { store, peer, close } = Object(place) as Partial<ContractPlace>
  const isPresent = {
    store: typeof store === 'object' && store !== null,
    peer: typeof peer === 'function',
    close: typeof close === 'function',
  }
  const missing = (['store', 'peer', 'close'] as const).filter((name) => !isPresent[name])
  if (missing.length === 0) return
  throw new TypeError(
    `certCacheContract: the object that open() returns has no ${missing.map((name) => members[name]).join('; and no ')}`,
  )
}
