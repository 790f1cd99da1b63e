import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ClientRequest } from 'node:http'
import { expect, vi } from 'vitest'
import { systemClock } from '../../src/util/clock.js'
import type { FaultyContainer, StorageFault } from './storage-faults.js'

/** Controls the time of a store's client: pauses before a retry end at once, time-outs when the test ends them. */
export function controlStoreTime() {
  const timeouts = new Set<() => void>()
  const after = vi.spyOn(systemClock, 'after').mockImplementation((_, fn, options) => {
    if (options?.keepAlive) {
      const pause = setTimeout(fn, 0)
      return () => clearTimeout(pause)
    }
    timeouts.add(fn)
    return () => void timeouts.delete(fn)
  })
  /** Responses whose header has arrived. */
  let responses = 0
  const onResponse = (message: unknown) => {
    const { request } = message as { request: ClientRequest }
    if (request.host.endsWith('.invalid')) responses += 1
  }
  subscribe('http.client.response.finish', onResponse)
  return {
    /** Time-outs that have neither passed nor been cancelled. */
    get pending() {
      return timeouts.size
    },
    /** Settles as `work` does. If the fault makes the store hang, every time-out passes once the store hangs. */
    async untilSettled<T>(
      work: Promise<T>,
      { fault }: StorageFault,
      { tap }: FaultyContainer,
    ): Promise<PromiseSettledResult<T>> {
      const before = responses
      const hangs = {
        hang: () => tap.pending > 0,
        'stall in the body': () => responses > before,
      }[fault as string]
      const settled = Promise.allSettled([work])
      if (hangs) {
        await expect.poll(hangs).toBe(true)
        for (const pass of [...timeouts]) pass()
      }
      return (await settled)[0] as PromiseSettledResult<T>
    },
    /** Resolves when the store has no request left, since clean-up in the background may also hang. */
    async untilIdle({ fault }: StorageFault, { tap }: FaultyContainer) {
      const isIdle = () => {
        if (fault === 'hang' || fault === 'stall in the body') for (const pass of [...timeouts]) pass()
        return tap.pending + timeouts.size
      }
      await expect.poll(isIdle).toBe(0)
    },
    close() {
      unsubscribe('http.client.response.finish', onResponse)
      after.mockRestore()
    },
  }
}
