// Options are checked once, at construction, by these functions. Each returns the checked value, or throws a TypeError
// whose message starts with the name of the option.

/** The maximum number of entries in memory. `LRUCache` allocates its slots up front: 16 MB for this many. */
export const maxMemoryEntries = 1_000_000

const isIntegerUpTo = (max: number, value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= max

export function positiveInteger(name: string, value: unknown, max: number = Number.MAX_SAFE_INTEGER): number {
  if (isIntegerUpTo(max, value)) return value
  const range = max === Number.MAX_SAFE_INTEGER ? 'from 1' : `from 1 to ${max}`
  throw new TypeError(`${name} must be a whole number ${range}, not ${describe(value)}`)
}

/** Checks a duration. A Node timer takes at most 2^31-1 ms; a longer delay fires immediately. */
export function milliseconds(name: string, value: unknown, maxMs: number = 2 ** 31 - 1): number {
  if (isIntegerUpTo(maxMs, value)) return value
  throw new TypeError(
    `${name} must be a whole number of milliseconds from 1 to ${maxMs}, not ${describe(value)}`,
  )
}

export function nonEmptyString(name: string, value: unknown): string {
  if (typeof value === 'string' && value !== '') return value
  throw new TypeError(`${name} must be a non-empty string, not ${describe(value)}`)
}

export function nonEmptyStrings(name: string, value: unknown): string[] {
  if (Array.isArray(value) && value.length > 0) return value.map((item) => nonEmptyString(name, item))
  throw new TypeError(`${name} must be a non-empty array of strings, not ${describe(value)}`)
}

export function boolean(name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value
  throw new TypeError(`${name} must be true or false, not ${describe(value)}`)
}

export function callback<T>(name: string, value: unknown): T {
  if (typeof value === 'function') return value as T
  throw new TypeError(`${name} must be a function, not ${describe(value)}`)
}

/** Passes `undefined` through and checks any other value. */
export function optional<T>(
  name: string,
  value: unknown,
  check: (name: string, value: unknown) => T,
): T | undefined {
  return value === undefined ? undefined : check(name, value)
}

export function oneOf<T extends string>(name: string, value: unknown, allowed: readonly T[]): T {
  if (allowed.includes(value as T)) return value as T
  throw new TypeError(`${name} must be one of ${allowed.join(', ')}, not ${describe(value)}`)
}

/** Checks the prefix of every key in a container or bucket. A slash in it makes a virtual folder there. */
export function keyPrefix(name: string, value: unknown): string {
  if (value === '') return ''
  if (typeof value === 'string' && /^[^\\:*?"<>|]+$/.test(value) && /^[\x20-\x7e]+$/.test(value)) return value
  throw new TypeError(`${name} must be printable ASCII without \\ : * ? " < > |`)
}

/** Checks an options object, and returns a shallow copy. */
export function plainObject(name: string, value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  throw new TypeError(`${name} must be an object, not ${describe(value)}`)
}

/** Describes an invalid value for a message: only by its type, since a string could be a secret. */
function describe(value: unknown): string {
  if (typeof value === 'number' || value === undefined || value === null) return String(value)
  if (value === '') return 'an empty string'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array'
  return `a value of type ${typeof value}`
}
