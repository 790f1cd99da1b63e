import { isPermissionError } from '../../cache/service-errors.js'
import { clockSkewMs } from '../../util/clock.js'
import { formatError, toSentence } from '../console/error-message.js'
import type { AnonymousResponse, Connection } from '../container/connection.js'
import { newProbeKey } from '../container/probe-keys.js'
import { type Check, type Finding, failed, ok, warning } from './finding.js'

/** A slower store is a warning: uncached handshakes wait for reads, and orders wait for all operations. */
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
      if (data) throw new Error('a new random key has a value. Check that --endpoint is Azure Blob Storage.')
      return `read from container "${containerName}"`
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
        return 'wrote a blob'
      }),
    )
    const canWrite = writeFinding.status !== 'failed'
    if (canWrite) {
      // A renewal replaces a blob, which an immutability policy forbids although it allows new blobs.
      await check('overwrite', () =>
        timed(async () => {
          await store.put(key, value)
          return 'replaced the blob'
        }),
      )
    }
    if (canWrite && !isReadForbidden) {
      await check('read', () =>
        timed(async () => {
          const data = await store.get(key)
          if (!data || Buffer.compare(data, value) !== 0)
            throw new Error('read other bytes than written. Check that no proxy changes the responses.')
          return 'read the blob as written'
        }),
      )
    }
    await check('lock', () => timed(() => checkLock(connection, key)))
    const leftoverNote = canWrite ? ` The blob "${key}" remains until clean removes it.` : ''
    await check('delete', async () => {
      const finding = await timed(async () => {
        await store.delete(key)
        return 'deleted the blob'
      }).catch((thrown: unknown) => failed(`${toSentence(formatError(thrown))}${leftoverNote}`))
      mayExist = false
      return finding
    })
    await check('list', () => checkList(connection))
    return canWrite
  } finally {
    // The user has stopped the command before the delete check.
    if (mayExist) await store.delete(key)
  }
}

/** Runs an operation that resolves with a description; adds its duration, and warns if it is slow. */
async function timed(operation: () => Promise<string>): Promise<Finding> {
  const startedAt = performance.now()
  const description = await operation()
  const ms = Math.round(performance.now() - startedAt)
  const text = `${description} (${ms} ms)`
  return ms > slowMs
    ? warning(`${text}. Handshakes and orders wait for the store: choose a region closer to the servers.`)
    : ok(text)
}

async function checkLock({ store }: Connection, key: string): Promise<string> {
  const lock = await store.tryLock(key)
  if (!lock) throw new Error('another machine holds the lock of a new blob. Run doctor again.')
  try {
    if (await store.tryLock(key))
      throw new Error(
        'acquired the same lease twice: locks do not exclude other machines. Use a service that supports leases.',
      )
  } finally {
    await lock.release()
  }
  return 'acquired a lease, confirmed that it excludes others, released it'
}

async function checkList({ store }: Connection): Promise<Finding> {
  try {
    return await timed(async () => {
      await store.list().next()
      return 'listed the blobs'
    })
  } catch (thrown) {
    if (!isPermissionError(thrown)) throw thrown
    return warning(
      'the list permission is missing. Servers do not need it. For ls and clean, use a SAS or role that includes it.',
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
  if (Number.isNaN(date))
    return warning("the response has no Date header. Compare this machine's clock with another one.")
  // The service read its clock between `sentAt` and `receivedAt`, so only a difference outside that range is certain.
  const aheadMs = sentAt > date + 1_000 ? sentAt - date - 1_000 : receivedAt < date ? receivedAt - date : 0
  const seconds = Math.round(Math.abs(aheadMs) / 1_000)
  if (Math.abs(aheadMs) <= clockWarningMs)
    return ok(`within ${Math.max(seconds, 1)} s of the service's clock`)
  const text = `${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the service's clock. Synchronise this machine's clock with NTP.`
  return Math.abs(aheadMs) > clockSkewMs ? failed(text) : warning(text)
}

/**
 * Judges an anonymous read of a blob that does not exist, as AzureBlobCertCache.connect does. The service answers
 * `BlobNotFound` only if anonymous reads are allowed.
 */
function privateFinding({ status, code }: AnonymousResponse): Finding {
  if (status < 300 || code === 'BlobNotFound') {
    return failed(
      'anyone can read the private keys in this container. Set its anonymous access level to private now, and replace the certificates.',
    )
  }
  if (![401, 403, 404, 409].includes(status))
    return warning(`the service returned status ${status}. Run doctor again.`)
  return ok(`blobs cannot be read without credentials (status ${status})`)
}
