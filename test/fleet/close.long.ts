import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, expect, type TestContext, test } from 'vitest'
import { type Endpoint, type Fault, TestCa } from '../../src/testing/index.js'
import { openGate } from '../support/gate.js'

// close() while the CA hangs, at 20 points of an order.

const always = Number.POSITIVE_INFINITY
const endpoints: Endpoint[] = [
  'directory',
  'newNonce',
  'newAccount',
  'newOrder',
  'authz',
  'challenge',
  'order',
  'finalize',
  'certificate',
]

/** The points of an order at which the CA hangs: before it has carried out a request, and after. */
const hangs = endpoints.flatMap((on): [string, Fault][] => [
  [`the CA does not answer ${on}`, { on, hang: true, times: always }],
  // A reply to newNonce has no body.
  on === 'newNonce'
    ? [`the CA answers ${on} after an hour`, { on, delayMs: 3_600_000, times: always }]
    : [`the CA carries out ${on} and stalls in its reply`, { on, breakOff: 'stall', times: always }],
])

/** Starts a CA and a machine in a process of its own, which end with the test. */
async function startMachine({ onTestFinished }: Pick<TestContext, 'onTestFinished'>) {
  const gate = await openGate()
  const ca = await TestCa.start({ tlsPort: gate.port })
  const child = fork(fileURLToPath(new URL('closing-machine.js', import.meta.url)), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const exited = once(child, 'exit')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exited
    await ca.close()
    await gate.close()
  })
  const { directoryUrl, endpointCertificate } = ca
  child.send({ termsOfServiceAgreed: true, directoryUrl, ca: endpointCertificate })
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  gate.target = port
  return {
    ca,
    order: () => child.send('order'),
    /** Closes the manager. Expects the bound of 10 s, the waiter's error, and that the process ends by itself. */
    async expectClose() {
      const closed = once(child, 'message')
      child.send('close')
      const [{ closeMs, waiter }] = (await closed) as [{ closeMs: number; waiter: string }]
      const closedAt = performance.now()
      expect(closeMs).toBeLessThanOrEqual(10_000)
      expect(waiter).toBe('ERR_CLOSED')
      expect(await exited).toEqual([0, null])
      expect(performance.now() - closedAt).toBeLessThan(10_000)
    },
  }
}

// Concurrent, because they wait for real time.
describe.concurrent('close() ends an order, its waiter and the process within 10 s', () => {
  test.for(hangs)('while %s: one request', async ([, fault], context) => {
    const { ca, order, expectClose } = await startMachine(context)
    const active = ca.fault(fault)
    order()
    await expect.poll(() => active.hits).toBe(1)
    await expectClose()
    expect(active.hits).toBe(1)
  })

  test('while the CA validates: one answer to the challenge', async (context) => {
    const { ca, order, expectClose } = await startMachine(context)
    ca.validationDelayMs = 3_600_000
    const answers = ca.fault({ on: 'challenge', delayMs: 1, times: always })
    const reads = ca.fault({ on: 'authz', delayMs: 1, times: always })
    order()
    await expect.poll(() => reads.hits).toBeGreaterThan(1)
    await expectClose()
    expect(answers.hits).toBe(1)
    expect(ca.counts.orders).toBe(1)
  })

  test('while the CA issues: one finalize request', async (context) => {
    const { ca, order, expectClose } = await startMachine(context)
    ca.issuanceDelayMs = 3_600_000
    const finalized = ca.fault({ on: 'finalize', delayMs: 1, times: always })
    order()
    await expect.poll(() => finalized.hits).toBe(1)
    await expectClose()
    expect(finalized.hits).toBe(1)
    expect(ca.counts.orders).toBe(1)
  })
})
