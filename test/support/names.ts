import dns from 'node:dns'
import { vi } from 'vitest'

/**
 * Lets names lead to this machine, for clients that can't be given a resolver. All others are looked up as ever: so
 * are these once they are forgotten, and as names under `.invalid` they don't exist (RFC 2606).
 */
export function localNames() {
  const known = new Set<string>()
  const { lookup } = dns
  const spy = vi.spyOn(dns, 'lookup')
  spy.mockImplementation(((name: string, ...rest: [dns.LookupOptions, () => void]) =>
    lookup(known.has(name) ? '127.0.0.1' : name, ...rest)) as typeof lookup)
  return {
    know: (name: string) => void known.add(name),
    forget: () => known.clear(),
    close: () => spy.mockRestore(),
  }
}
