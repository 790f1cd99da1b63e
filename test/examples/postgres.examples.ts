import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { usePGlite } from '../stores/sql/pglite.js'
import { azureEnvironment, expectCertificate, expectToStop, host, startProgram } from './programs.js'

const { address } = usePGlite()

const databaseUrl = () => `postgres://postgres@127.0.0.1:${address().port}/postgres`

function connect() {
  const pool = new pg.Pool({ ...address(), max: 1 })
  onTestFinished(() => pool.end())
  return pool
}

test('postgres stores the certificate in its table', async () => {
  const program = await startProgram('postgres', { DATABASE_URL: databaseUrl() })
  await expectCertificate(program)
  await expectToStop(program)
  const { rows } = await connect().query('select key from autocert_cache')
  expect(rows.map(({ key }) => key)).toContainEqual(expect.stringMatching(new RegExp(`~${host}$`)))
})

test('multi-tenant serves the hosts in its table, as soon as they are there', async () => {
  const pool = connect()
  await pool.query('create table tenants (domain text primary key)')
  await pool.query('insert into tenants values ($1)', [host])
  const program = await startProgram('multi-tenant', { ...azureEnvironment(), DATABASE_URL: databaseUrl() })
  await expectCertificate(program)
  await expect(expectCertificate(program, 'new.example')).rejects.toThrow(/handshake failure/)
  expect(program.ca.ordersFor('new.example')).toBe(0)
  await pool.query('insert into tenants values ($1)', ['new.example'])
  await expectCertificate(program, 'new.example')
  await expectToStop(program)
})
