import { vi } from 'vitest'

/** Watches timers, unref'd ones included, and the other resources that keep the process running, such as sockets. */
export function watchLeftOvers() {
  const timers = new Set<NodeJS.Timeout>()
  const { setTimeout: startTimer, clearTimeout: stopTimer } = globalThis
  const spies = [
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(((fn: () => void, ms?: number) => {
      const timer = startTimer(() => {
        timers.delete(timer)
        fn()
      }, ms)
      timers.add(timer)
      return timer
    }) as typeof startTimer),
    vi.spyOn(globalThis, 'clearTimeout').mockImplementation((timer) => {
      timers.delete(timer as NodeJS.Timeout)
      stopTimer(timer)
    }),
  ]
  // Timeouts are excluded: Node counts its own and the test's time-out.
  const active = () => process.getActiveResourcesInfo().filter((type) => type !== 'Timeout')
  const before = active()
  return {
    timers: () => timers.size,
    /** Returns the resources and timers that have been added since the start. */
    leftOver() {
      const added = active()
      for (const type of before) {
        const index = added.indexOf(type)
        if (index >= 0) added.splice(index, 1)
      }
      return [...added, ...Array.from(timers, () => 'timer')]
    },
    close() {
      for (const spy of spies) spy.mockRestore()
    },
  }
}
