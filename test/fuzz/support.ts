import fc from 'fast-check'
import { test } from 'vitest'

/** `FUZZ_TIMES=100 npx vitest run --project default test/fuzz` looks a hundred times as long. */
const times = Number(process.env.FUZZ_TIMES ?? 1)

/**
 * A test of a property on so many inputs. A failure prints the smallest counterexample found, with the seed and
 * the path that lead to it again: give them to `fc.assert`.
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
  test(name, () => fc.assert(asynchronous, { numRuns: runs * times }), 30_000 * times)
}

/** Bytes that are almost valid: cut, changed, doubled and mixed up in one to four places. */
export function damaged(valid: Uint8Array, tokens: readonly string[] = []): fc.Arbitrary<Uint8Array> {
  const length = valid.byteLength
  const ofItself = fc.tuple(fc.nat(length), fc.nat(64)).map(([at, size]) => valid.subarray(at, at + size))
  const ofOthers = tokens.map((token) => Buffer.from(token))
  const edit = fc.record({
    at: fc.nat(length),
    remove: fc.oneof(fc.nat(2), fc.nat(length)),
    insert: fc.oneof(
      fc.uint8Array({ maxLength: 4 }),
      ofItself,
      fc.constantFrom<Uint8Array>(new Uint8Array(), valid, ...ofOthers),
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
