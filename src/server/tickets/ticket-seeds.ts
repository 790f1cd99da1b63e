import { randomBytes } from 'node:crypto'
import { rotatedAt, rotatesAt } from './ticket-keys.js'

const dayMs = 24 * 3_600_000
/** A new seed is written every week. */
const replaceAfterMs = 7 * dayMs
/** A new seed is written before it is used, so that every machine has read it: each reads once a day. */
const leadMs = 2 * dayMs
/** No older seed is used: if the store takes no write, machines use keys of their own instead. */
const maxAgeMs = replaceAfterMs + leadMs
/** How long a seed stays in the store after the next one is used, for machines with a slow clock. */
const overlapMs = 3_600_000
const seedBytes = 32

/** A secret from which ticket keys are derived. */
export interface TicketSeed {
  /** Used from this time until that of the next seed. Milliseconds since the epoch. */
  readonly from: number
  readonly secret: Buffer
}

/** Returns the seed to use now; `undefined` if there is none. */
export const seedAt = (seeds: readonly TicketSeed[], now: number): TicketSeed | undefined =>
  seeds.findLast(({ from }) => from <= now && now < from + maxAgeMs)

/**
 * Returns the seeds to store instead of those in the store, or `undefined` if these are good for now. Leaves out seeds that
 * are no longer used, with which recorded connections could be decrypted, and seeds of a clock that is ahead.
 */
export function replaceSeeds(stored: readonly TicketSeed[], now: number): TicketSeed[] | undefined {
  const isOver = (from: number) => now >= from + maxAgeMs || from > now + maxAgeMs
  const possible = stored.filter(({ from }) => !isOver(from))
  const kept = possible.filter((_, index) => now < (possible[index + 1]?.from ?? now) + overlapMs)
  const newest = kept.at(-1)
  const withNext = (from: number) => [...kept, { from, secret: randomBytes(seedBytes) }].sort(byTime)
  if (!seedAt(kept, now)) return withNext(rotatedAt(now))
  if (newest && now >= newest.from + replaceAfterMs - leadMs)
    return withNext(Math.max(newest.from + replaceAfterMs, rotatesAt(now + dayMs)))
  return kept.length < stored.length ? kept : undefined
}

export const encodeSeeds = (seeds: readonly TicketSeed[]): Uint8Array =>
  Buffer.from(
    JSON.stringify({ seeds: seeds.map(({ from, secret }) => ({ from, seed: secret.toString('base64') })) }),
  )

/** Leaves out what is invalid: a half-written record costs resumption, nothing else. */
export function parseSeeds(data: Uint8Array | undefined): TicketSeed[] {
  const { seeds } = parseObject(data)
  const list: unknown[] = Array.isArray(seeds) ? seeds : []
  return list
    .map((entry) => {
      const { from, seed } = Object(entry) as { from?: unknown; seed?: unknown }
      return { from: Number(from), secret: Buffer.from(typeof seed === 'string' ? seed : '', 'base64') }
    })
    .filter(({ from, secret }) => Number.isSafeInteger(from) && secret.length === seedBytes)
    .sort(byTime)
}

function parseObject(data: Uint8Array | undefined): { seeds?: unknown } {
  try {
    return Object(JSON.parse(Buffer.from(data ?? '').toString())) as { seeds?: unknown }
  } catch {
    return {}
  }
}

const byTime = (a: TicketSeed, b: TicketSeed) => a.from - b.from
