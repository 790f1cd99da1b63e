import { randomBytes } from 'node:crypto'
import type { Server } from 'node:tls'
import type { CertCacheLock } from '../../cache/cert-cache.js'
import type { Clock } from '../../util/clock.js'
import { WrongClockError } from '../../util/errors.js'
import { callSafely } from '../../util/safe-call.js'
import { hasOwnSessionIdContext, sessionIdContextOf, verificationOf } from '../contexts/session-id-context.js'
import { setSessionIdContext } from '../default-certificate.js'
import { rotatedAt, rotatesAt, ticketKey } from './ticket-keys.js'
import { encodeSeeds, parseSeeds, replaceSeeds, seedAt, type TicketSeed } from './ticket-seeds.js'

/** The seeds are read once a day. */
const readEveryMs = 24 * 3_600_000
/** After a failure they are read again in 1 minute, then after longer and longer times. */
const retryMs = 60_000
const maxRetryMs = 3_600_000
/** Longest interval between two looks at the clock, so that a change of it is noticed. */
const maxIntervalMs = 600_000

/** The seeds in the store that the fleet shares. Methods reject with the store's error. */
export interface SeedStore {
  readTicketSeeds(options: { signal: AbortSignal }): Promise<Uint8Array | undefined>
  writeTicketSeeds(data: Uint8Array, options: { signal: AbortSignal }): Promise<void>
  /** Does work under the lock of the seeds, unless `find` has a result. */
  runOnceOnTicketSeeds<T>(work: {
    signal: AbortSignal
    find: () => Promise<T | undefined>
    work: (lock: CertCacheLock | undefined) => Promise<{ value: T }>
  }): Promise<T>
}

interface SessionTicketsParts {
  /** Names the fleet: the prefix of its keys in the store. */
  readonly fleet: string
  /** The user's secret. Then nothing is read or stored. */
  readonly secret: Uint8Array | undefined
  readonly store: SeedStore
  /** Resolves with false if the CA's clock differs: a seed by a wrong clock would end the sessions of the others. */
  readonly isClockRight: () => Promise<boolean>
  /** The servers that share the keys. */
  readonly servers: Iterable<Server>
  readonly clock: Clock
  readonly closing: AbortSignal
}

/**
 * Gives servers the same keys for session tickets on all machines, so that a client resumes its session on any of them.
 * Keys are derived from a secret in the store and the time; see {@link ticketKey}.
 *
 * Until the secret is known, and while the store has none that is new enough, the servers of this process have keys of
 * their own: clients make full handshakes at other machines. Handshakes never wait for the store.
 */
export class SessionTickets {
  readonly #parts: SessionTicketsParts
  /** Used while the fleet's secret is not known: the keys rotate all the same. */
  readonly #ownSecret = randomBytes(32)
  #seeds: readonly TicketSeed[] = []
  /** What the current keys are derived from. */
  #current: { readonly secret: Uint8Array; readonly rotatedAt: number } | undefined
  #readAt = 0
  #failures = 0
  #isReading = false
  #isStarted = false
  #cancelTimer = () => {}

  constructor(parts: SessionTicketsParts) {
    this.#parts = parts
    parts.closing.addEventListener('abort', () => this.#close())
  }

  /** Gives a server the current key, and the `sessionIdContext` of the fleet. The first call starts to read the seeds. */
  add(server: Server): void {
    const sessionIdContext = sessionIdContextOf(verificationOf(server))
    if (!hasOwnSessionIdContext(server)) setSessionIdContext(server, sessionIdContext)
    this.#install(server)
    if (this.#isStarted) return
    this.#isStarted = true
    this.#pass()
  }

  /** Installs the key of this time, reads the seeds if they are due, and sets the timer for the next pass. */
  #pass(): void {
    const { clock, closing, secret } = this.#parts
    if (closing.aborted) return
    this.#rotate()
    const now = clock.now()
    // A clock that was set back must not delay the next read by more than a day.
    this.#readAt = Math.min(this.#readAt, now + readEveryMs)
    if (!secret && now >= this.#readAt && !this.#isReading) void this.#read()
    const nextAt = Math.min(
      rotatesAt(now),
      secret || this.#isReading ? Number.POSITIVE_INFINITY : this.#readAt,
    )
    this.#cancelTimer()
    this.#cancelTimer = clock.after(Math.min(Math.max(nextAt - now, 1), maxIntervalMs), () => this.#pass())
  }

  #rotate(): void {
    const { clock, servers } = this.#parts
    const now = clock.now()
    const secret = this.#parts.secret ?? seedAt(this.#seeds, now)?.secret ?? this.#ownSecret
    const current = { secret, rotatedAt: rotatedAt(now) }
    if (secret === this.#current?.secret && current.rotatedAt === this.#current.rotatedAt) return
    this.#current = current
    for (const server of servers) this.#install(server)
  }

  /** Servers that verify their clients in another way have another key, even if the application sets their context. */
  #install(server: Server): void {
    if (!this.#current) return
    const group = `${this.#parts.fleet} ${sessionIdContextOf(verificationOf(server))}`
    const key = ticketKey(this.#current.secret, group, this.#current.rotatedAt)
    callSafely(() => server.setTicketKeys(key))
  }

  /** Never rejects: the monitored store has reported a failure, which costs resumption and nothing else. */
  async #read(): Promise<void> {
    this.#isReading = true
    try {
      await this.#readOrReplace()
      this.#failures = 0
    } catch {
      this.#failures += 1
    }
    this.#isReading = false
    const delayMs =
      this.#failures === 0 ? readEveryMs : Math.min(retryMs * 2 ** (this.#failures - 1), maxRetryMs)
    this.#readAt = this.#parts.clock.now() + delayMs
    this.#pass()
  }

  async #readOrReplace(): Promise<void> {
    const { store, clock, closing: signal, isClockRight } = this.#parts
    const read = async () => parseSeeds(await store.readTicketSeeds({ signal }))
    this.#seeds = await read()
    if (!replaceSeeds(this.#seeds, clock.now())) return
    if (!(await isClockRight())) throw new WrongClockError('the clock of this machine is wrong')
    this.#seeds = await store.runOnceOnTicketSeeds({
      signal,
      async find() {
        const found = await read()
        return replaceSeeds(found, clock.now()) ? undefined : found
      },
      async work(lock) {
        const found = await read()
        const replaced = replaceSeeds(found, clock.now())
        if (!replaced) return { value: found }
        await store.writeTicketSeeds(encodeSeeds(replaced), { signal: lock?.signal ?? signal })
        return { value: replaced }
      },
    })
  }

  /** Nobody replaces the keys any more: the servers accept no ticket from before, and have keys that nobody else knows. */
  #close(): void {
    this.#cancelTimer()
    if (!this.#isStarted) return
    for (const server of this.#parts.servers) callSafely(() => server.setTicketKeys(randomBytes(48)))
  }
}
