/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

/** Formats the lower and the upper quartile. @param {number[]} values */
function quartiles(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const quantile = (/** @type {number} */ fraction) =>
    sorted[Math.round(fraction * (sorted.length - 1))] ?? Number.NaN
  return `${quantile(0.25).toFixed(3)}–${quantile(0.75).toFixed(3)}`
}

/**
 * Compares two results round by round: what slows the machine down slows both.
 * @param {number[]} values
 * @param {number[]} baseline of the same rounds
 */
export function medianRatio(values, baseline) {
  const ratios = values.map((value, round) => value / (baseline[round] ?? Number.NaN))
  return `${median(ratios).toFixed(3)} (quartiles ${quartiles(ratios)})`
}
