import { once } from 'node:events'
import { createServer } from 'node:net'
import { S3Client } from '@aws-sdk/client-s3'
import { PGlite } from '@electric-sql/pglite'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'
import { DirCertCache, EncryptedCertCache } from 'acme-cert-cache'
import { S3CertCache } from 'acme-cert-cache/s3'
import { SqlCertCache } from 'acme-cert-cache/sql'
import { MemoryCertCache } from 'acme-cert-cache/testing'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { makeBytes, makeText } from './made.js'
import { show } from './show.js'

/**
 * Uses the other stores, with and without faults.
 * @param {NonNullable<import('./run.js').Places['s3']>} s3
 */
export async function runStores(s3) {
  await runS3(s3)
  await runSql()
  for (const store of [new DirCertCache('/dev/null'), new DirCertCache('/nowhere')]) await exercise(store)
  const memory = new MemoryCertCache()
  await exercise(memory)
  memory.cutOff()
  await exercise(memory)
  for (const key of [makeBytes(31), makeText()]) {
    try {
      new EncryptedCertCache(memory, { keys: { current: { id: '1', key: /** @type {any} */ (key) } } })
    } catch (error) {
      show(error)
    }
  }
}

/** @param {NonNullable<import('./run.js').Places['s3']>} place */
async function runS3({ endpoint, bucket }) {
  const ways = [
    { endpoint, bucket },
    { endpoint, bucket: 'is-not-there' },
    { endpoint: 'http://127.0.0.1:1', bucket },
  ]
  for (const way of ways) {
    const client = new S3Client({
      region: 'us-east-1',
      endpoint: way.endpoint,
      forcePathStyle: true,
      maxAttempts: 1,
      credentials: { accessKeyId: 'id', secretAccessKey: makeText(), sessionToken: makeText() },
    })
    await exercise(new S3CertCache(client, way.bucket))
    client.destroy()
  }
}

async function runSql() {
  const db = await PGlite.create()
  const sockets = new PGLiteSocketServer({ db, port: 0, maxConnections: 20 })
  await sockets.start()
  const port = Number(sockets.getServerConn().split(':').at(-1))
  // PostgreSQL's error contains the refused row.
  await db.exec(
    'create table choosy (key text primary key, data bytea, created_at timestamptz, updated_at timestamptz, check (length(data) = 0))',
  )
  const refusing = await openRefusing()
  const user = { host: '127.0.0.1', user: 'postgres', database: 'postgres' }
  const pools = [port, refusing.port, 1].map(
    (at) => new pg.Pool({ ...user, port: at, password: makeText(), max: 1 }),
  )
  for (const pool of pools) {
    const store = new SqlCertCache(pool)
    await store.createTables().catch(show)
    await exercise(store)
    await exercise(new SqlCertCache(pool, { table: 'choosy' }))
    await pool.end()
  }
  const pool = mysql.createPool({ ...user, port: 1, password: makeText() })
  await exercise(new SqlCertCache(pool))
  await pool.end()
  refusing.server.close()
  await sockets.stop()
  await db.close()
}

/** Starts a server that speaks PostgreSQL's protocol as far as to request and refuse a password. */
async function openRefusing() {
  /** @param {string} type @param {Buffer} body */
  const message = (type, body) => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(body.length + 4)
    return Buffer.concat([Buffer.from(type), length, body])
  }
  const inClear = message('R', Buffer.from([0, 0, 0, 3]))
  const refusal = message(
    'E',
    Buffer.from('SFATAL\0C28P01\0Mpassword authentication failed for user "postgres"\0\0'),
  )
  const server = createServer((socket) => {
    socket.once('data', () => {
      socket.write(inClear)
      socket.once('data', () => socket.end(refusal))
    })
    socket.on('error', () => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, port: /** @type {import('node:net').AddressInfo} */ (server.address()).port }
}

/** @param {import('acme-cert-cache').LockingCertCache & import('acme-cert-cache').ListableCertCache} store */
async function exercise(store) {
  show(store)
  // Short, since PostgreSQL's errors contain the first 31 bytes of a refused value.
  await store.put('a.example', Buffer.from(makeText(12))).catch(show)
  await store.get('a.example').catch(show)
  const lock = await store.tryLock('a.example').catch(show)
  if (lock) show(lock)
  await lock?.release()
  await store.delete('a.example').catch(show)
  try {
    for await (const entry of store.list()) show(entry)
  } catch (error) {
    show(error)
  }
  show(store)
}
