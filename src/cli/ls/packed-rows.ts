import type { Row } from './rows.js'

/** A row in about 300 bytes, for sorting any number of rows. */
export interface PackedRow {
  readonly sortKey: string | number
  /** The field values as a JSON array, in the order of `fields`. */
  readonly json: string
}

const fields: readonly (keyof Row)[] = [
  'host',
  'ca',
  'key',
  'state',
  'fault',
  'keyType',
  'issuer',
  'notBefore',
  'notAfter',
  'renewAt',
  'failure',
  'locked',
]

export function packRow(row: Row, sortKeyOf: (row: Row) => string | number): PackedRow {
  const json = JSON.stringify(fields.map((field) => row[field]))
  // From a copy of the row: in V8, a substring of a listing page would keep the whole page in memory.
  return { sortKey: sortKeyOf(unpackRow(json)), json }
}

export function unpackRow(json: string): Row {
  const values = JSON.parse(json) as unknown[]
  const row = Object.fromEntries(fields.map((field, index) => [field, values[index]])) as unknown as Row
  const toDate = (value: Date | null) => value && new Date(value)
  return {
    ...row,
    notBefore: toDate(row.notBefore),
    notAfter: toDate(row.notAfter),
    renewAt: toDate(row.renewAt),
    failure: row.failure && { ...row.failure, retryAt: new Date(row.failure.retryAt) },
  }
}

export const compareSortKeys = (a: PackedRow, b: PackedRow): number =>
  a.sortKey < b.sortKey ? -1 : a.sortKey > b.sortKey ? 1 : 0
