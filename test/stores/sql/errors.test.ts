import { expect, test } from 'vitest'
import { isConflict, toStoreError } from '../../../src/stores/sql/drivers/errors.js'

const errorOf = (code: string, more: object = {}) =>
  toStoreError(
    Object.assign(new Error('of the driver'), { code, ...more }),
    'lock "a.example"',
    'MySQL',
    'certificates',
  )

test.each(['25006', 'ER_OPTION_PREVENTS_STATEMENT', 'ER_READ_ONLY_MODE', 'SQLITE_READONLY_DBMOVED'])(
  '%s, a read-only database, is ERR_STORE_FAILED and not a missing permission',
  (code) => {
    const error = errorOf(code)
    expect(error.code).toBe('ERR_STORE_FAILED')
    expect(error.message).toMatch(/the database is read-only \(.*\)\. Connect to the primary/)
  },
)

test.each(['42501', 'ER_TABLEACCESS_DENIED_ERROR', 'SQLITE_PERM', 'SQLITE_AUTH'])(
  '%s is a missing permission',
  (code) => {
    expect(errorOf(code)).toMatchObject({
      code: 'ERR_STORE_PERMISSION',
      message: expect.stringContaining('Grant'),
    })
  },
)

test.each(['57014', '55P03', 'ER_STATEMENT_TIMEOUT', 'ER_QUERY_TIMEOUT', 'ER_LOCK_WAIT_TIMEOUT'])(
  '%s, a limit set by the server, is a time-out',
  (code) => {
    expect(errorOf(code).code).toBe('ERR_STORE_TIMEOUT')
  },
)

test('the extended result codes of node:sqlite count as their primary codes', () => {
  // SQLITE_READONLY_DBMOVED and SQLITE_CANTOPEN_ISDIR
  const [readOnly, cannotOpen] = [1_032, 526].map((errcode) => errorOf('ERR_SQLITE_ERROR', { errcode }))
  expect(readOnly?.message).toMatch(/the database is read-only \(.*\)\. Connect to the primary/)
  expect(cannotOpen?.code).toBe('ERR_STORE_UNREACHABLE')
  // SQLITE_BUSY_SNAPSHOT
  expect(isConflict(Object.assign(new Error('busy'), { errcode: 517 }))).toBe(true)
})

test('the message names the first address of a host with several', () => {
  const refused = new Error('connect ECONNREFUSED ::1:5432')
  const error = Object.assign(new AggregateError([refused]), { code: 'ECONNREFUSED' })
  expect(toStoreError(error, 'list', 'PostgreSQL', 'certificates').message).toMatch(
    /^cannot list table "certificates": cannot connect to PostgreSQL \(connect ECONNREFUSED ::1:5432\)\. Check the host/,
  )
})

test('the message for a SQLite file that cannot be opened names its path and permissions', () => {
  const error = Object.assign(new Error('unable to open database file'), { code: 'SQLITE_CANTOPEN' })
  expect(toStoreError(error, 'list', 'SQLite', 'certificates').message).toBe(
    'cannot list table "certificates": cannot open the database file (unable to open database file). Check its path, and the permissions of the file and its folder.',
  )
})

test.each(['database is locked', 'database table is locked: autocert_cache'])(
  'the message %j of a driver without codes is a conflict',
  (message) => {
    expect(isConflict(new Error(message))).toBe(true)
  },
)

test.each(['40001', '40P01', 'ER_LOCK_DEADLOCK', 'ER_CHECKREAD', 'SQLITE_BUSY', 'SQLITE_LOCKED'])(
  '%s is a conflict, so the statement is retried',
  (code) => {
    expect(isConflict(Object.assign(new Error('of the driver'), { code }))).toBe(true)
  },
)

test.each(['23505', 'SQLITE_FULL', 'SQLITE_READONLY', 'ER_LOCK_WAIT_TIMEOUT'])(
  '%s is not a conflict',
  (code) => {
    expect(isConflict(Object.assign(new Error('of the driver'), { code }))).toBe(false)
  },
)
