import dns from 'node:dns'
import { vi } from 'vitest'

/**
 * Resolves known names to this machine, for clients that accept no resolver. Other names are looked up as usual; names
 * under `.invalid` do not exist (RFC 2606).
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
