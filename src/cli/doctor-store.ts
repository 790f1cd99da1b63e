import { randomUUID } from 'node:crypto'
import { StoreError } from '../errors.js'
import type { Connection } from './connect.js'
import { type Check, type Finding, failed, ok, warning } from './finding.js'

/** A handshake that misses memory waits for the store. */
const slowMs = 1_000
const skewMs = 30_000
/** The service refuses signatures that are 15 minutes off; certificates are a few minutes old when they are served. */
const wrongClockMs = 300_000
const anonymousMs = 10_000

/**
 * Each permission, tried on a blob that is there for nothing else. False if challenge answers can't be written.
 */
export async function checkStore(check: Check, connection: Connection): Promise<boolean> {
  const { store, containerName } = connection
  const scratch = `doctor-${randomUUID()}`
  const value = Buffer.from(scratch)
  await check('clock', () => checkClock(connection, scratch))
  const entered = await check('container', () =>
    timed(async () => {
      if (await store.get(scratch)) throw new Error('a blob that nobody can have written is there')
      return `${containerName} answers, a key that is not there`
    }),
  )
  if (entered.status === 'failed') return false
  const written = await check('write', () =>
    timed(async () => {
      await store.put(scratch, value)
      return 'a blob was written'
    }),
  )
  if (written.status !== 'failed') {
    await check('read', () =>
      timed(async () => {
        const data = await store.get(scratch)
        if (!data || Buffer.compare(data, value) !== 0) throw new Error('a blob comes back as something else')
        return 'it comes back as written'
      }),
    )
    await check('private', () => checkPrivate(connection, scratch))
    await check('lock', () => timed(() => tryLock(connection, scratch)))
    await check('delete', () =>
      timed(async () => {
        await store.delete(scratch)
        return 'the blob was deleted'
      }),
    )
  }
  await check('list', () => checkList(connection))
  return written.status !== 'failed'
}

async function timed(work: () => Promise<string>): Promise<Finding> {
  const started = performance.now()
  const text = await work()
  const ms = Math.round(performance.now() - started)
  const shown = `${text}, ${ms} ms`
  return ms > slowMs
    ? warning(`${shown}: handshakes that miss memory wait for it; choose a region nearer to the servers`)
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
    if (!(thrown instanceof StoreError) || thrown.code !== 'ERR_STORE_PERMISSION') throw thrown
    return warning(
      'the permission to list is missing: managers don’t need it; ls and clean do, with a SAS or role that has it',
    )
  }
}

/** Without credentials. The SDK's client is asked for the address only, which may have a SAS. */
async function anonymously(connection: Connection, key: string): Promise<Response> {
  const url = new URL(connection.blob(key).url)
  url.search = ''
  return fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(anonymousMs) })
}

async function checkClock(connection: Connection, scratch: string): Promise<Finding> {
  const asked = Date.now()
  let date: number
  try {
    const response = await anonymously(connection, scratch)
    await response.body?.cancel()
    date = Date.parse(response.headers.get('date') ?? '')
  } catch {
    return failed('the service does not answer: check the account name or endpoint, DNS, and firewalls')
  }
  if (Number.isNaN(date)) return warning('the service does not say what time it has')
  const answered = Date.now()
  // It was read between the two, and has whole seconds.
  const ahead = asked > date + 1_000 ? asked - date - 1_000 : answered < date ? answered - date : 0
  const seconds = Math.round(Math.abs(ahead) / 1_000)
  if (Math.abs(ahead) <= skewMs) return ok(`within ${Math.max(seconds, 1)} s of the service’s`)
  const text = `${seconds} s ${ahead > 0 ? 'ahead of' : 'behind'} the service’s: synchronise this machine’s clock (NTP)`
  return Math.abs(ahead) > wrongClockMs ? failed(text) : warning(text)
}

async function checkPrivate(connection: Connection, scratch: string): Promise<Finding> {
  const response = await anonymously(connection, scratch)
  await response.body?.cancel()
  if (response.ok) {
    return failed(
      'anybody can read the private keys in this container: set its anonymous access level to private now, and replace the certificates',
    )
  }
  if (response.status >= 500) return warning(`the service answered ${response.status}: try again`)
  return ok(`without credentials the blob can’t be read (status ${response.status})`)
}
