import { vi } from 'vitest'

/** Watches what keeps the process running, such as sockets, and timers, also those that don't. */
export function watchLeftOvers() {
  const timers = new Set<NodeJS.Timeout>()
  const { setTimeout: set, clearTimeout: clear } = globalThis
  const spies = [
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(((fn: () => void, ms?: number) => {
      const timer = set(() => {
        timers.delete(timer)
        fn()
      }, ms)
      timers.add(timer)
      return timer
    }) as typeof set),
    vi.spyOn(globalThis, 'clearTimeout').mockImplementation((timer) => {
      timers.delete(timer as NodeJS.Timeout)
      clear(timer)
    }),
  ]
  // Node's own timers are of no library, and the test's time-out is among them.
  const active = () => process.getActiveResourcesInfo().filter((type) => type !== 'Timeout')
  const before = active()
  return {
    timers: () => timers.size,
    /** What there is more of than at first. */
    leftOver() {
      const more = active()
      for (const type of before) {
        const at = more.indexOf(type)
        if (at >= 0) more.splice(at, 1)
      }
      return [...more, ...Array.from(timers, () => 'timer')]
    },
    close() {
      for (const spy of spies) spy.mockRestore()
    },
  }
}
