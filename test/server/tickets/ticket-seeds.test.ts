import { describe, expect, test } from 'vitest'
import { rotatesAt, ticketKey } from '../../../src/server/tickets/ticket-keys.js'
import {
  encodeSeeds,
  parseSeeds,
  replaceSeeds,
  seedAt,
  type TicketSeed,
} from '../../../src/server/tickets/ticket-seeds.js'

const hour = 3_600_000
const day = 24 * hour
const now = Date.UTC(2027, 0, 10, 15)
const seed = (from: number, fill = 1): TicketSeed => ({ from, secret: Buffer.alloc(32, fill) })
const added = (stored: TicketSeed[], at = now) =>
  replaceSeeds(stored, at)?.filter((each) => !stored.includes(each))

describe('ticket keys', () => {
  const secret = Buffer.alloc(32, 7)
  const noon = Date.UTC(2027, 0, 10, 12)

  test('are the same for 12 hours, from 0:00 and 12:00 UTC, then others', () => {
    const key = ticketKey(secret, '', noon)
    expect(key).toHaveLength(48)
    expect(ticketKey(secret, '', noon + 12 * hour - 1)).toEqual(key)
    expect(ticketKey(secret, '', noon + 12 * hour)).not.toEqual(key)
    expect(ticketKey(secret, '', noon - 1)).not.toEqual(key)
    expect(rotatesAt(now)).toBe(noon + 12 * hour)
  })

  test('differ by secret and by group', () => {
    const keys = [
      ticketKey(secret, '', noon),
      ticketKey(Buffer.alloc(32), '', noon),
      ticketKey(secret, 'x', noon),
    ]
    expect(new Set(keys.map(String)).size).toBe(3)
  })
})

describe('seeds', () => {
  test('without one, one is made that is used at once, since the last rotation', () => {
    const [first, ...others] = replaceSeeds([], now) as TicketSeed[]
    expect(others).toEqual([])
    expect(first).toMatchObject({ from: Date.UTC(2027, 0, 10, 12), secret: { length: 32 } })
    expect(seedAt([first as TicketSeed], now)).toBe(first)
  })

  test('are replaced after a week; the next one is stored two days before', () => {
    const current = seed(now)
    expect(replaceSeeds([current], now + 5 * day - 1)).toBeUndefined()
    const next = added([current], now + 5 * day)
    expect(next).toMatchObject([{ from: now + 7 * day }])
    const both = replaceSeeds([current], now + 5 * day) as TicketSeed[]
    expect(seedAt(both, now + 7 * day - 1)).toBe(current)
    expect(seedAt(both, now + 7 * day)).toBe(both[1])
    expect(replaceSeeds(both, now + 7 * day)).toBeUndefined()
    // The old one goes once it is of no use: recorded connections could be decrypted with it.
    expect(replaceSeeds(both, now + 7 * day + hour - 1)).toBeUndefined()
    expect(replaceSeeds(both, now + 7 * day + hour)).toEqual([both[1]])
  })

  test('a late replacement is used a day later, at a rotation, so that all machines have read it', () => {
    const [next] = added([seed(now)], now + 8 * day) as [TicketSeed]
    expect(next.from - (now + 8 * day)).toBeGreaterThanOrEqual(day)
    expect(next.from % (12 * hour)).toBe(0)
  })

  test('are not used for longer than 9 days, and then removed', () => {
    const old = seed(now - 9 * day)
    expect(seedAt([old], now - 1)).toBe(old)
    expect(seedAt([old], now)).toBeUndefined()
    const replaced = replaceSeeds([old], now)
    expect(replaced).toHaveLength(1)
    expect(replaced).not.toContain(old)
  })

  test('from a clock that is ahead neither count nor stay', () => {
    const ahead = seed(now + 60 * day)
    expect(seedAt([ahead], now)).toBeUndefined()
    const replaced = replaceSeeds([ahead], now)
    expect(replaced).toHaveLength(1)
    expect(replaced).not.toContain(ahead)
  })

  test('survive being stored', () => {
    const seeds = [seed(now, 1), seed(now + 7 * day, 2)]
    expect(parseSeeds(encodeSeeds(seeds))).toEqual(seeds)
    expect(Buffer.from(encodeSeeds(seeds)).toString()).toMatch(/^\{"seeds":\[\{"from":\d+,"seed":"AQEB/)
  })

  test.each([
    ['nothing', undefined],
    ['no JSON', '{"seeds":['],
    ['null', 'null'],
    ['no list', '{"seeds":{}}'],
    ['seeds of another length', `{"seeds":[{"from":1,"seed":"AAAA"}]}`],
    ['no time', `{"seeds":[{"from":"soon","seed":"${Buffer.alloc(32).toString('base64')}"}]}`],
    ['null entries', '{"seeds":[null,1,"x"]}'],
  ])('%s in the store counts as none', (_, text) => {
    expect(parseSeeds(text === undefined ? undefined : Buffer.from(text))).toEqual([])
  })
})
