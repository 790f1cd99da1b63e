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
  /** The CA's names in CAA records; `undefined` if the CA did not respond. */
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
        `not checked: servers that encrypt ignore answers from this command. Check that they are reachable on port ${httpPort}.`,
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
    throw new UsageError('--dns must be the IP address of a name server, with or without a port')
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
    throw new Error('no address. Add an A or AAAA record that points to the servers.')
  }
  throw new Error(
    `the DNS query failed (${[...new Set(errorCodes)].join(', ')}). Try another name server, such as --dns 1.1.1.1.`,
  )
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
        `the CAA query for ${name} failed (${errorCode(thrown)}). The CA issues no certificate if this query fails: check the name servers of ${name}.`,
      )
    })
    if (records.length === 0) continue
    const issuers = records.flatMap(({ issue }) =>
      issue === undefined ? [] : [issue.split(';', 1)[0]?.trim() ?? ''],
    )
    if (issuers.length === 0)
      return ok(`${name} has CAA records, but none restricts issuers: any CA may issue`)
    const summary = `${name} allows ${issuers.filter((issuer) => issuer !== '').join(', ') || 'no CA'}`
    if (!identities?.length)
      return warning(`${summary}. The CA publishes no name to compare: see its documentation.`)
    return issuers.some((issuer) => identities.includes(issuer))
      ? ok(summary)
      : failed(`${summary}. Add the record: ${host} CAA 0 issue "${identities[0]}"`)
  }
  return ok('no CAA records: any CA may issue')
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
    if (isUnroutable) return warning(`no route from this machine (${code}). Run doctor on another machine.`)
    return failed(
      `no response (${code ?? name}). Open port 80 and serve manager.httpHandler() there, or rely on tls-alpn-01 on port 443.`,
    )
  }
  const { status, body, location } = response
  if (status === 200 && body === value)
    return ok('the server returned the challenge answer from the container')
  if (status >= 300 && status < 400 && location !== undefined) {
    return warning(
      `redirects to ${location}. A CA follows the redirect: manager.httpHandler() must answer there.`,
    )
  }
  return failed(
    `not the challenge answer, but status ${status}. Serve manager.httpHandler() there, with a hostPolicy that allows "${host}", this container and the same CA.`,
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
