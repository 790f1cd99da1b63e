import { isPermissionError } from '../../cache/service-errors.js'
import { clockSkewMs } from '../../util/clock.js'
import { formatError } from '../console/error-message.js'
import type { AnonymousResponse, Connection } from '../container/connection.js'
import { newProbeKey } from '../container/probe-keys.js'
import { type Check, type Finding, failed, ok, warning } from './finding.js'

/** A slower store is a warning: uncached handshakes wait for reads, and orders for all other operations. */
const slowMs = 1_000
/** A larger clock error is a warning; one above `clockSkewMs` is a failure. */
const clockWarningMs = 30_000

/**
 * Checks the clock, anonymous access and each permission, with a blob written for this purpose. If a permission is
 * missing, the others are still checked. Returns whether challenge answers can be written.
 */
export async function checkStore(check: Check, connection: Connection): Promise<boolean> {
  const { store, containerName } = connection
  const key = newProbeKey()
  const value = Buffer.from(key)
  let anonymous: AnonymousResponse | undefined
  await check('clock', async () => {
    const sentAt = Date.now()
    anonymous = await connection.readAnonymously(key)
    return clockFinding(sentAt, anonymous.date, Date.now())
  })
  let isReadForbidden = false
  const containerFinding = await check('container', () =>
    timed(async () => {
      const data = await store.get(key).catch((thrown: unknown) => {
        isReadForbidden = isPermissionError(thrown)
        throw thrown
      })
      if (data) throw new Error('a blob that nobody can have written is there')
      return `${containerName} answers, a key that is not there`
    }),
  )
  if (containerFinding.status === 'failed' && !isReadForbidden) return false
  if (anonymous) await check('private', async () => privateFinding(anonymous as AnonymousResponse))
  let mayExist = false
  try {
    const writeFinding = await check('write', () =>
      timed(async () => {
        mayExist = true
        await store.put(key, value)
        return 'a blob was written'
      }),
    )
    const canWrite = writeFinding.status !== 'failed'
    if (canWrite && !isReadForbidden) {
      await check('read', () =>
        timed(async () => {
          const data = await store.get(key)
          if (!data || Buffer.compare(data, value) !== 0)
            throw new Error('a blob comes back as something else')
          return 'it comes back as written'
        }),
      )
    }
    await check('lock', () => timed(() => checkLock(connection, key)))
    const leftoverNote = canWrite ? `; ${key} stays until clean removes it` : ''
    await check('delete', async () => {
      const finding = await timed(async () => {
        await store.delete(key)
        return 'the blob was deleted'
      }).catch((thrown: unknown) => failed(`${formatError(thrown)}${leftoverNote}`))
      mayExist = false
      return finding
    })
    await check('list', () => checkList(connection))
    return canWrite
  } finally {
    // The user stopped the command before the delete check.
    if (mayExist) await store.delete(key)
  }
}

/** Runs an operation that resolves with a description; adds its duration, and warns if it is slow. */
async function timed(operation: () => Promise<string>): Promise<Finding> {
  const startedAt = performance.now()
  const description = await operation()
  const ms = Math.round(performance.now() - startedAt)
  const text = `${description}, ${ms} ms`
  return ms > slowMs
    ? warning(`${text}: servers wait as long for this store; choose a region nearer to them`)
    : ok(text)
}

async function checkLock({ store }: Connection, key: string): Promise<string> {
  const lock = await store.tryLock(key)
  if (!lock) throw new Error('somebody else holds the lock of a new blob: try again')
  try {
    if (await store.tryLock(key))
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
    if (!isPermissionError(thrown)) throw thrown
    return warning(
      'the permission to list is missing: managers don’t need it; ls and clean do, with a SAS or role that has it',
    )
  }
}

/**
 * Compares this machine's clock with the service's.
 * @param sentAt when the request was sent, in milliseconds since the epoch, by this machine's clock
 * @param date the response's `Date` header in milliseconds since the epoch; its resolution is one second
 * @param receivedAt when the response arrived, by this machine's clock
 */
function clockFinding(sentAt: number, date: number, receivedAt: number): Finding {
  if (Number.isNaN(date)) return warning('the service does not say what time it has')
  // The service read its clock between `sentAt` and `receivedAt`, so only a difference outside that range is certain.
  const aheadMs = sentAt > date + 1_000 ? sentAt - date - 1_000 : receivedAt < date ? receivedAt - date : 0
  const seconds = Math.round(Math.abs(aheadMs) / 1_000)
  if (Math.abs(aheadMs) <= clockWarningMs) return ok(`within ${Math.max(seconds, 1)} s of the service’s`)
  const text = `${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the service’s: synchronise this machine’s clock (NTP)`
  return Math.abs(aheadMs) > clockSkewMs ? failed(text) : warning(text)
}

/**
 * Judges an anonymous read of a blob that does not exist, as AzureBlobCertCache.connect does. The service answers
 * `BlobNotFound` only if anonymous reads are allowed.
 */
function privateFinding({ status, code }: AnonymousResponse): Finding {
  if (status < 300 || code === 'BlobNotFound') {
    return failed(
      'anybody can read the private keys in this container: set its anonymous access level to private now, and replace the certificates',
    )
  }
  if (![401, 403, 404, 409].includes(status)) return warning(`the service answered ${status}: try again`)
  return ok(`without credentials no blob can be read (status ${status})`)
}
