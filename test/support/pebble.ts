import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, constants, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { selfSignedCertificate } from '../../src/testing/index.js'

export interface PebbleOptions {
  /** TCP port on 127.0.0.1 that http-01 validations connect to for every name. */
  httpPort: number
  /** TCP port on 127.0.0.1 that tls-alpn-01 validations connect to for every name. */
  tlsPort: number
  /** Percentage of valid nonces that Pebble refuses. Default 5, as in Pebble. */
  nonceReject?: number
  /** Whether a validation first sleeps for up to 5 s, Pebble's default. Default false. */
  sleep?: boolean
  /** Pebble's strict mode. Default false. */
  strict?: boolean
}

/** A running Pebble: the test CA of Let's Encrypt. */
export interface Pebble extends AsyncDisposable {
  readonly directoryUrl: string
  /** PEM. ACME clients must trust it to connect to the CA. */
  readonly endpointCertificate: string
  /** PEM. TLS clients must trust it to accept issued certificates. */
  readonly rootCertificate: string
  /** Sets the suggested renewal window of a certificate (PEM), in milliseconds since the epoch. RFC 9773. */
  suggestRenewal(certificate: string, window: { start: number; end: number }): Promise<void>
  /** Ends the processes and removes their files. May be called twice. */
  close(): Promise<void>
}

const binaryNames = ['pebble', 'pebble-challtestsrv'] as const
const startAttempts = 5
const startTimeoutMs = 20_000

/** Another process has taken a port since it was picked. */
class PortTakenError extends Error {}

/**
 * Starts Pebble and the DNS server that answers 127.0.0.1 for every name.
 * @throws Error when the binaries are not installed, or Pebble does not start
 */
export async function startPebble(options: PebbleOptions): Promise<Pebble> {
  const binaries = await findBinaries()
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await startOnce(options, binaries)
    } catch (error) {
      if (!(error instanceof PortTakenError) || attempt === startAttempts) throw error
    }
  }
}

async function startOnce(options: PebbleOptions, folder: string): Promise<Pebble> {
  const [acmePort, managementPort, dnsPort, dnsManagementPort] = await freePorts()
  const files = await mkdtemp(join(tmpdir(), 'pebble-'))
  const programs: Program[] = []
  let closed: Promise<void> | undefined
  const close = () => {
    closed ??= Promise.all(programs.map((program) => program.stop())).then(() =>
      rm(files, { recursive: true, force: true }),
    )
    return closed
  }
  try {
    const endpoint = await selfSignedCertificate()
    const config = await writeConfig(files, endpoint, options, { acmePort, managementPort })
    const dns = new Program(join(folder, 'pebble-challtestsrv'), [
      ...['-dnsserver', `127.0.0.1:${dnsPort}`, '-management', `127.0.0.1:${dnsManagementPort}`],
      ...['-http01', '', '-https01', '', '-tlsalpn01', '', '-doh', ''],
      ...['-defaultIPv4', '127.0.0.1', '-defaultIPv6', ''],
    ])
    programs.push(dns)
    const strict = options.strict ? ['-strict'] : []
    const pebble = new Program(
      join(folder, 'pebble'),
      ['-config', config, '-dnsserver', `127.0.0.1:${dnsPort}`, ...strict],
      {
        PEBBLE_WFE_NONCEREJECT: String(options.nonceReject ?? 5),
        PEBBLE_VA_NOSLEEP: options.sleep ? '0' : '1',
        PEBBLE_AUTHZREUSE: '0',
      },
    )
    programs.push(pebble)
    const deadline = AbortSignal.timeout(startTimeoutMs)
    const ready = <T>(probe: () => Promise<T>) => poll(probe, programs, deadline)
    const directoryUrl = `https://127.0.0.1:${acmePort}/dir`
    await ready(() => connects(dnsPort))
    await ready(() => connects(dnsManagementPort))
    // Only the Pebble started here has this certificate.
    await ready(() => fetchText(directoryUrl, endpoint.certificate))
    const rootUrl = `https://127.0.0.1:${managementPort}/roots/0`
    const rootCertificate = await ready(() => fetchText(rootUrl, endpoint.certificate))
    return {
      directoryUrl,
      endpointCertificate: endpoint.certificate,
      rootCertificate,
      async suggestRenewal(certificate, { start, end }) {
        const suggestedWindow = { start: new Date(start).toISOString(), end: new Date(end).toISOString() }
        const body = JSON.stringify({ certificate, ariResponse: JSON.stringify({ suggestedWindow }) })
        await post(`https://127.0.0.1:${managementPort}/set-renewal-info/`, endpoint.certificate, body)
      },
      close,
      [Symbol.asyncDispose]: close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function writeConfig(
  folder: string,
  endpoint: { certificate: string; privateKey: string },
  { httpPort, tlsPort }: PebbleOptions,
  { acmePort, managementPort }: { acmePort: number; managementPort: number },
): Promise<string> {
  const [certificate, privateKey, config] = ['cert.pem', 'key.pem', 'config.json'].map((name) =>
    join(folder, name),
  ) as [string, string, string]
  const pebble = {
    listenAddress: `127.0.0.1:${acmePort}`,
    managementListenAddress: `127.0.0.1:${managementPort}`,
    certificate,
    privateKey,
    httpPort,
    tlsPort,
    ocspResponderURL: '',
    externalAccountBindingRequired: false,
    domainBlocklist: [],
    retryAfter: { authz: 1, order: 1 },
    keyAlgorithm: 'ecdsa',
    profiles: {
      default: { description: 'ninety days', validityPeriod: 90 * 86_400 },
      shortlived: { description: 'six days', validityPeriod: 6 * 86_400 },
    },
  }
  await writeFile(certificate, endpoint.certificate)
  await writeFile(privateKey, endpoint.privateKey, { mode: 0o600 })
  await writeFile(config, JSON.stringify({ pebble }))
  return config
}

/** A child process with its output. It ends with this process at the latest. */
class Program {
  output = ''
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>
  readonly #kill = () => this.#child.kill('SIGKILL')

  constructor(file: string, args: string[], env: Record<string, string> = {}) {
    this.#child = spawn(file, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        // The beginning contains the reason of a failed start.
        if (this.output.length < 20_000) this.output += chunk
      })
    }
    this.#ended = once(this.#child, 'close').catch((error: Error) => {
      this.output += error.message
    })
    process.once('exit', this.#kill)
  }

  get isRunning(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  async stop(): Promise<void> {
    this.#kill()
    await this.#ended
    process.off('exit', this.#kill)
  }
}

/** Calls `probe` until it succeeds. Throws when a program ends, a port is taken, or the deadline passes. */
async function poll<T>(probe: () => Promise<T>, programs: Program[], deadline: AbortSignal): Promise<T> {
  for (;;) {
    const outcome = await probe().then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    )
    const output = programs.map((program) => program.output).join('\n')
    if (output.includes('address already in use')) throw new PortTakenError(output)
    if (!programs.every(({ isRunning }) => isRunning))
      throw new Error(`Pebble ended while starting:\n${output}`)
    if ('value' in outcome) return outcome.value
    if (deadline.aborted) {
      throw new Error(`Pebble did not start within ${startTimeoutMs} ms:\n${output}`, {
        cause: outcome.error,
      })
    }
    await sleep(20)
  }
}

