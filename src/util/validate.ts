// Every option is checked once, at construction, by one of these; each message names the option.

/** The memory's slots are made beforehand: 16 MB for so many. */
export const maxMemoryEntries = 1_000_000

export function positiveInteger(
  name: string,
  value: unknown,
  most: number = Number.MAX_SAFE_INTEGER,
): number {
  if (Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= most)
    return value as number
  const range = most === Number.MAX_SAFE_INTEGER ? 'from 1' : `from 1 to ${most}`
  throw new TypeError(`${name} must be a whole number ${range}, not ${show(value)}`)
}

/** A duration that a timer can wait: Node's timers take at most 2^31-1 ms and fire at once beyond. */
export function milliseconds(name: string, value: unknown, longest: number = 2 ** 31 - 1): number {
  if (Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= longest)
    return value as number
  throw new TypeError(
    `${name} must be a whole number of milliseconds from 1 to ${longest}, not ${show(value)}`,
  )
}

export function nonEmptyString(name: string, value: unknown): string {
  if (typeof value === 'string' && value !== '') return value
  throw new TypeError(`${name} must be a non-empty string, not ${show(value)}`)
}

export function nonEmptyStrings(name: string, value: unknown): string[] {
  if (Array.isArray(value) && value.length > 0) return value.map((item) => nonEmptyString(name, item))
  throw new TypeError(`${name} must be a non-empty array of strings, not ${show(value)}`)
}

export function boolean(name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value
  throw new TypeError(`${name} must be true or false, not ${show(value)}`)
}

export function callback<T>(name: string, value: unknown): T {
  if (typeof value === 'function') return value as T
  throw new TypeError(`${name} must be a function, not ${show(value)}`)
}

export function optional<T>(
  name: string,
  value: unknown,
  check: (name: string, value: unknown) => T,
): T | undefined {
  return value === undefined ? undefined : check(name, value)
}

export function oneOf<T extends string>(name: string, value: unknown, allowed: readonly T[]): T {
  if (allowed.includes(value as T)) return value as T
  throw new TypeError(`${name} must be one of ${allowed.join(', ')}, not ${show(value)}`)
}

/** What stands before every key in a container or bucket; slashes make folders there. */
export function keyPrefix(name: string, value: unknown): string {
  if (value === '') return ''
  if (typeof value === 'string' && /^[^\\:*?"<>|]+$/.test(value) && /^[\x20-\x7e]+$/.test(value)) return value
  throw new TypeError(`${name} must be printable ASCII without \\ : * ? " < > |`)
}

/** An object of options, as opposed to the string or the nothing that was passed in its place. */
export function plainObject(name: string, value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  throw new TypeError(`${name} must be an object, not ${show(value)}`)
}

/** A wrong value in a message: by its type where it could be a secret. */
function show(value: unknown): string {
  if (typeof value === 'number' || value === undefined || value === null) return String(value)
  if (value === '') return 'an empty string'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array'
  return `a value of type ${typeof value}`
}
