// Prints a value in all the ways in which a log, a status page or an error tracker may show it.
import buffer from 'node:buffer'
import { inspect } from 'node:util'

buffer.INSPECT_MAX_BYTES = Number.POSITIVE_INFINITY
const everything = { depth: Number.POSITIVE_INFINITY, maxArrayLength: null, maxStringLength: null }
let shown = 0

export const timesShown = () => shown

/** @param {unknown} value */
export function show(value) {
  shown += 1
  console.log(inspect(value, everything))
  console.log(inspect(value, { ...everything, showHidden: true, getters: true }))
  console.log(toJson(value))
  if (!(value instanceof Error)) return
  console.log(value.message, value.stack)
  if (value.cause !== undefined) show(value.cause)
}

/** @param {unknown} value */
function toJson(value) {
  const seen = new WeakSet()
  return JSON.stringify(value, (_, /** @type {unknown} */ inner) => {
    if (typeof inner === 'bigint') return String(inner)
    if (typeof inner !== 'object' || inner === null) return inner
    if (seen.has(inner)) return undefined
    seen.add(inner)
    return inner
  })
}
