/** Random numbers from 0 up to 1 that a seed reproduces: mulberry32. Each `stream` of a seed has its own. */
export function seededRandom(seed: number, stream = 0): () => number {
  let state = seed + Math.imul(stream, 0x9e3779b9)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
