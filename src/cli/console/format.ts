const hourMs = 3_600_000
const units: Readonly<Record<string, string>> = { m: 'minute', h: 'hour', d: 'day', w: 'week' }

/** Returns the time in UTC to the minute, such as `2026-07-01 12:30`; `never` for an invalid date. */
export const formatMinute = (time: Date): string =>
  Number.isNaN(time.getTime()) ? 'never' : time.toISOString().slice(0, 16).replace('T', ' ')

/** Returns the time from `now` to `until`, such as `61 d`; in hours below two days, negative once it has passed. */
export function timeLeft(until: Date, now: number): string {
  const hours = (until.getTime() - now) / hourMs
  return Math.abs(hours) < 48 ? `${Math.trunc(hours)} h` : `${Math.trunc(hours / 24)} d`
}

/** Returns a flag's value such as `3w` in words: `3 weeks`. */
export const formatDuration = (value: string): string =>
  formatCount(Number.parseInt(value, 10), units[value.slice(-1)] as string)

/** Returns the number with its noun, such as `1 blob` or `1,234 blobs`. */
export const formatCount = (count: number, noun: string): string =>
  `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`

/**
 * Replaces control, format and line-separator characters with U+FFFD. Text from a certificate, a CA or the command line
 * could otherwise control the terminal.
 */
export const replaceControlCharacters = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '�')
