import { type Clock, clockSkewMs } from '../util/clock.js'

/** Maximum number of jobs that run at once. `Renewals.keepRenewed` looks up the same number of hosts in parallel. */
export const concurrency = 8
/** Longest interval between two passes, so that a change of the clock is noticed. */
const maxIntervalMs = 600_000
/** Shortest interval between two passes. */
const minIntervalMs = 100

/** Work that becomes due. */
export interface Job {
  /** Jobs with the same id never run at the same time. */
  readonly id: string
  /** Milliseconds since the epoch. */
  readonly dueAt: number
  /** Does the work. Never rejects. */
  run(): Promise<unknown>
}

interface SchedulerParts {
  /** Yields all jobs. Called at each pass. */
  readonly jobs: () => Iterable<Job>
  /** Called after the clock was set back, before the jobs are visited. */
  readonly onClockSetBack: (now: number) => void
  readonly clock: Clock
  /** Aborts when no further job may start. */
  readonly closing: AbortSignal
}

/**
 * Starts jobs when they are due. One timer serves all jobs. Each pass visits every job; there is no sorted queue.
 */
export class Scheduler {
  readonly #parts: SchedulerParts
  readonly #running = new Set<string>()
  /** The latest time that the clock has shown. */
  #latestNow = 0
  #timer: { readonly at: number; readonly cancel: () => void } | undefined

  constructor(parts: SchedulerParts) {
    this.#parts = parts
    parts.closing.addEventListener('abort', () => this.#timer?.cancel())
  }

  /** Makes a pass no later than `requestedAt`. Call this when a job is added, or is due earlier than before. */
  wakeAt(requestedAt: number): void {
    const { clock, closing } = this.#parts
    const now = clock.now()
    this.#latestNow = Math.max(this.#latestNow, now)
    const at = Math.max(Math.min(requestedAt, now + maxIntervalMs), now + minIntervalMs)
    if (closing.aborted || (this.#timer && this.#timer.at <= at)) return
    this.#timer?.cancel()
    const onTimer = () => {
      this.#timer = undefined
      this.wakeAt(this.#pass())
    }
    this.#timer = { at, cancel: clock.after(at - now, onTimer) }
  }

  /** Starts a job now. Returns false, and does nothing, if the maximum of jobs or a job with this id is running. */
  tryStart(job: Pick<Job, 'id' | 'run'>): boolean {
    const isFull = this.#running.size >= concurrency
    if (this.#parts.closing.aborted || isFull || this.#running.has(job.id)) return false
    this.#running.add(job.id)
    void job.run().finally(() => this.#running.delete(job.id))
    return true
  }

  /** Starts the jobs that are due, up to the maximum. Returns the time of the next pass. */
  #pass(): number {
    const { jobs, onClockSetBack, clock } = this.#parts
    const now = clock.now()
    if (now < this.#latestNow - clockSkewMs) onClockSetBack(now)
    this.#latestNow = now
    let nextAt = Number.POSITIVE_INFINITY
    for (const job of jobs()) {
      if (job.dueAt > now) nextAt = Math.min(nextAt, job.dueAt)
      else if (!this.#running.has(job.id) && !this.tryStart(job)) nextAt = now
    }
    return nextAt
  }
}
