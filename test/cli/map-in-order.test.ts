import { expect, test } from 'vitest'
import { mapInOrder } from '../../src/cli/container/map-in-order.js'

async function* numbers(count: number) {
  for (let n = 0; n < count; n++) yield n
}

test('mapInOrder processes at most three items at once, and yields the results in the order of the items', async () => {
  const finish = new Map<number, () => void>()
  let inProgress = 0
  let maxInProgress = 0
  const work = async (item: number) => {
    maxInProgress = Math.max(maxInProgress, ++inProgress)
    await new Promise<void>((resolve) => finish.set(item, resolve))
    inProgress -= 1
    return `result ${item}`
  }
  const results: string[] = []
  const done = (async () => {
    for await (const result of mapInOrder(numbers(7), 3, work)) results.push(result)
  })()
  for (const item of [2, 1, 0, 4, 3, 6, 5]) {
    await expect.poll(() => finish.has(item)).toBe(true)
    finish.get(item)?.()
  }
  await done
  expect(results).toEqual([0, 1, 2, 3, 4, 5, 6].map((item) => `result ${item}`))
  expect(maxInProgress).toBe(3)
})

test('mapInOrder yields the results before the first item that fails, then rejects with its error', async () => {
  const results: number[] = []
  const work = async (item: number) => {
    if (item >= 2) throw new Error(`item ${item} failed`)
    return item
  }
  const all = async () => {
    for await (const result of mapInOrder(numbers(9), 4, work)) results.push(result)
  }
  await expect(all()).rejects.toThrow('item 2 failed')
  expect(results).toEqual([0, 1])
})
