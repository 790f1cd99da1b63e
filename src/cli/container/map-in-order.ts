import { ignoreFailure } from '../../util/safe-call.js'

/** Maps items with up to `concurrency` calls of `map` at once. Yields the results in the order of the items. */
export async function* mapInOrder<T, R>(
  items: AsyncIterable<T>,
  concurrency: number,
  map: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const pending: Promise<R>[] = []
  for await (const item of items) {
    const result = map(item)
    void ignoreFailure(result, 'it is awaited in its turn, and must not count as unhandled before')
    pending.push(result)
    if (pending.length >= concurrency) yield await (pending.shift() as Promise<R>)
  }
  for (const result of pending) yield await result
}