async function connects(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect', { signal: AbortSignal.timeout(1000) }).finally(() => socket.destroy())
}

const fetchText = (url: string, ca: string) => exchange(url, ca, 'GET')
const post = (url: string, ca: string, body: string) => exchange(url, ca, 'POST', body)

async function exchange(url: string, ca: string, method: string, requestBody?: string): Promise<string> {
  // Pebble requires a User-Agent (RFC 8555 §6.1).
  const headers = { 'user-agent': 'acme-cert-cache tests' }
  const outgoing = request(url, { method, ca, headers, agent: false, signal: AbortSignal.timeout(1000) })
  outgoing.end(requestBody)
  const [response] = await once(outgoing, 'response')
  const body = await text(response)
  if (response.statusCode !== 200) throw new Error(`${url} answered ${response.statusCode}: ${body}`)
  return body
}

/** Returns four different ports on 127.0.0.1 that are free now. */
async function freePorts(): Promise<[number, number, number, number]> {
  const servers = [createServer(), createServer(), createServer(), createServer()]
  const ports = await Promise.all(
    servers.map(async (server) => {
      await once(server.listen(0, '127.0.0.1'), 'listening')
      return (server.address() as AddressInfo).port
    }),
  )
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports as [number, number, number, number]
}

/** Returns the folder with both programs: PEBBLE_BIN, or if that is not set, one of Go's bin folders and PATH. */
async function findBinaries(): Promise<string> {
  const configured = process.env.PEBBLE_BIN
  const folders = configured
    ? [configured]
    : [...(await goFolders()), ...(process.env.PATH ?? '').split(delimiter)]
  for (const folder of folders) {
    const checks = binaryNames.map((name) => access(join(folder, name), constants.X_OK))
    if ((await Promise.allSettled(checks)).every(({ status }) => status === 'fulfilled')) return folder
  }
  throw new Error(
    `${binaryNames.join(' and ')} are not in ${configured ?? "Go's bin folder or PATH"}. ` +
      'Install them with: go install github.com/letsencrypt/pebble/v2/cmd/...@v2.10.1 ' +
      '(or name the folder that has them in PEBBLE_BIN)',
  )
}

async function goFolders(): Promise<string[]> {
  try {
    const { stdout } = await promisify(execFile)('go', ['env', 'GOBIN', 'GOPATH'])
    const [bin = '', path = ''] = stdout.split(/\r?\n/)
    return [bin, ...path.split(delimiter).map((folder) => folder && join(folder, 'bin'))].filter(Boolean)
  } catch (error) {
    // Without Go, the binaries may be in PATH.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
