import { mkdir, mkdtemp, rm, symlink, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AzureBlobCertCache, DirCertCache, type ListableCertCache } from '../../src/index.js'
import { SqlCertCache } from '../../src/stores/sql/index.js'
import { connectTo, type Target } from '../stores/sql/connect.js'
import { azurite, freshContainer } from '../support/azure.js'
import { openTap } from '../support/tap.js'
import type { StoreSettings } from './open-store.js'

/** One machine's connection to the store. */
export interface Way {
  readonly settings: StoreSettings
  /** Stops all traffic, as a pulled cable does. */
  cut?(): unknown
  mend?(): unknown
  close(): Promise<unknown>
}

/** An empty store that a fleet shares. */
export interface Place<W extends Way = Way> {
  /** Bypasses the machines' connections, for a test to inspect and prepare the store. */
  readonly store: ListableCertCache
  way(): Promise<W>
  close(): Promise<unknown>
}

export type OpenPlace = () => Promise<Place>

/** @param timeoutMs of one operation of a machine's store; default: the store's own */
export async function azurePlace(timeoutMs?: number) {
  const { client, connect } = await freshContainer()
  const timeout = timeoutMs === undefined ? {} : { timeoutMs }
  return {
    store: await AzureBlobCertCache.connect(connect),
    container: client,
    async way() {
      const tap = await openTap(azurite().endpoint)
      return {
        settings: { kind: 'azure' as const, connect: { ...connect, ...timeout, endpoint: tap.endpoint } },
        tap,
        cut: () => tap.fault(() => 'hang'),
        mend: () => tap.fault(() => undefined),
        close: () => tap.close(),
      }
    },
    close: () => client.delete(),
  }
}

export async function dirPlace() {
  const base = await mkdtemp(join(tmpdir(), 'dir-fleet-'))
  const folder = join(base, 'folder')
  await mkdir(folder)
  let ways = 0
  return {
    store: new DirCertCache(folder),
    async way() {
      // A symbolic link simulates a mount, which one machine can lose.
      const path = join(base, `mounted-${++ways}`)
      let isCut = true
      const mend = async () => {
        if (isCut) await symlink(folder, path)
        isCut = false
      }
      const cut = async () => {
        await unlink(path)
        isCut = true
      }
      await mend()
      return {
        settings: { kind: 'dir' as const, path },
        cut,
        mend,
        close: async () => {},
      }
    },
    close: () => rm(base, { recursive: true }),
  }
}

/** Opens a database as a fleet's place. `way` opens a relay to it, if it is on a server. */
export async function sqlPlace(
  direct: Target,
  way: () => Promise<{ target: Target; cut?(): void; mend?(): void; close(): Promise<void> }>,
  close: () => Promise<unknown>,
) {
  const { database, close: disconnect } = await connectTo(direct)
  const table = `fleet_${Date.now().toString(36)}_${Math.random().toString(36).slice(2)}`
  const store = new SqlCertCache(database, { table })
  await store.createTables()
  return {
    store,
    async way() {
      const { target, ...rest } = await way()
      return { settings: { kind: 'sql' as const, target, table }, ...rest }
    },
    async close() {
      await disconnect()
      await close()
    },
  }
}

/** Opens a file on one machine, which has no connection that could be cut. */
export async function sqlitePlace() {
  const folder = await mkdtemp(join(tmpdir(), 'sqlite-fleet-'))
  const target = { kind: 'sqlite' as const, file: join(folder, 'certificates.db') }
  const way = async () => ({ target, close: async () => {} })
  return sqlPlace(target, way, () => rm(folder, { recursive: true }))
}
