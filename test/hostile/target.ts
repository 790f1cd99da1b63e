import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { TestCa } from '../../src/testing/index.js'
import { makeBundle } from '../support/certificates.js'
import { handshake } from '../support/tls.js'

/** What happened in the server since its last report. */
export interface Report {
  /** Store operations, for example `get example.com`. */
  readonly operations: readonly string[]
  /** The number of events by name and reason. */
  readonly events: Readonly<Record<string, number>>
  readonly policyCalls: number
  /** The maximum number of concurrent calls of a slow policy for one name. */
  readonly mostAtOnce: number
  readonly warnings: number
  /** The 99th percentile of the event loop's delay, in ms. */
  readonly delayP99: number
  /** In bytes, after garbage collections. */
  readonly rss: number
  readonly heapUsed: number
  readonly external: number
}

export type Target = Awaited<ReturnType<typeof openTarget>>

/** The token of an http-01 answer that another machine of the fleet has put into the store. */
export const realToken = 'a-token-of-the-CA'

/**
 * Starts a server in a separate process, and a CA. Its store holds the certificates of `allowed.example`, which is
 * also in memory, and of `other.example`, which is not, and the answer to a challenge.
 */
export async function openTarget(policy: 'list' | 'throws' | 'never' | 'slow' = 'list') {
  const ca = await TestCa.start()
  const child = fork(fileURLToPath(new URL('machine.js', import.meta.url)), {
    execArgv: ['--expose-gc'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  await once(child, 'message')
  const ask = async (task: object) => {
    const answered = once(child, 'message')
    child.send(task)
    return (await answered)[0]
  }
  const hosts = ['allowed.example', 'other.example']
  const bundles = await Promise.all(hosts.map((host) => makeBundle({ host })))
  const certificates = hosts.map((host, index) => [host, Buffer.from(bundles[index]!.data).toString()])
  const values = { ...Object.fromEntries(certificates), [`${realToken}+http-01`]: 'its-answer' }
  const acme = { directoryUrl: ca.directoryUrl, ca: ca.endpointCertificate }
  const { tlsPort, httpPort } = await ask({ start: { policy, values, acme } })
  const target = {
    ca,
    tlsPort: tlsPort as number,
    httpPort: httpPort as number,
    report: (): Promise<Report> => ask({ report: true }),
    /** Makes a slow policy answer all callers that wait. */
    answer: (verdict: boolean): Promise<Report> => ask({ answer: verdict }),
    jump: (ms: number): Promise<Report> => ask({ jump: ms }),
    /** Returns whether the process is alive and serves the host. */
    async serves(host: string) {
      const { serialNumber } = await handshake(tlsPort, host)
      return child.exitCode === null && serialNumber === bundles[hosts.indexOf(host)]?.serialNumber
    },
    async close() {
      if (child.exitCode === null && child.signalCode === null) {
        const exited = once(child, 'exit')
        child.kill('SIGKILL')
        await exited
      }
      await ca.close()
    },
  }
  await target.serves('allowed.example')
  await target.report()
  return target
}
