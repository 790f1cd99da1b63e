import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { Clock } from '../../src/index.js'
import type { Fault } from '../../src/testing/index.js'
import { impatient, useManagers } from '../support/managers.js'
import { VirtualClock } from '../support/virtual-clock.js'

const t = useManagers()

/** Virtual time, in which the test can let the pauses of work in progress pass, and nothing else. */
class PausingClock extends VirtualClock implements Clock {
  readonly #pauses = new Set<() => void>()

  override after(ms: number, fn: () => void, options?: { keepAlive?: boolean }): () => undefined {
    const end = () => {
      this.#pauses.delete(pass)
      fn()
    }
    const stop = super.after(ms, end)
    const pass = () => {
      stop()
      end()
    }
    if (options?.keepAlive) this.#pauses.add(pass)
    return () => {
      this.#pauses.delete(pass)
      return stop()
    }
  }

  passPauses() {
    for (const pass of [...this.#pauses]) pass()
  }
}

const html = { status: 200, contentType: 'text/html', body: '<html><title>Maintenance</title></html>' }

describe('what is finalized is not ordered again', () => {
  test.each([
    ['the certificate is answered with 503', { on: 'certificate', status: 503, times: 5 }],
    [
      'the certificate is rate limited for a moment',
      { on: 'certificate', type: 'rateLimited', retryAfter: 30 },
    ],
    ['the certificate breaks off', { on: 'certificate', breakOff: 'reset' }],
    ['finalize is answered with 503', { on: 'finalize', status: 503, times: 5 }],
    ['the answer to finalize breaks off', { on: 'finalize', breakOff: 'reset' }],
    ['a page answers finalize', { on: 'finalize', ...html }],
    [
      'JSON that is no order answers finalize',
      { on: 'finalize', status: 200, contentType: 'application/json', body: '{}' },
    ],
    ['a page is in place of the certificate', { on: 'certificate', ...html }],
  ] as [string, Fault][])('because %s', async (_, fault) => {
    const { manager } = await t.machine({ clock: impatient(t.clock) })
    // So the order is still in processing when it is asked for again.
    t.ca.issuanceDelayMs = 50
    const active = t.ca.fault(fault)
    expect(await manager.getCertificate('a.example')).toMatchObject({ host: 'a.example' })
    expect(active.hits).toBe(fault.times ?? 1)
    expect(t.ca.counts).toMatchObject({ orders: 1, certificates: 1 })
  })

  test('close() waits 10 s for it, and leaves no timer', async () => {
    const clock = new PausingClock()
    const { manager } = await t.machine({ clock })
    const fault = t.ca.fault({ on: 'certificate', status: 503, times: Number.POSITIVE_INFINITY })
    const certificate = manager.getCertificate('a.example').catch((reason: unknown) => reason)
    const isRefused = () => {
      if (fault.hits === 0) clock.passPauses()
      return fault.hits > 0
    }
    await expect.poll(isRefused).toBe(true)
    let isClosed = false
    const closed = manager.close().finally(() => {
      isClosed = true
    })
    await turn()
    clock.advance(9_999)
    await turn()
    expect(isClosed).toBe(false)
    clock.advance(1)
    await closed
    expect(await certificate).toMatchObject({ code: 'ERR_CLOSED' })
    await expect.poll(() => clock.pending).toBe(0)
  })

  test('a CA that wants to be left alone for long is left alone', async () => {
    const { manager } = await t.machine()
    const fault = t.ca.fault({ on: 'certificate', type: 'rateLimited', retryAfter: 86_400 })
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject({ retryAt: expect.any(Date) })
    expect(fault.hits).toBe(1)
  })
})
