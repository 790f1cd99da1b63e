import { randomUUID } from 'node:crypto'

/** A key to try the store with: no host's, since it has no dot. */
export const newScratch = (): string => `doctor-${randomUUID()}`

export const isScratch = (key: string): boolean =>
  /^doctor-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(key)
