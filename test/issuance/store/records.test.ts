import { expect, test } from 'vitest'
import { parseFailureRecord, parseRenewalInfoRecord } from '../../../src/issuance/store/records.js'

const parseFailure = (json: string) => parseFailureRecord(Buffer.from(json))
const parseRenewalInfo = (json: string) => parseRenewalInfoRecord(Buffer.from(json))

test('a failure record is parsed as it was written, without unknown or invalid optional properties', () => {
  const record = { failures: 1, retryAt: 0, at: 2, renewal: true, message: 'no' }
  expect(parseFailure(JSON.stringify(record))).toEqual(record)
  const { at: _, renewal: _renewal, ...required } = record
  expect(parseFailure(JSON.stringify(required))).toEqual(required)
  expect(parseFailure(JSON.stringify({ ...required, at: '2', renewal: 1, x: 1 }))).toEqual(required)
})

test.each([[-1], [-8.64e15 - 1], [Date.parse('9999-01-02')], [8.64e15 + 1], [1.5], ['1'], [null]])(
  'a failure record with a retryAt of %j is invalid',
  (retryAt) => {
    expect(parseFailure(JSON.stringify({ failures: 1, retryAt: 0, message: 'no' }))).toBeDefined()
    expect(parseFailure(JSON.stringify({ failures: 1, retryAt, message: 'no' }))).toBeUndefined()
  },
)

test.each([
  ['without failures', '{"retryAt":0,"message":"no"}'],
  ['with 0 failures', '{"failures":0,"retryAt":0,"message":"no"}'],
  ['with half a failure', '{"failures":0.5,"retryAt":0,"message":"no"}'],
  ['without a message', '{"failures":1,"retryAt":0}'],
  ['that is null', 'null'],
  ['that is truncated', '{"failures":1,"retr'],
])('a failure record %s is invalid', (_, json) => {
  expect(parseFailure(json)).toBeUndefined()
})

test('a renewal information record is parsed as it was written, without unknown properties', () => {
  const record = { serialNumber: '0A', window: { start: 1, end: 2 }, askAt: 3 }
  expect(parseRenewalInfo(JSON.stringify(record))).toEqual(record)
  expect(parseRenewalInfo(JSON.stringify({ ...record, window: null }))).toEqual({ ...record, window: null })
  expect(
    parseRenewalInfo('{"serialNumber":"0A","window":{"start":1,"end":2,"x":1},"askAt":3,"x":1}'),
  ).toEqual(record)
})

test.each([
  ['a window whose end is not a number', '{"serialNumber":"0A","window":{"start":1,"end":"2"},"askAt":3}'],
  ['a window whose end is infinite', '{"serialNumber":"0A","window":{"start":1,"end":1e999},"askAt":3}'],
  ['a window that ends when it starts', '{"serialNumber":"0A","window":{"start":2,"end":2},"askAt":3}'],
  ['a window that ends before it starts', '{"serialNumber":"0A","window":{"start":2,"end":1},"askAt":3}'],
  ['a window of infinite length', '{"serialNumber":"0A","window":{"start":-1e308,"end":1e308},"askAt":3}'],
  ['a time that exceeds the range of Date', '{"serialNumber":"0A","window":null,"askAt":1e300}'],
  ['a record without a window', '{"serialNumber":"0A","askAt":3}'],
  ['null', 'null'],
  ['a truncated record', '{"serialNumber":"0A","wind'],
])('renewal information: %s is invalid', (_, json) => {
  expect(parseRenewalInfo(json)).toBeUndefined()
})
