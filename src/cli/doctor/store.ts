import { clockSkewMs } from '../../util/clock.js'
import { StoreError } from '../../util/errors.js'
import { messageOf } from '../console/error-message.js'
import type { AnonymousAnswer, Connection } from '../container/connection.js'
import { newScratch } from '../container/probe-keys.js'
import { type Check, type Finding, failed, ok, warning } from './finding.js'

/** Handshakes that miss memory wait for reads, orders for all the rest. */
const slowMs = 1_000
const skewMs = 30_000

/**
 * Each permission, tried on a blob that is there for nothing else, whichever others there are. False if challenge answers
 * can't be written.
 */
export async function checkStore(check: Check, connection: Connection): Promise<boolean> {
  const { store, containerName } = connection
  const scratch = newScratch()
  const value = Buffer.from(scratch)
  let anonymous: AnonymousAnswer | undefined
  await check('clock', async () => {
    const asked = Date.now()
    anonymous = await connection.readAnonymously(scratch)
    return clockFinding(asked, anonymous.date, Date.now())
  })
  let isForbidden = false
  const entered = await check('container', () =>
    timed(async () => {
      const present = await store.get(scratch).catch((thrown: unknown) => {
        isForbidden = lacksPermission(thrown)
        throw thrown
      })
      if (present) throw new Error('a blob that nobody can have written is there')
      return `${containerName} answers, a key that is not there`
    }),
  )
  if (entered.status === 'failed' && !isForbidden) return false
  if (anonymous) await check('private', async () => privateFinding(anonymous as AnonymousAnswer))
  let isThere = false
  try {
    const written = await check('write', () =>
      timed(async () => {
        isThere = true
        await store.put(scratch, value)
        return 'a blob was written'
      }),
    )
    if (written.status !== 'failed' && !isForbidden) {
      await check('read', () =>
        timed(async () => {
          const data = await store.get(scratch)
          if (!data || Buffer.compare(data, value) !== 0)
            throw new Error('a blob comes back as something else')
          return 'it comes back as written'
        }),
      )
    }
    await check('lock', () => timed(() => tryLock(connection, scratch)))
    const stays = written.status === 'failed' ? '' : `; ${scratch} stays until clean removes it`
    await check('delete', async () => {
      const finding = await timed(async () => {
        await store.delete(scratch)
        return 'the blob was deleted'
      }).catch((thrown: unknown) => failed(`${messageOf(thrown)}${stays}`))
      isThere = false
      return finding
    })
    await check('list', () => checkList(connection))
    return written.status !== 'failed'
  } finally {
    // Stopped in between.
    if (isThere) await store.delete(scratch)
  }
}

const lacksPermission = (thrown: unknown): boolean =>
  thrown instanceof StoreError && thrown.code === 'ERR_STORE_PERMISSION'

async function timed(work: () => Promise<string>): Promise<Finding> {
  const started = performance.now()
  const text = await work()
  const ms = Math.round(performance.now() - started)
  const shown = `${text}, ${ms} ms`
  return ms > slowMs
    ? warning(`${shown}: servers wait as long for this store; choose a region nearer to them`)
    : ok(shown)
}

async function tryLock({ store }: Connection, scratch: string): Promise<string> {
  const lock = await store.tryLock(scratch)
  if (!lock) throw new Error('somebody else holds the lock of a new blob: try again')
  try {
    if (await store.tryLock(scratch))
      throw new Error('a lock was given twice: this service has no working leases')
  } finally {
    await lock.release()
  }
  return 'a lease was had, refused to another, and given back'
}

async function checkList({ store }: Connection): Promise<Finding> {
  try {
    return await timed(async () => {
      await store.list().next()
      return 'the blobs can be listed'
    })
  } catch (thrown) {
    if (!lacksPermission(thrown)) throw thrown
    return warning(
      'the permission to list is missing: managers don’t need it; ls and clean do, with a SAS or role that has it',
    )
  }
}

function clockFinding(asked: number, date: number, answered: number): Finding {
  if (Number.isNaN(date)) return warning('the service does not say what time it has')
  // It was read between the two, and has whole seconds.
  const ahead = asked > date + 1_000 ? asked - date - 1_000 : answered < date ? answered - date : 0
  const seconds = Math.round(Math.abs(ahead) / 1_000)
  if (Math.abs(ahead) <= skewMs) return ok(`within ${Math.max(seconds, 1)} s of the service’s`)
  const text = `${seconds} s ${ahead > 0 ? 'ahead of' : 'behind'} the service’s: synchronise this machine’s clock (NTP)`
  return Math.abs(ahead) > clockSkewMs ? failed(text) : warning(text)
}

/** As AzureBlobCertCache.connect has it: those who may not read are not told that there is no such blob. */
function privateFinding({ status, code }: AnonymousAnswer): Finding {
  if (status < 300 || code === 'BlobNotFound') {
    return failed(
      'anybody can read the private keys in this container: set its anonymous access level to private now, and replace the certificates',
    )
  }
  if (![401, 403, 404, 409].includes(status)) return warning(`the service answered ${status}: try again`)
  return ok(`without credentials no blob can be read (status ${status})`)
}
