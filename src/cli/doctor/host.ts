import { randomBytes } from 'node:crypto'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { isIP } from 'node:net'
import type { CertCache } from '../../cache/cert-cache.js'
import { entryKey } from '../../certificates/storage-layout.js'
import { toError } from '../../util/errors.js'
import { UsageError } from '../console/errors.js'
import { isStoreEncrypted } from '../container/encryption.js'
import { type Check, type Finding, failed, ok, warning } from './finding.js'

const requestMs = 10_000
/** Longer than any http-01 answer, in characters. */
const maxAnswerLength = 4_096

interface HostSettings {
  readonly host: string
  readonly httpPort: number
  readonly resolver: Resolver
  /** The CA's names in CAA records; `undefined` if the CA did not answer. */
  readonly caaIdentities: readonly string[] | undefined
  /** The CA, as the prefix of its keys. */
  readonly ca: string
  /** `undefined` if the store is not writable. */
  readonly store: CertCache | undefined
}

/** Checks DNS, CAA records and, at each address, http-01 for one host. */
export async function checkHost(check: Check, settings: HostSettings): Promise<void> {
  const { host, httpPort, resolver, caaIdentities, ca, store } = settings
  let addresses: string[] = []
  await check(`DNS ${host}`, async () => {
    addresses = await resolveAddresses(host, resolver)
    return ok(addresses.join(', '))
  })
  await check(`CAA ${host}`, () => checkCaa(host, resolver, caaIdentities))
  if (!store || addresses.length === 0) return
  if (await isStoreEncrypted(store, ca)) {
    await check('http', async () =>
      warning(
        `not tried: servers that encrypt take no answer from here; see that they are reached at port ${httpPort}`,
      ),
    )
    return
  }
  const token = `doctor-${randomBytes(16).toString('hex')}`
  const value = `${token}.answer`
  const key = entryKey({ kind: 'http-01', ca, token })
  await store.put(key, Buffer.from(value))
  try {
    // All addresses, because a CA may connect to any of them.
    for (const address of addresses) {
      const name = `http ${isIP(address) === 6 ? `[${address}]` : address}:${httpPort}`
      await check(name, () => checkHttp01(host, address, httpPort, token, value))
    }
  } finally {
    await store.delete(key)
  }
}

/**
 * Creates a DNS resolver.
 * @param nameServer an IP address, optionally with a port; default: the machine's name servers
 * @throws {UsageError} if it is not an IP address
 */
export function createResolver(nameServer: string | undefined): Resolver {
  const resolver = new Resolver({ timeout: 3_000, tries: 2 })
  try {
    if (nameServer !== undefined) resolver.setServers([nameServer])
  } catch {
    throw new UsageError('--dns takes the IP address of a name server, with or without a port')
  }
  return resolver
}

/** Queries DNS alone: a CA does not see this machine's /etc/hosts. */
async function resolveAddresses(host: string, resolver: Resolver): Promise<string[]> {
  const results = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)])
  const addresses = results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []))
  if (addresses.length > 0) return addresses
  const errorCodes = results.map((result) => errorCode((result as PromiseRejectedResult).reason))
  if (errorCodes.every(isMissingRecord)) {
    throw new Error('there is no address: add an A or AAAA record that leads to the servers')
  }
  throw new Error(`the name server could not be asked (${errorCodes.join(', ')}): try --dns 1.1.1.1`)
}

const errorCode = (thrown: unknown): string => String((thrown as NodeJS.ErrnoException).code)
const isMissingRecord = (code: string) => code === 'ENODATA' || code === 'ENOTFOUND'

/**
 * Checks that CAA records allow the CA to issue. The host's own records apply, or else those of its closest ancestor
 * that has any (RFC 8659 section 3).
 */
async function checkCaa(
  host: string,
  resolver: Resolver,
  identities: readonly string[] | undefined,
): Promise<Finding> {
  const labels = host.split('.')
  for (let depth = 0; depth < labels.length; depth++) {
    const name = labels.slice(depth).join('.')
    const records = await resolver.resolveCaa(name).catch((thrown: unknown) => {
      if (isMissingRecord(errorCode(thrown))) return []
      throw new Error(
        `the CAA records of ${name} could not be read (${errorCode(thrown)}), and a CA that can’t read them issues nothing: check the name server`,
      )
    })
    if (records.length === 0) continue
    const issuers = records.flatMap(({ issue }) =>
      issue === undefined ? [] : [issue.split(';', 1)[0]?.trim() ?? ''],
    )
    if (issuers.length === 0) return ok(`${name} has records, none about issuers: every CA may issue`)
    const summary = `${name} allows ${issuers.filter((issuer) => issuer !== '').join(', ') || 'no CA'}`
    if (!identities?.length)
      return warning(`${summary}, and the CA does not say which is its name: compare them`)
    return issuers.some((issuer) => identities.includes(issuer))
      ? ok(summary)
      : failed(`${summary}: add a record 0 issue "${identities[0]}" for ${host}`)
  }
  return ok('no records: every CA may issue')
}

/**
 * Requests the challenge answer as a CA does. Any server of the fleet must return the answer that was written to the
 * container.
 */
async function checkHttp01(
  host: string,
  address: string,
  port: number,
  token: string,
  value: string,
): Promise<Finding> {
  let response: Awaited<ReturnType<typeof get>>
  try {
    response = await get(host, address, port, `/.well-known/acme-challenge/${token}`)
  } catch (thrown) {
    const { code, name } = toError(thrown) as NodeJS.ErrnoException
    const isUnroutable = ['ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT'].includes(code ?? '')
    if (isUnroutable) return warning(`there is no way to it from this machine (${code}): try from another`)
    return failed(
      `nobody answers (${code ?? name}): open port 80 and serve manager.httpHandler() there; or rely on tls-alpn-01 at port 443`,
    )
  }
  const { status, body, location } = response
  if (status === 200 && body === value)
    return ok('the answer that was put into the container came from there')
  if (status >= 300 && status < 400 && location !== undefined) {
    return warning(
      `it leads elsewhere, where a CA follows: ${location}; manager.httpHandler() must answer there`,
    )
  }
  return failed(
    `something else answered, with status ${status}: serve manager.httpHandler() there, for a hostPolicy with ${host}, this container, and the same CA`,
  )
}

async function get(host: string, address: string, port: number, path: string) {
  const signal = AbortSignal.timeout(requestMs)
  const clientRequest = request({ host: address, port, path, headers: { host }, agent: false, signal })
  clientRequest.end()
  const [response] = (await once(clientRequest, 'response', { signal })) as [IncomingMessage]
  let body = ''
  for await (const chunk of response.setEncoding('latin1')) {
    body += chunk
    if (body.length > maxAnswerLength) break
  }
  return { status: response.statusCode ?? 0, body, location: response.headers.location }
}
