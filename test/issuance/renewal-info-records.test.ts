import { expect, test } from 'vitest'
import { parseRenewalInfoRecord } from '../../src/issuance/renewal-info-records.js'

const parse = (json: string) => parseRenewalInfoRecord(Buffer.from(json))

test('the CA’s wish is read as it was written', () => {
  const record = { serialNumber: '0A', window: { start: 1, end: 2 }, askAt: 3 }
  expect(parse(JSON.stringify(record))).toEqual(record)
  expect(parse(JSON.stringify({ ...record, window: null }))).toEqual({ ...record, window: null })
  expect(parse('{"serialNumber":"0A","window":{"start":1,"end":2,"x":1},"askAt":3,"x":1}')).toEqual(record)
})

test.each([
  ['a window that ends at no number', '{"serialNumber":"0A","window":{"start":1,"end":"2"},"askAt":3}'],
  ['a window without an end', '{"serialNumber":"0A","window":{"start":1,"end":1e999},"askAt":3}'],
  ['a window wider than numbers', '{"serialNumber":"0A","window":{"start":-1e308,"end":1e308},"askAt":3}'],
  ['a time that no Date can hold', '{"serialNumber":"0A","window":null,"askAt":1e300}'],
  ['no window', '{"serialNumber":"0A","askAt":3}'],
  ['another value', 'null'],
  ['half of it', '{"serialNumber":"0A","wind'],
])('%s is none', (_, json) => {
  expect(parse(json)).toBeUndefined()
})
