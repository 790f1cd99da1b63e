import fc from 'fast-check'
import { expect, test } from 'vitest'

// npm test runs every property on the same inputs. To explore others, with FUZZ_TIMES times as many inputs:
//   FUZZ_SEED=random FUZZ_TIMES=20 npm run test:fuzz
const times = Number(process.env.FUZZ_TIMES ?? 1)
const seed = seedFrom(process.env.FUZZ_SEED ?? '1')

function seedFrom(setting: string): number {
  const value = setting === 'random' ? Math.floor(Math.random() * 2 ** 31) : Number(setting)
  if (!Number.isInteger(value))
    throw new Error(`FUZZ_SEED must be "random" or a whole number, not ${setting}`)
  if (process.env.FUZZ_SEED !== undefined) {
    const file = expect.getState().testPath?.split('/').at(-1)
    process.stdout.write(`${file}: FUZZ_SEED=${value} FUZZ_TIMES=${times} repeats this run\n`)
  }
  return value
}

/**
 * Tests that a property holds for `runs` inputs, times FUZZ_TIMES. A failure prints the smallest counterexample found,
 * with the seed and the path that lead to it: pass both to `fc.assert` to repeat it.
 */
export function property<T>(
  name: string,
  runs: number,
  inputs: fc.Arbitrary<T>,
  holds: (input: T) => void | Promise<void>,
): void {
  const asynchronous = fc.asyncProperty(inputs, async (input) => {
    await holds(input)
  })
  test(name, () => fc.assert(asynchronous, { seed, numRuns: runs * times }), 300_000 * times)
}

/** Bytes that are almost valid: cut, changed, repeated and mixed in one to four places. */
export function damaged(valid: Uint8Array, tokens: readonly string[] = []): fc.Arbitrary<Uint8Array> {
  const length = valid.byteLength
  const ownPart = fc.tuple(fc.nat(length), fc.nat(64)).map(([at, size]) => valid.subarray(at, at + size))
  const foreignParts = tokens.map((token) => Buffer.from(token))
  const edit = fc.record({
    at: fc.nat(length),
    remove: fc.oneof(fc.nat(2), fc.nat(length)),
    insert: fc.oneof(
      fc.uint8Array({ maxLength: 4 }),
      ownPart,
      fc.constantFrom<Uint8Array>(new Uint8Array(), valid, ...foreignParts),
    ),
  })
  return fc
    .array(edit, { minLength: 1, maxLength: 4 })
    .map((edits) =>
      edits.reduce<Uint8Array>(
        (bytes, { at, remove, insert }) =>
          Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]),
        valid,
      ),
    )
}

/** The same for text. */
export const damagedText = (valid: string, tokens?: readonly string[]): fc.Arbitrary<string> =>
  damaged(Buffer.from(valid), tokens).map((bytes) => Buffer.from(bytes).toString())
