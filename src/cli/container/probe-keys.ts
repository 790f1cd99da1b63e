import { randomUUID } from 'node:crypto'

/** Returns a new key for a blob that doctor writes. It has no dot, so it cannot be a host's key. */
export const newProbeKey = (): string => `doctor-${randomUUID()}`

export const isProbeKey = (key: string): boolean =>
  /^doctor-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(key)
