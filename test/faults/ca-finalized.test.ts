import { describe, expect, test } from 'vitest'
import type { Fault } from '../../src/testing/index.js'
import { impatient, useManagers } from '../support/managers.js'

const t = useManagers()
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
    t.ca.issuanceDelayMs = 100
    const active = t.ca.fault(fault)
    expect(await manager.getCertificate('a.example')).toMatchObject({ host: 'a.example' })
    expect(active.hits).toBe(fault.times ?? 1)
    expect(t.ca.counts).toMatchObject({ orders: 1, certificates: 1 })
  })

  test('close() does not wait for it without end, and leaves no timer', async () => {
    const { manager } = await t.machine()
    const fault = t.ca.fault({ on: 'certificate', status: 503, times: Number.POSITIVE_INFINITY })
    const certificate = manager.getCertificate('a.example').catch((reason: unknown) => reason)
    await expect.poll(() => fault.hits).toBeGreaterThan(0)
    let isClosed = false
    void manager.close().finally(() => {
      isClosed = true
    })
    await expect.poll(() => isClosed || t.clock.jump(10_000)).toBe(true)
    const { hits } = fault
    expect(await certificate).toMatchObject({ code: 'ERR_CLOSED' })
    t.clock.jump(300_000)
    expect(fault.hits).toBe(hits)
  })

  test('a CA that wants to be left alone for long is left alone', async () => {
    const { manager } = await t.machine()
    const fault = t.ca.fault({ on: 'certificate', type: 'rateLimited', retryAfter: 86_400 })
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject({ retryAt: expect.any(Date) })
    expect(fault.hits).toBe(1)
  })
})
