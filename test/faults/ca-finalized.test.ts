import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { Clock } from '../../src/index.js'
import type { Fault } from '../../src/testing/index.js'
import { impatient, useManagers } from '../support/managers.js'
import { VirtualClock } from '../support/virtual-clock.js'

const t = useManagers()

/** Virtual time in which a test can end only the pauses of work in progress. */
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

describe('a finalized order', () => {
  test.each([
    ['the certificate request returns 503', { on: 'certificate', status: 503, times: 5 }],
    [
      'the certificate request is rate limited for 30 s',
      { on: 'certificate', type: 'rateLimited', retryAfter: 30 },
    ],
    ['the certificate response breaks off', { on: 'certificate', breakOff: 'reset' }],
    ['finalize returns 503', { on: 'finalize', status: 503, times: 5 }],
    ['the finalize response breaks off', { on: 'finalize', breakOff: 'reset' }],
    ['finalize returns an HTML page', { on: 'finalize', ...html }],
    [
      'finalize returns JSON that is not an order',
      { on: 'finalize', status: 200, contentType: 'application/json', body: '{}' },
    ],
    ['the certificate request returns an HTML page', { on: 'certificate', ...html }],
  ] as [string, Fault][])('is continued, not placed again, when %s', async (_, fault) => {
    const { manager } = await t.machine({ clock: impatient(t.clock) })
    // Keeps the order in processing until it is polled again.
    t.ca.issuanceDelayMs = 50
    const active = t.ca.fault(fault)
    expect(await manager.getCertificate('a.example')).toMatchObject({ host: 'a.example' })
    expect(active.hits).toBe(fault.times ?? 1)
    expect(t.ca.counts).toMatchObject({ orders: 1, certificates: 1 })
  })

  test('delays close() by 8 s, and leaves no timer', async () => {
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
    clock.advance(7_999)
    await turn()
    expect(isClosed).toBe(false)
    clock.advance(1)
    await closed
    expect(await certificate).toMatchObject({ code: 'ERR_CLOSED' })
    await expect.poll(() => clock.pending).toBe(0)
  })

  test('is not requested again before a Retry-After of 86400', async () => {
    const { manager } = await t.machine()
    const fault = t.ca.fault({ on: 'certificate', type: 'rateLimited', retryAfter: 86_400 })
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject({ retryAt: expect.any(Date) })
    expect(fault.hits).toBe(1)
  })
})
