// Options are checked once, at construction, by these functions. Each returns the checked value, or throws a TypeError
// whose message starts with the name of the option.

/** The maximum number of entries in memory. `LRUCache` allocates its slots up front: 16 MB for this many. */
export const maxMemoryEntries = 1_000_000

export function positiveInteger(name: string, value: unknown, max: number = Number.MAX_SAFE_INTEGER): number {
  const range = max === Number.MAX_SAFE_INTEGER ? 'from 1' : `from 1 to ${max}`
  return check(name, value, isIntegerUpTo(max, value), `a whole number ${range}`)
}

/** Checks a duration. A Node timer takes at most 2^31-1 ms; a longer delay fires immediately. */
export const milliseconds = (name: string, value: unknown, maxMs: number = 2 ** 31 - 1): number =>
  check(name, value, isIntegerUpTo(maxMs, value), `a whole number of milliseconds from 1 to ${maxMs}`)

export const nonEmptyString = (name: string, value: unknown): string =>
  check(name, value, typeof value === 'string' && value !== '', 'a non-empty string')

export function nonEmptyStrings(name: string, value: unknown): string[] {
  const isFilled = Array.isArray(value) && value.length > 0
  const items = check<unknown[]>(name, value, isFilled, 'a non-empty array of strings')
  return items.map((item) => nonEmptyString(name, item))
}

export const boolean = (name: string, value: unknown): boolean =>
  check(name, value, typeof value === 'boolean', 'true or false')

export const callback = <T>(name: string, value: unknown): T =>
  check(name, value, typeof value === 'function', 'a function')

export function oneOf<T extends string | number>(name: string, value: unknown, allowed: readonly T[]): T {
  if (allowed.includes(value as T)) return value as T
  // A word is probably a misspelled option, and not a secret.
  const isWord = typeof value === 'string' && /^[\w-]{1,20}$/.test(value)
  const shown = isWord ? `"${value}"` : describe(value)
  throw new TypeError(`${name} must be one of ${allowed.join(', ')}, not ${shown}`)
}

/** The options of `T` by name. A new option that is missing here does not compile. */
export type OptionNames<T> = { readonly [K in keyof T]-?: true }

/**
 * Checks an options object, and returns a shallow copy.
 * @throws {TypeError} also for an option that is not in `known`, with the nearest known name
 */
export function plainObject<T extends object>(
  name: string,
  value: unknown,
  known: OptionNames<T>,
): { [K in keyof T]?: unknown } {
  const isOther = Array.isArray(value) || ArrayBuffer.isView(value) || value instanceof Promise
  const isObject = typeof value === 'object' && value !== null && !isOther
  const options = check<Record<string, unknown>>(name, value, isObject, 'an object')
  const unknown = Object.keys(options).find((key) => !Object.hasOwn(known, key))
  if (unknown !== undefined) throw unknownOption(name, unknown, Object.keys(known))
  return { ...(options as { [K in keyof T]?: unknown }) }
}

function unknownOption(name: string, unknown: string, known: readonly string[]): TypeError {
  const nearest = nearestName(unknown.slice(0, 80), known)
  const advice = nearest === undefined ? `Options: ${known.join(', ')}.` : `Did you mean "${nearest}"?`
  return new TypeError(
    `${name.replace(/: options$/, '')}: unknown option ${JSON.stringify(unknown.slice(0, 80))}. ${advice}`,
  )
}

/** Returns the name that takes the fewest edits to become, ignoring case; `undefined` if none is similar. */
function nearestName(name: string, names: readonly string[]): string | undefined {
  const ranked = names
    .map((candidate) => ({ candidate, edits: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits)
  const [best] = ranked
  return best && best.edits <= Math.max(2, name.length / 3) ? best.candidate : undefined
}

/** Levenshtein's distance: the number of characters to insert, remove or replace. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (const [index, character] of [...from].entries()) {
    const next = [index + 1]
    for (let column = 1; column <= to.length; column++) {
      const replaced = (row[column - 1] ?? 0) + (character === to[column - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[to.length] ?? 0
}

/** Passes `undefined` through and checks any other value. */
export function optional<T>(
  name: string,
  value: unknown,
  check: (name: string, value: unknown) => T,
): T | undefined {
  return value === undefined ? undefined : check(name, value)
}

/** Checks the prefix of every key in a container or bucket. A slash in it makes a virtual folder there. */
export function keyPrefix(name: string, value: unknown): string {
  if (typeof value === 'string' && /^[^\\:*?"<>|]*$/.test(value) && /^[\x20-\x7e]*$/.test(value)) return value
  throw new TypeError(`${name} must be printable ASCII without \\ : * ? " < > |`)
}

function check<T>(name: string, value: unknown, isValid: boolean, expected: string): T {
  if (isValid) return value as T
  throw invalidOption(name, expected, value)
}

/** Creates the error of an invalid option. Shows a string only by its type. */
export const invalidOption = (name: string, expected: string, value: unknown): TypeError =>
  new TypeError(`${name} must be ${expected}, not ${describe(value)}`)

const isIntegerUpTo = (max: number, value: unknown) =>
  Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= max

/** Describes an invalid value for a message: only by its type, since a string could be a secret. */
function describe(value: unknown): string {
  if (typeof value === 'number' || value === undefined || value === null) return String(value)
  if (value === '') return 'an empty string'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array'
  if (typeof Object(value).then === 'function') return 'a promise: did you forget await?'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
