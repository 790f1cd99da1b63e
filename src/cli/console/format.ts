const hourMs = 3_600_000

/** `2026-07-01 12:30`, UTC. */
export const minuteOf = (time: Date): string =>
  Number.isNaN(time.getTime()) ? 'never' : time.toISOString().slice(0, 16).replace('T', ' ')

/** What is left until then: `61 d`, in hours below two days, negative afterwards. */
export function left(until: Date, now: number): string {
  const hours = (until.getTime() - now) / hourMs
  return Math.abs(hours) < 48 ? `${Math.trunc(hours)} h` : `${Math.trunc(hours / 24)} d`
}
