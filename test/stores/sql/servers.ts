import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  accessSync,
  chownSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import mysql from 'mysql2/promise'
import pg from 'pg'
import type { TestProject } from 'vitest/node'

/** Paths of sockets in the servers' folders. The servers use no port; tests connect through a relay. */
export interface DatabaseSockets {
  postgres: string
  mariadb: string
  user: string
}

declare module 'vitest' {
  interface ProvidedContext {
    databases: DatabaseSockets
  }
}

const debian = readdirSync('/usr/lib', { withFileTypes: true })
  .filter(({ name }) => name === 'postgresql')
  .flatMap(({ name }) =>
    readdirSync(join('/usr/lib', name)).map((version) => join('/usr/lib', name, version, 'bin')),
  )
const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', ...debian.sort().reverse()]

function find(program: string, aptPackage: string): string {
  for (const folder of folders) {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return join(folder, program)
    } catch {}
  }
  throw new Error(
    `${program} is missing: test:databases needs it, on Debian by apt-get install ${aptPackage}`,
  )
}

/** Returns an unprivileged user, since neither server nor PostgreSQL's initdb runs as root. */
function unprivileged(): { uid?: number; gid?: number; name: string } {
  const id = (...args: string[]) => execFileSync('id', args, { encoding: 'utf8' }).trim()
  if (process.getuid?.() !== 0) return { name: id('-un') }
  return { uid: Number(id('-u', 'nobody')), gid: Number(id('-g', 'nobody')), name: 'nobody' }
}

/** Starts a PostgreSQL and a MariaDB in a temporary folder for the whole run. */
export default async function setup(project: TestProject) {
  const [initdb, postgres] = ['initdb', 'postgres'].map((name) => find(name, 'postgresql')) as [
    string,
    string,
  ]
  const [install, mariadbd] = ['mariadb-install-db', 'mariadbd'].map((name) =>
    find(name, 'mariadb-server'),
  ) as [string, string]
  const { name: user, ...identity } = unprivileged()
  const folder = mkdtempSync(join(tmpdir(), 'acme-cert-cache-db-'))
  const own = (path: string) => {
    if (identity.uid !== undefined && identity.gid !== undefined) chownSync(path, identity.uid, identity.gid)
    return path
  }
  own(folder)
  const sub = (name: string) => {
    mkdirSync(join(folder, name), { mode: 0o700 })
    return own(join(folder, name))
  }
  const stops: (() => Promise<void>)[] = []
  const close = async () => {
    await Promise.all(stops.map((stop) => stop()))
    rmSync(folder, { recursive: true, force: true })
  }
  const run = (program: string, args: string[]) =>
    execFileSync(program, args, { cwd: folder, ...identity, stdio: ['ignore', 'pipe', 'pipe'] })
  const start = (program: string, args: string[], log: string) => {
    const child = spawn(program, args, { cwd: folder, ...identity, stdio: ['ignore', 'pipe', 'pipe'] })
    const said: Buffer[] = []
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => said.push(data))
    const ended = once(child, 'exit')
    stops.push(async () => {
      // SIGINT is PostgreSQL's fast shutdown.
      child.kill(program === postgres ? 'SIGINT' : 'SIGTERM')
      await ended
    })
    return () => {
      if (child.exitCode !== null)
        throw new Error(`${log} ended: ${Buffer.concat(said).toString().slice(-2_000)}`)
    }
  }

  try {
    const [pgData, pgSocket, myData, mySocket] = ['pg', 'pgs', 'my', 'mys'].map(sub) as [
      string,
      string,
      string,
      string,
    ]
    run(initdb, ['-D', pgData, '-A', 'trust', '-U', user, '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync'])
    // Every role connects without a password, except `guarded`.
    const hba = join(pgData, 'pg_hba.conf')
    writeFileSync(hba, `local all guarded scram-sha-256\n${readFileSync(hba, 'utf8')}`)
    run(install, [
      '--no-defaults',
      `--datadir=${myData}`,
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
    ])
    const pgRuns = start(
      postgres,
      [
        '-D',
        pgData,
        '-k',
        pgSocket,
        '-c',
        'listen_addresses=',
        '-c',
        'max_connections=400',
        '-c',
        'fsync=off',
      ],
      'postgres',
    )
    const socketPath = join(mySocket, 'my.sock')
    const myRuns = start(
      mariadbd,
      [
        ...['--no-defaults', `--datadir=${myData}`, `--socket=${socketPath}`, '--skip-networking'],
        ...[
          `--pid-file=${join(mySocket, 'pid')}`,
          '--max-connections=400',
          '--innodb-flush-log-at-trx-commit=0',
        ],
      ],
      'mariadbd',
    )
    await answers(pgRuns, async () => {
      const client = new pg.Client({ host: pgSocket, user, database: 'postgres' })
      await client.connect()
      await client.end()
    })
    await answers(myRuns, async () => {
      const connection = await mysql.createConnection({ socketPath, user: 'root' })
      await connection.query('create database certificates')
      await connection.end()
    })
    project.provide('databases', { postgres: join(pgSocket, '.s.PGSQL.5432'), mariadb: socketPath, user })
  } catch (error) {
    await close()
    throw error
  }
  return close
}

/** Retries until the server answers, for at most a minute. */
async function answers(runs: () => void, ask: () => Promise<void>): Promise<void> {
  const until = performance.now() + 60_000
  for (;;) {
    runs()
    try {
      return await ask()
    } catch (error) {
      if (performance.now() > until) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}
